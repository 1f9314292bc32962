"""Write the pictures of docs/gallery.md: the best, the middle and the worst restored photographs of a set, by score.

    python -m benchmarks gallery --pairs DIR --out docs/pictures

Every pair is restored as `toolbox restore` does, with the mask of the pair. The pairs are ranked by the competition's
score of the result (docs/score.md). Three pictures are written, gallery-best.jpg, gallery-middle.jpg and
gallery-worst.jpg, each with a row for each of three pairs: input, result, truth. Nothing is chosen by hand.

The JSON and a Markdown table have the figures of every pair, the best first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.common import timing
from benchmarks.quality import load_pairs, make_restore, write_contact_sheet
from toolbox.evaluation import metrics
from toolbox.evaluation.colors import color_distance
from toolbox.hooks.protocols import Sample
from toolbox.inference.fillers import default_fill
from toolbox.inference.loading import load_restorer

SHOWN = 3
SIDE = 224


@click.command("gallery")
@click.option("--pairs", type=click.Path(path_type=Path), required=True, help="Folder with input/, truth/ and masks/.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the pictures.")
@click.option("--weights", default="luma", show_default=True, help="A published name, a file or a run folder.")
@timing.quick_option
@timing.json_option
def command(pairs: Path, out: Path, weights: str, quick: bool, path: Path | None) -> None:
    """Restore all pairs, rank them by score, and write pictures of the best, the middle and the worst."""
    samples = dict(list(load_pairs(pairs).items())[: SHOWN if quick else None])
    restore = make_restore(load_restorer(weights, fill=default_fill(weights)))
    results = {name: restore(sample) for name, sample in samples.items()}
    figures = {name: _figures(result, samples[name]) for name, result in results.items()}
    ranked = sorted(samples, key=lambda name: figures[name]["score"], reverse=True)
    for group, names in choose_groups(ranked).items():
        columns = [[samples[name].image for name in names], [results[name] for name in names]]
        columns.append([samples[name].truth for name in names])
        grid = [list(row) for row in zip(*columns, strict=True)]
        write_contact_sheet(out / f"gallery-{group}.jpg", grid, SIDE)
    result = {"weights": weights, "groups": choose_groups(ranked), "pairs": {name: figures[name] for name in ranked}}
    timing.report(result, path)
    click.echo(_table(result["pairs"]), err=True)


def choose_groups(ranked: list[str]) -> dict[str, list[str]]:
    """Return the names of the first, the middle and the last `SHOWN` of a ranking, by group."""
    middle = (len(ranked) - SHOWN) // 2
    return {"best": ranked[:SHOWN], "middle": ranked[middle : middle + SHOWN], "worst": ranked[-SHOWN:]}


def _figures(result: np.ndarray, sample: Sample) -> dict[str, Any]:
    score = asdict(metrics.score(result, sample.truth, sample.mask))
    lost = float(np.mean(sample.mask))
    return score | {"ab": color_distance(result, sample.truth), "lost": lost}


def _table(figures: Mapping[str, Mapping[str, float]]) -> str:
    names = list(next(iter(figures.values())))
    rows = ["| photograph | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    rows += [
        f"| {name} | " + " | ".join(f"{value:.3f}" for value in row.values()) + " |" for name, row in figures.items()
    ]
    return "\n".join(rows)
