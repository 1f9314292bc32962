"""Draw again what ImageDraw drew: the rectangle or the circle that fits a flat part of a photo.

`same` are the pixels that have the part's value, `part` the connected pixels to be explained, both
(H, W) bool; a fit is the shape drawn again, (H, W) bool, or None where none fits.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw

SQUARE = np.ones((3, 3), np.uint8)


def outline(mask: np.ndarray) -> np.ndarray:
    """Return the (N, 4) steps y, x, dy, dx out of the mask, from its pixels to neighbours in the image."""
    height, width = mask.shape
    padded = np.pad(mask, 1, mode="edge")
    found = []
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = np.nonzero(mask & ~padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width])
        found.append(np.stack([y, x, np.full_like(y, dy), np.full_like(x, dx)], axis=1))
    return np.concatenate(found)


def bends(mask: np.ndarray) -> int:
    """Return the number of bends of a mask's outline, small pieces and holes left out."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return sum(len(cv2.approxPolyDP(contour, 1.5, True)) for contour in contours if len(contour) >= 12)


def drawn(shape: tuple[int, ...], draw: Callable[[ImageDraw.ImageDraw], None]) -> np.ndarray:
    """Return what `draw` paints with fill=1 on an empty image of (height, width), as (H, W) bool."""
    canvas = Image.new("L", (shape[1], shape[0]))
    draw(ImageDraw.Draw(canvas))
    return np.asarray(canvas).view(bool)


def _ellipse(side: int, draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((0, 0, side - 1, side - 1), fill=1)


def rectangle(same: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return the rectangle that grows from the part's largest square while whole sides have the value."""
    distance = cv2.distanceTransform(np.pad(part, 1).astype(np.uint8), cv2.DIST_C, 3)
    _, reach, _, (x, y) = cv2.minMaxLoc(distance)
    half = round(reach) - 1
    top, left, bottom, right = y - 1 - half, x - 1 - half, y + half, x + half
    height, width = same.shape
    before = None
    while before != (top, left, bottom, right):
        before = (top, left, bottom, right)
        while top > 0 and same[top - 1, left:right].all():
            top -= 1
        while bottom < height and same[bottom, left:right].all():
            bottom += 1
        while left > 0 and same[top:bottom, left - 1].all():
            left -= 1
        while right < width and same[top:bottom, right].all():
            right += 1
    mask = np.zeros_like(same)
    mask[top:bottom, left:right] = True
    return mask


def _round(points: np.ndarray, keep: np.ndarray, largest: float) -> tuple[float, float, float] | None:
    """Return the circle x, y, radius through most of the points, found from those in `keep`."""
    for _ in range(8):
        if len(keep) < 8:
            return None
        # Kasa's algebraic fit, x^2 + y^2 = 2 a x + 2 b y + c, to the nearer points again and again.
        system = np.column_stack([2 * keep, np.ones(len(keep))])
        (a, b, c), *_ = np.linalg.lstsq(system, (keep**2).sum(axis=1), rcond=None)
        if not 1 < c + a * a + b * b < largest**2:
            return None
        radius = float(np.sqrt(c + a * a + b * b))
        away = np.abs(np.hypot(points[:, 0] - a, points[:, 1] - b) - radius)
        keep = points[away <= max(1.2, 1.5 * float(np.median(np.minimum(away, 0.2 * radius + 2))))]
    # A drawn circle has 8 pixel sides a pixel of radius.
    if np.count_nonzero(away < 1.2) < min(0.5 * len(points), 4 * radius):
        return None
    return float(a), float(b), radius


def circle(same: np.ndarray, part: np.ndarray) -> np.ndarray | None:
    """Return the largest drawn circle that has the value throughout and runs along the part's outline."""
    steps = outline(part)
    points = steps[:, 1::-1] + steps[:, 3:1:-1] / 2
    found = _round(points, points, max(same.shape))
    if found is None:
        # Much of the outline may be that of natural neighbours: begin at the largest disc inside.
        _, reach, _, middle = cv2.minMaxLoc(cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5))
        away = np.abs(np.hypot(*(points - middle).T) - reach)
        found = _round(points, points[away < 0.1 * reach + 2], max(same.shape))
    if found is None:
        return None
    a, b, radius = found
    height, width = same.shape
    best, most = None, 0
    for side in range(max(2, round(2 * radius) - 2), round(2 * radius) + 3):
        disc = drawn((side, side), functools.partial(_ellipse, side))
        top, left = round(b - (side - 1) / 2), round(a - (side - 1) / 2)
        for y, x in itertools.product(range(top - 2, top + 3), range(left - 2, left + 3)):
            inside = disc[max(0, -y) : max(0, height - y), max(0, -x) : max(0, width - x)]
            place = slice(max(0, y), max(0, y + side)), slice(max(0, x), max(0, x + side))
            size = int(np.count_nonzero(inside))
            if size > most and same[place][inside].all():
                best, most = (place, inside), size
    if best is None:
        return None
    mask = np.zeros_like(same)
    mask[best[0]] = best[1]
    return mask
