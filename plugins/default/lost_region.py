"""The competition's damage: a grayscale photo with one flat gray shape painted over it, as measured on real inputs.

The input of a pair is the truth in Pillow's integer luma, with one shape drawn by ImageDraw in one gray level, without
anti-aliasing. Half of the shapes are axis-parallel rectangles, a quarter are circles, and a quarter are polygons of 4
to 6 unsorted vertices. The polygons often cross themselves; they are filled by the even-odd rule.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

# Smallest and largest side of a shape's bounding box, measured on 512x512 inputs, as fractions of the image's side.
RECTANGLE = (33 / 512, 149 / 512)
CIRCLE = (65 / 512, 144 / 512)
POLYGON = (179 / 512, 489 / 512)
# Fewest and most vertices of a polygon.
VERTICES = (4, 6)


def _draw_length(rng: np.random.Generator, fractions: tuple[float, float], side: int) -> int:
    """Draw a length in pixels, uniformly between two fractions of `side`; at least one pixel."""
    shortest, longest = (max(1, round(fraction * side)) for fraction in fractions)
    return int(rng.integers(shortest, longest, endpoint=True))


def _draw_start(rng: np.random.Generator, length: int, side: int) -> int:
    """Draw the first pixel of a segment of `length` pixels that lies inside `side`."""
    return int(rng.integers(0, side - length, endpoint=True))


def _paint_rectangle(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    box_width, box_height = _draw_length(rng, RECTANGLE, width), _draw_length(rng, RECTANGLE, height)
    x, y = _draw_start(rng, box_width, width), _draw_start(rng, box_height, height)
    draw.rectangle((x, y, x + box_width - 1, y + box_height - 1), fill=1)


def _paint_circle(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    # Uniform in the logarithm: the measured median area (2.7 %) is below that of a uniform draw (3.3 %).
    fraction = math.exp(rng.uniform(*np.log(CIRCLE)))
    diameter = max(1, round(fraction * min(width, height)))
    x, y = _draw_start(rng, diameter, width), _draw_start(rng, diameter, height)
    if diameter == 1:
        # ImageDraw doesn't paint an ellipse of one pixel.
        draw.point((x, y), fill=1)
    draw.ellipse((x, y, x + diameter - 1, y + diameter - 1), fill=1)


def _paint_polygon(draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator) -> None:
    box_width, box_height = _draw_length(rng, POLYGON, width), _draw_length(rng, POLYGON, height)
    x, y = _draw_start(rng, box_width, width), _draw_start(rng, box_height, height)
    corners = rng.random((int(rng.integers(*VERTICES, endpoint=True)), 2))
    # Stretch the corners to the box, so that its sides stay in the measured range.
    corners = (corners - corners.min(axis=0)) / np.ptp(corners, axis=0)
    pixels = np.rint(corners * (box_width - 1, box_height - 1)).astype(int) + (x, y)
    draw.polygon([(int(px), int(py)) for px, py in pixels], fill=1)


SHAPES = (_paint_rectangle, _paint_circle, _paint_polygon)


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
    """Return the photo in gray with one flat shape painted over it, and the mask of the painted pixels.

    Args:
        photo: (H, W, 3) uint8 RGB, of any size from 1x1.
        rng: the only source of randomness; the same state gives the same damage.
        low: the darkest gray level of the shape, 0 to 255.
        high: the brightest gray level of the shape, `low` to 255.
        rectangle: relative frequency of rectangles; the three frequencies don't have to add up to 1.
        circle: relative frequency of circles.
        polygon: relative frequency of polygons.

    Returns:
        Pillow's luma (ITU-R 601, integer) with the shape in one gray level, (H, W) uint8; and the mask,
        (H, W) bool, True on exactly the pixels that ImageDraw painted.

    Raises:
        ValueError: the photo is not (H, W, 3) uint8, or the levels or the frequencies are out of range.

    Source: measured on 36 inputs of DACON competition 236420. Sides and areas are fractions of 512x512.
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
        raise ValueError(f"damage() needs a photo of (H, W, 3) uint8, not {photo.shape} {photo.dtype}.")
    if not 0 <= low <= high <= 255:
        raise ValueError(f"damage() needs gray levels 0 <= low <= high <= 255, not {low} and {high}.")
    weights = np.array([rectangle, circle, polygon], dtype=float)
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.sum() > 0):
        raise ValueError(f"damage() needs shape weights of 0 or more, at least one above 0, not {weights.tolist()}.")
    height, width = photo.shape[:2]
    paint = SHAPES[int(rng.choice(len(SHAPES), p=weights / weights.sum()))]
    level = int(rng.integers(low, high, endpoint=True))
    canvas = Image.new("L", (width, height))
    paint(ImageDraw.Draw(canvas), width, height, rng)
    mask = np.asarray(canvas) > 0
    gray = np.array(Image.fromarray(photo).convert("L"))
    gray[mask] = level
    return gray, mask
