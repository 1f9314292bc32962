"""Measure how near the best of several colourings is to the truth, and how much they differ.

    python -m benchmarks variants --photos DIR --set development --count 4

`DIR` has the photographs that `photo_split.csv` names. Each is restored from gray. The JSON has the mean distance in
a*, b* to the truth of the first colouring and of the best of 2 to `count`, how often each is the best, and the mean
distance between two colourings. With ``--sheet``, a PNG shows every tenth photograph: the colourings, then the truth.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from benchmarks import photo_split
from benchmarks.color import SIDE, shrink, write_sheet
from benchmarks.common import timing
from toolbox.color import integer_luma
from toolbox.evaluation.colors import ab
from toolbox.imaging import io
from toolbox.inference.loading import load_restorer


@click.command("variants")
@click.option("--weights", default="luma", show_default=True)
@click.option(
    "--photos", type=click.Path(exists=True, path_type=Path), required=True, help="Folder of the split photographs."
)
@click.option("--set", "chosen", type=click.Choice(photo_split.SETS[:3]), default="development", show_default=True)
@click.option("--count", type=click.IntRange(2, 8), default=4, show_default=True)
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Use every n-th photograph.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a PNG of every tenth photograph.")
@timing.quick_option
@timing.json_option
def command(
    weights: str,
    photos: Path,
    chosen: str,
    count: int,
    every: int,
    sheet: Path | None,
    quick: bool,
    path: Path | None,
) -> None:
    """Measure the variants of weights on a set of the split."""
    rows = photo_split.read(part=chosen)[: 3 if quick else None : every]
    restorer = load_restorer(weights, device="cpu")
    distances, spreads, shown = [], [], []
    for number, row in enumerate(rows):
        truth = shrink(io.read_rgb(photos / row["file"]))
        gray = integer_luma(truth)
        pictures = [result.pixels for result in restorer.variants(gray, np.zeros(gray.shape, bool), count=count)]
        colors = [ab(picture) for picture in pictures]
        distances.append([distance(color, ab(truth)) for color in colors])
        spreads.append([distance(one, other) for index, one in enumerate(colors) for other in colors[:index]])
        if sheet is not None and number % 10 == 0:
            shown.append([*pictures, truth])
    if sheet is not None:
        write_sheet(sheet, [list(column) for column in zip(*shown, strict=True)])
    timing.report({"set": chosen, "side": SIDE, "figures": summarize(np.array(distances), np.array(spreads))}, path)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean distance between two pictures of a* and b*, (H, W, 2)."""
    return float(np.hypot(*np.moveaxis(first - second, -1, 0)).mean())


def summarize(distances: np.ndarray, spreads: np.ndarray) -> dict[str, object]:
    """Return the figures of N photographs with V variants.

    Args:
        distances: (N, V), of each variant to the truth.
        spreads: (N, V (V - 1) / 2), of each two variants.
    """
    count = distances.shape[1]
    first = distances[:, 0].mean()
    best = {number: distances[:, :number].min(1).mean() for number in range(2, count + 1)}
    return {
        "photographs": len(distances),
        "distance of each": [float(value) for value in distances.mean(0)],
        "distance of the best": {str(number): float(value) for number, value in best.items()},
        "nearer": {str(number): float(1 - value / first) for number, value in best.items()},
        "is the best": [float(value) for value in np.bincount(distances.argmin(1), minlength=count) / len(distances)],
        "distance of two": float(spreads.mean()),
        "distance of the two that are nearest": float(spreads.min(1).mean()),
    }
