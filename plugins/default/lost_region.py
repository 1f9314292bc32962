"""The competition's damage: one flat gray shape over a grayscale photo, as measured on real inputs.

The input of a pair is Pillow's integer luma of the truth with one shape painted over it by ImageDraw in
one gray level, hard-edged. Half of the shapes are axis-parallel rectangles, a quarter circles, a quarter
polygons of 4 to 6 unsorted vertices, which cross themselves and are filled by the even-odd rule.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

# The sides measured on 512x512 inputs, as shares of the image's side.
RECTANGLE = (33 / 512, 149 / 512)
CIRCLE = (65 / 512, 144 / 512)
POLYGON = (179 / 512, 489 / 512)
VERTICES = (4, 6)


def _length(rng: np.random.Generator, shares: tuple[float, float], side: int) -> int:
    """Draw a length in pixels, evenly between two shares of `side`, at least one pixel."""
    least, most = (max(1, round(share * side)) for share in shares)
    return int(rng.integers(least, most, endpoint=True))


def _start(rng: np.random.Generator, length: int, side: int) -> int:
    """Draw the first pixel of a stretch of `length` that lies within `side`."""
    return int(rng.integers(0, side - length, endpoint=True))


def _draw_rectangle(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    across, down = _length(rng, RECTANGLE, width), _length(rng, RECTANGLE, height)
    x, y = _start(rng, across, width), _start(rng, down, height)
    draw.rectangle((x, y, x + across - 1, y + down - 1), fill=1)


def _draw_circle(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    # Even in the logarithm, since the measured median (2.7 % of the area) is below an even draw's (3.3 %).
    share = math.exp(rng.uniform(*np.log(CIRCLE)))
    diameter = max(1, round(share * min(width, height)))
    x, y = _start(rng, diameter, width), _start(rng, diameter, height)
    if diameter == 1:
        # ImageDraw leaves an ellipse of one pixel unpainted.
        draw.point((x, y), fill=1)
    draw.ellipse((x, y, x + diameter - 1, y + diameter - 1), fill=1)


def _draw_polygon(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    across, down = _length(rng, POLYGON, width), _length(rng, POLYGON, height)
    x, y = _start(rng, across, width), _start(rng, down, height)
    corners = rng.random((int(rng.integers(*VERTICES, endpoint=True)), 2))
    # Stretched to the drawn box, so that the sides keep to the measured range.
    corners = (corners - corners.min(axis=0)) / np.ptp(corners, axis=0)
    pixels = np.rint(corners * (across - 1, down - 1)).astype(int) + (x, y)
    draw.polygon([(int(px), int(py)) for px, py in pixels], fill=1)


SHAPES = (_draw_rectangle, _draw_circle, _draw_polygon)


def damage(
    photo: np.ndarray,
    rng: np.random.Generator,
    *,
    low: int = 0,
    high: int = 100,
    rectangle: float = 0.5,
    circle: float = 0.25,
    polygon: float = 0.25,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the photo in gray with one flat shape painted over it, and what was painted.

    Args:
        photo: (H, W, 3) uint8 RGB, of any size from 1x1.
        rng: the only source of randomness; the same state gives the same damage.
        low: the darkest gray level painted, 0 to 255.
        high: the brightest gray level painted, `low` to 255.
        rectangle: weight of rectangles among the shapes; the three weights needn't add up to one.
        circle: weight of circles.
        polygon: weight of polygons.

    Returns:
        Pillow's luma (ITU-R 601, integer) with the shape in one gray level, (H, W) uint8; and the mask,
        (H, W) bool, True on exactly the pixels that ImageDraw painted.

    Raises:
        ValueError: the photo is not (H, W, 3) uint8, the levels or the weights are out of range.

    Source: measured on 36 inputs of DACON competition 236420; the sides and areas are shares of 512x512.
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
        raise ValueError(f"damage() needs a photo of (H, W, 3) uint8, not {photo.shape} {photo.dtype}.")
    if not 0 <= low <= high <= 255:
        raise ValueError(f"damage() needs gray levels 0 <= low <= high <= 255, not {low} and {high}.")
    weights = np.array([rectangle, circle, polygon], dtype=float)
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.sum() > 0):
        raise ValueError(f"damage() needs shape weights of 0 or more, one above 0, not {weights.tolist()}.")
    height, width = photo.shape[:2]
    shape = SHAPES[int(rng.choice(len(SHAPES), p=weights / weights.sum()))]
    level = int(rng.integers(low, high, endpoint=True))
    canvas = Image.new("L", (width, height))
    shape(ImageDraw.Draw(canvas), width, height, rng)
    mask = np.asarray(canvas) > 0
    gray = np.array(Image.fromarray(photo).convert("L"))
    gray[mask] = level
    return gray, mask
