"""Count how often photographs are judged wrongly as gray, toned or in colour, with borders, stains and handwriting.

    python -m benchmarks toning PHOTOS --part test

PHOTOS has the folders of `photo_split.csv`. The pictures are made here, so their labels are known: an unchanged
photograph of the split counts as "colour". Its luma, as it is or in one of four sepia tones, counts as "gray" or
"toned", also with a coloured border, a stain, handwriting in ink, or all three. All are then saved as JPEG of quality
85.

The JSON has for each way a picture is made: ``count``, and ``wrong``, the fraction that is judged as another kind.
"""

from __future__ import annotations

import io as streams
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np
from PIL import Image

from benchmarks import photo_split
from benchmarks.common import timing
from toolbox.color import integer_luma
from toolbox.imaging import io
from toolbox.imaging.sepia import measure_toning

SEPIA = ((1.07, 0.95, 0.78), (1.05, 0.97, 0.86), (1.1, 0.93, 0.68), (1.03, 0.98, 0.9))
INKS = ((20, 40, 140), (150, 25, 30), (15, 100, 60), (60, 30, 110))
Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def border(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a picture with a border of one colour, 2 to 8 % of the short side wide."""
    width = max(2, round(min(rgb.shape[:2]) * random.uniform(0.02, 0.08)))
    color = random.integers(0, 256, 3).tolist()
    inner = rgb[width:-width, width:-width]
    return cv2.copyMakeBorder(inner, width, width, width, width, cv2.BORDER_CONSTANT, value=color)


def stain(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a picture with a soft yellow-brown stain over 1 to 4 % of it."""
    height, width = rgb.shape[:2]
    radius = np.sqrt(random.uniform(0.01, 0.04) * height * width / np.pi)
    y, x = random.uniform(0.2, 0.8) * height, random.uniform(0.2, 0.8) * width
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - y, columns - x) / radius
    strength = random.uniform(0.3, 0.8) / (1 + np.exp(12 * (distance - 1)))
    return np.rint(rgb * (1 - strength[..., None] * (1 - np.array((0.9, 0.65, 0.3))))).astype(np.uint8)


def handwriting(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a picture with a line of loops in ink near its lower edge."""
    height, width = rgb.shape[:2]
    steps = np.linspace(0, 1, 200)
    letters = random.uniform(8, 20)
    x = width * (0.1 + 0.6 * steps) + 0.01 * width * np.sin(2 * np.pi * letters * steps)
    y = height * (0.88 + 0.03 * np.cos(2 * np.pi * letters * steps + random.uniform(0, 6)))
    points = np.rint(np.stack([x, y], axis=1)).astype(np.int32)
    written = rgb.copy()
    color = INKS[random.integers(len(INKS))]
    cv2.polylines(written, [points], False, color, max(1, min(height, width) // 150), cv2.LINE_AA)
    return written


MARKS: dict[str, tuple[Draw, ...]] = {
    "clean": (),
    "border": (border,),
    "stain": (stain,),
    "handwriting": (handwriting,),
    "all three": (stain, handwriting, border),
}


def measure(photos: Path, part: str, count: int | None) -> dict[str, dict[str, float]]:
    """Return for each way a picture is made the number of pictures and the fraction that is judged wrongly."""
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for row in photo_split.spread(photo_split.read(part=part), count):
        file = row["file"]
        rgb = io.read_rgb(photos / file)
        random = np.random.default_rng(zlib.crc32(file.encode()))
        gray = np.repeat(integer_luma(rgb)[..., None], 3, axis=2)
        tone = np.array(SEPIA[random.integers(len(SEPIA))])
        toned = np.clip(np.rint(gray * tone), 0, 255).astype(np.uint8)
        made = {"colour, clean": (rgb, "colour")}
        for name, draws in MARKS.items():
            for kind, base in (("gray", gray), ("toned", toned)):
                picture = base
                for draw in draws:
                    picture = draw(picture, random)
                made[f"{kind}, {name}"] = (picture, kind)
        for name, (picture, kind) in made.items():
            judged = measure_toning(_as_jpeg(picture)).kind
            counts[name] += 1
            wrong[name] += judged != kind
    return {name: {"count": counts[name], "wrong": round(wrong[name] / counts[name], 4)} for name in counts}


def _as_jpeg(rgb: np.ndarray) -> np.ndarray:
    stream = streams.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=85)
    return np.array(Image.open(stream))


@click.command("toning")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--part", type=click.Choice(["train", "development", "test"]), default="development", show_default=True)
@click.option("--count", type=click.IntRange(1), help="Number of photographs.  [default: all of the part]")
@timing.json_option
def command(photos: Path, part: str, count: int | None, path: Path | None) -> None:
    """Count how often gray, toned and colour photographs are judged wrongly."""
    timing.report(measure(photos, part, count), path)
