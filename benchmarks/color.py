"""Measure how true the colours of weights are: restore a set of photographs from gray and compare with the truth.

    python -m benchmarks color luma FILE.safetensors --photos DIR --set development

`DIR` has the photographs that `photo_split.csv` names. The JSON has for each weights the figures of
`benchmarks.common.color_figures`, the competition's score on the central squares with simulated damage, and the time
of a photograph, also divided by that of the first weights. With ``--sheet``, a PNG shows every tenth photograph: gray,
results, truth.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from toolbox_plugins.default.lost_region import damage

from benchmarks import photo_split
from benchmarks.common import color_figures, timing
from toolbox.color import integer_luma
from toolbox.evaluation import metrics
from toolbox.evaluation.lpips import Lpips
from toolbox.imaging import io
from toolbox.inference.loading import load_restorer
from toolbox.inference.restorer import Restorer

SIDE = 256  # short side of the photographs in pixels
SEED = 18


@click.command("color")
@click.argument("weights", nargs=-1)
@click.option(
    "--photos", type=click.Path(exists=True, path_type=Path), required=True, help="Folder of the split photographs."
)
@click.option("--set", "chosen", type=click.Choice(photo_split.SETS[:3]), default="development", show_default=True)
@click.option("--lpips", type=click.Path(path_type=Path), help="Weights of LPIPS, as for `quality`.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a PNG of every tenth photograph.")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Use every n-th photograph.")
@timing.quick_option
@timing.json_option
def command(
    weights: tuple[str, ...],
    photos: Path,
    chosen: str,
    lpips: Path | None,
    sheet: Path | None,
    every: int,
    quick: bool,
    path: Path | None,
) -> None:
    """Measure WEIGHTS (published names, files or run folders) on a set of the split."""
    rows = photo_split.read(part=chosen)[: 3 if quick else None : every]
    restorers = {name: load_restorer(name, device="cpu") for name in weights or ("luma",)}
    truths = [shrink(io.read_rgb(photos / row["file"])) for row in rows]
    measure = None if lpips is None else Lpips(lpips)
    results, seconds = restore_gray(restorers, truths)
    rows_by_weights: dict[str, Any] = {}
    for name, restorer in restorers.items():
        counts = [color_figures.compare(result, truth) for result, truth in zip(results[name], truths, strict=True)]
        figures = color_figures.summarize(counts, [row["category"] for row in rows])
        figures |= mean_scores(restorer, truths, [row["file"] for row in rows])
        if measure is not None:
            pairs = zip(results[name], truths, strict=True)
            figures["lpips"] = float(np.mean([measure(result, truth) for result, truth in pairs]))
        figures["seconds"] = sum(seconds[name]) / len(truths)
        figures["time_ratio"] = sum(seconds[name]) / sum(next(iter(seconds.values())))
        rows_by_weights[name] = figures
    if sheet is not None:
        gray = [cv2.cvtColor(integer_luma(truth), cv2.COLOR_GRAY2RGB) for truth in truths]
        write_sheet(sheet, [column[::10] for column in (gray, *results.values(), truths)])
    timing.report({"set": chosen, "side": SIDE, "seed": SEED, "figures": rows_by_weights}, path)


def restore_gray(
    restorers: dict[str, Restorer], truths: list[np.ndarray]
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[float]]]:
    """Return the results of each restorer and its CPU seconds; the restorers alternate photograph by photograph."""
    results: dict[str, list[np.ndarray]] = {name: [] for name in restorers}
    seconds: dict[str, list[float]] = {name: [] for name in restorers}
    for truth in truths:
        gray = integer_luma(truth)
        no_mask = np.zeros(gray.shape, bool)
        for name, restorer in restorers.items():
            started = time.process_time()
            results[name].append(restorer(gray, no_mask))
            seconds[name].append(time.process_time() - started)
    return results, seconds


def mean_scores(
    restorer: Callable[[np.ndarray, np.ndarray], np.ndarray], truths: list[np.ndarray], names: list[str]
) -> dict[str, float | None]:
    """Return the competition's mean scores on the central squares; the name of a photograph seeds its damage."""
    scores = []
    for truth, name in zip(truths, names, strict=True):
        square_photo = central_square(truth)
        seed = [SEED, *hashlib.sha256(name.encode("utf-8")).digest()[:4]]
        gray, mask = damage(square_photo, np.random.default_rng(seed))
        scores.append(metrics.score(restorer(gray, mask), square_photo, mask))
    mean = metrics.mean(scores)
    return {"S": mean.S, "M": mean.M, "C": mean.C, "score": mean.score}


def shrink(photo: np.ndarray) -> np.ndarray:
    """Return a photograph with a short side of at most `SIDE` pixels, (H, W, 3) uint8."""
    height, width = photo.shape[:2]
    scale = SIDE / min(height, width)
    if scale >= 1:
        return photo
    size = round(width * scale), round(height * scale)
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def central_square(photo: np.ndarray) -> np.ndarray:
    """Return the central square of a photograph."""
    height, width = photo.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(photo[top : top + side, left : left + side])


def write_sheet(path: Path, grid: list[list[np.ndarray]], side: int = 192) -> None:
    """Write the central squares to a PNG: each row of `grid` is a column of pictures; two photographs in each row."""
    cells = [
        np.hstack([cv2.resize(central_square(picture), (side, side), interpolation=cv2.INTER_AREA) for picture in row])
        for row in zip(*grid, strict=True)
    ]
    cells += [np.full_like(cells[0], 255)] * (len(cells) % 2)
    gap = np.full((side, 12, 3), 255, np.uint8)
    rows = [np.hstack([first, gap, second]) for first, second in zip(cells[::2], cells[1::2], strict=True)]
    io.write_png(path, np.vstack(rows))
