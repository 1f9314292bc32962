"""Measure how well the lost region is found, on damaged and on undamaged photographs.

    python -m benchmarks mask --photos DIR --count 200 --size 512

Each photograph is cropped to its central square, resized and damaged once, with its own seed. There is one line for
each shape of the damage, and one for all. The columns are: the number of photographs; the fraction of photographs in
which every lost pixel is found; the fraction in which the mask is exact; the fraction of pixels that are marked but
not lost, on average and at most, and the number of photographs in which it is over 0.1 %. Then follow the number of
undamaged photographs in which a lost region is found, with their names, and the time for a photograph.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from PIL import Image
from toolbox_plugins.default.lost_region import damage

from benchmarks.photo_split import spread
from toolbox.color import integer_luma
from toolbox.masks.lost_region import find_lost_region

SHAPES = ("rectangle", "circle", "polygon")
PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos" / "train"


def read_square(path: Path, size: int) -> np.ndarray:
    """Return the central square of a photograph, (size, size, 3) uint8 RGB."""
    with Image.open(path) as image:
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        square = image.convert("RGB").crop((left, top, left + side, top + side))
        return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


@click.command("mask")
@click.option(
    "--photos",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=PHOTOS,
    help="Folder of JPEG or PNG photographs.",
)
@click.option("--count", type=click.IntRange(1), default=200, help="Number of photographs, spread over the folder.")
@click.option("--size", type=click.IntRange(8), default=512, help="Side of the square, in pixels.")
def command(photos: Path, count: int, size: int) -> None:
    """Find the lost region of damaged and undamaged photographs, and print how often it is right."""
    paths = sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise click.UsageError(f"{photos} has no JPEG or PNG photographs. Choose another folder with --photos.")
    paths = list(spread(paths, count))
    count = len(paths)
    rows = []
    false_alarms = []
    for number, path in enumerate(paths):
        truth = read_square(path, size)
        shape = SHAPES[max(0, number % 4 - 1)]
        weights = {name: float(name == shape) for name in SHAPES}
        gray, mask = damage(truth, np.random.default_rng(number), **weights)
        start = time.perf_counter()
        found = find_lost_region(gray)
        seconds = time.perf_counter() - start
        rows.append((shape, not (mask & ~found).any(), float(np.mean(found & ~mask)), seconds))
        if find_lost_region(integer_luma(truth)).any():
            false_alarms.append(path.name)
    click.echo(f"{count} photos at {size}x{size}")
    for name in (*SHAPES, "all"):
        selected = [row for row in rows if name in (row[0], "all")]
        if selected:
            click.echo(summary_line(name, selected))
    click.echo(f"false alarms on undamaged photos: {len(false_alarms)} of {count} {' '.join(false_alarms)}".rstrip())
    times = [1000 * row[3] for row in rows]
    click.echo(
        f"time a photo: {np.mean(times):.1f} ms on average, {np.median(times):.1f} median, {max(times):.0f} at most"
    )


def summary_line(name: str, rows: list[tuple[str, bool, float, float]]) -> str:
    """Return the line of one shape from rows of shape, all lost pixels found, fraction of extra pixels, seconds."""
    complete, extra = sum(row[1] for row in rows), [row[2] for row in rows]
    exact = sum(row[1] and row[2] == 0 for row in rows)
    large = sum(fraction > 0.001 for fraction in extra)
    return (
        f"{name:9} {len(rows):4}: every lost pixel found {complete / len(rows):6.1%}, "
        f"exact {exact / len(rows):6.1%}, "
        f"extra on average {np.mean(extra):.4%}, at most {max(extra):.3%}, over 0.1 % in {large}"
    )
