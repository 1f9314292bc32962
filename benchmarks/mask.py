"""How well the lost region is found: painted over real photographs, and on the photographs as they are.

`python -m benchmarks.mask [--photos DIR] [--count N] [--size N]`; every photo is cropped to its middle
square, resized, damaged once with a seed of its own and looked at with and without the damage.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from PIL import Image
from toolbox_plugins.default.lost_region import damage

from toolbox.color import integer_luma
from toolbox.masks.lost_region import find_lost_region

SHAPES = ("rectangle", "circle", "polygon")
PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos" / "train"


def photo(path: Path, size: int) -> np.ndarray:
    """Return the middle square of a photo, (size, size, 3) uint8 RGB."""
    with Image.open(path) as image:
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        square = image.convert("RGB").crop((left, top, left + side, top + side))
        return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


@click.command("mask")
@click.option("--photos", type=click.Path(path_type=Path, file_okay=False, exists=True), default=PHOTOS)
@click.option("--count", type=click.IntRange(1), default=200, help="Photos, evenly taken from the folder.")
@click.option("--size", type=click.IntRange(8), default=512, help="Side of the square, in pixels.")
def command(photos: Path, count: int, size: int) -> None:
    """Find the lost region on damaged and undamaged photographs, and print the rates."""
    paths = sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise click.UsageError(f"{photos} holds no JPEG or PNG photo. Give another folder with --photos.")
    count = min(count, len(paths))
    chosen = [paths[k * len(paths) // count] for k in range(count)]
    rows = []
    alarms = []
    for number, path in enumerate(chosen):
        truth = photo(path, size)
        shape = SHAPES[max(0, number % 4 - 1)]
        weights = {name: float(name == shape) for name in SHAPES}
        gray, mask = damage(truth, np.random.default_rng(number), **weights)
        start = time.perf_counter()
        found = find_lost_region(gray)
        seconds = time.perf_counter() - start
        rows.append((shape, not (mask & ~found).any(), float(np.mean(found & ~mask)), seconds))
        if find_lost_region(integer_luma(truth)).any():
            alarms.append(path.name)
    click.echo(f"{count} photos at {size}x{size}")
    for name in (*SHAPES, "all"):
        own = [row for row in rows if name in (row[0], "all")]
        if own:
            whole, extra = sum(row[1] for row in own), [row[2] for row in own]
            exact = sum(row[1] and row[2] == 0 for row in own)
            much = sum(share > 0.001 for share in extra)
            click.echo(
                f"{name:9} {len(own):4}: every lost pixel found {whole / len(own):6.1%}, "
                f"exact {exact / len(own):6.1%}, "
                f"extra on average {np.mean(extra):.4%}, at most {max(extra):.3%}, over 0.1 % in {much}"
            )
    times = [1000 * row[3] for row in rows]
    click.echo(f"false alarms on undamaged photos: {len(alarms)} of {count} {' '.join(alarms)}".rstrip())
    click.echo(
        f"time a photo: {np.mean(times):.1f} ms on average, {np.median(times):.1f} median, {max(times):.0f} at most"
    )


if __name__ == "__main__":
    command()
