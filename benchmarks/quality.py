"""Compare restored photographs with their truth: the competition's score, and figures beyond the score.

    python -m benchmarks quality --pairs DIR --weights luma --lpips FILE.safetensors

The JSON and a Markdown table have one row for each method, with the means over all pairs:

- ``S``, ``M``, ``C``, ``score``: the competition's score and its terms (docs/score.md); higher is better.
- ``psnr``: in dB; higher is better.
- ``ab``: mean distance of a* and b* of CIELAB; lower is better.
- ``colourfulness``: colourfulness of the result divided by that of the truth; 1 is best.
- ``luma``: largest change of the known luma, in levels of 255; 0 is best.
- ``lpips``: perceptual distance, only with ``--lpips``; lower is better.
- ``seconds``: time for one photograph.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np
import torch

from benchmarks.common import timing
from toolbox.color import integer_luma
from toolbox.evaluation import metrics
from toolbox.evaluation.colors import color_distance, colorfulness
from toolbox.evaluation.lpips import Lpips
from toolbox.hooks.protocols import Sample
from toolbox.imaging import io
from toolbox.inference.loading import load_restorer
from toolbox.inference.restorer import Restorer
from toolbox.training.validate import inpaint_gray


@click.command("quality")
@click.option("--pairs", type=click.Path(path_type=Path), required=True, help="Folder with input/, truth/ and masks/.")
@click.option("--weights", multiple=True, help="A published name, a file or a run folder.  [default: luma]")
@click.option(
    "--fill", "fills", multiple=True, help="A filler, or network.  [default: as the recipe of the weights says]"
)
@click.option("--lpips", type=click.Path(path_type=Path), help="Weights of VGG16 and the LPIPS 0.1 heads, safetensors.")
@click.option(
    "--sheet", type=click.Path(path_type=Path), help="Write a JPEG of every third pair: input, results, truth."
)
@timing.quick_option
@timing.json_option
def command(
    pairs: Path,
    weights: tuple[str, ...],
    fills: tuple[str, ...],
    lpips: Path | None,
    sheet: Path | None,
    quick: bool,
    path: Path | None,
) -> None:
    """Restore all pairs by several weights and by OpenCV, and print the mean figures of each method."""
    samples = list(load_pairs(pairs).values())[: 2 if quick else None]
    lpips_distance = None if lpips is None else Lpips(lpips)
    methods: dict[str, Callable[[Sample], np.ndarray]] = {
        "input as it is": lambda sample: sample.image,
        "OpenCV Telea in gray": inpaint_gray,
    }
    ours = {}
    for name, fill in itertools.product(weights or ("luma",), fills or (None,)):
        ours[f"{name}, {fill}" if fill else name] = make_restore(load_restorer(name, fill=fill))
    methods |= ours
    rows, columns = {}, [[sample.image for sample in samples]]
    for name, restore in methods.items():
        start = time.perf_counter()
        results = [restore(sample) for sample in samples]
        seconds = (time.perf_counter() - start) / len(samples)
        rows[name] = mean_figures(results, samples, lpips_distance) | {"seconds": seconds}
        columns += [results] if name in ours else []
    columns.append([sample.truth for sample in samples])
    result = {"pairs": len(samples), "threads": torch.get_num_threads(), "rows": rows} | timing.environment()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1), "utf-8")
    if sheet is not None:
        write_contact_sheet(sheet, [column[::3] for column in columns])
    click.echo(json.dumps(result, indent=1))
    names = list(next(iter(rows.values())))
    click.echo("| method | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|", err=True)
    for name, row in rows.items():
        click.echo(f"| {name} | " + " | ".join(f"{value:.3f}" for value in row.values()) + " |", err=True)


def load_pairs(folder: Path) -> dict[str, Sample]:
    """Return the pairs of a folder with input/, truth/ and masks/, by the names of the files."""
    pairs = {}
    for truth in io.find_images(folder / "truth"):
        gray = io.read_gray(folder / "input" / truth.name)
        pairs[truth.stem] = Sample(
            image=np.repeat(gray[..., None], 3, axis=2),
            mask=io.read_mask(folder / "masks" / truth.name),
            truth=io.read_rgb(truth),
        )
    return pairs


def make_restore(restorer: Restorer) -> Callable[[Sample], np.ndarray]:
    """Return a function that restores a sample from its gray photograph and its mask."""
    return lambda sample: restorer(np.ascontiguousarray(sample.image[..., 0]), sample.mask)


def mean_figures(results: list[np.ndarray], samples: list[Sample], lpips: Lpips | None) -> dict[str, float]:
    """Return the mean figures of the results; see the module docstring."""
    pairs = list(zip(results, samples, strict=True))
    scores = metrics.mean([metrics.score(result, sample.truth, sample.mask) for result, sample in pairs])
    figures = {"S": scores.S, "M": scores.M, "C": scores.C, "score": scores.score or 0.0}
    figures["psnr"] = mean(cv2.PSNR(result, sample.truth) for result, sample in pairs)
    figures["ab"] = mean(color_distance(result, sample.truth) for result, sample in pairs)
    figures["colourfulness"] = mean(colorfulness(result) / colorfulness(sample.truth) for result, sample in pairs)
    figures["luma"] = max(
        int(np.abs(integer_luma(result).astype(int) - sample.image[..., 0])[~sample.mask].max())
        for result, sample in pairs
    )
    if lpips is not None:
        figures["lpips"] = mean(lpips(result, sample.truth) for result, sample in pairs)
    return figures


def mean(values) -> float:
    """Return the arithmetic mean of any iterable."""
    return float(np.mean(list(values)))


def write_contact_sheet(path: Path, grid: list[list[np.ndarray]], side: int = 160) -> None:
    """Write a grid of pictures, each reduced to `side` pixels, to one JPEG file."""
    small = [[cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in row] for row in grid]
    sheet = np.vstack([np.hstack(row) for row in small])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise click.ClickException(f"{path} can't be written.")
