"""Fit a rectangle or a circle, as Pillow's ImageDraw draws them, to a flat area of a photograph.

`same` are the pixels that have the level of the area, and `area` the connected pixels to explain, both (H, W) bool. A
fit is the shape drawn again, (H, W) bool, or None if none fits.
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
    """Return the steps out of a mask, (N, 4): y and x of its pixel, dy and dx to the neighbour inside the image."""
    height, width = mask.shape
    padded = np.pad(mask, 1, mode="edge")
    steps = []
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = np.nonzero(mask & ~padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width])
        steps.append(np.stack([y, x, np.full_like(y, dy), np.full_like(x, dx)], axis=1))
    return np.concatenate(steps)


def count_bends(mask: np.ndarray) -> int:
    """Return the number of bends of a mask's outline, without small pieces and holes."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return sum(len(cv2.approxPolyDP(contour, 1.5, True)) for contour in contours if len(contour) >= 12)


def draw_mask(shape: tuple[int, ...], draw: Callable[[ImageDraw.ImageDraw], None]) -> np.ndarray:
    """Return the pixels that `draw` paints with fill=1 on an empty image of (height, width), as (H, W) bool."""
    canvas = Image.new("L", (shape[1], shape[0]))
    draw(ImageDraw.Draw(canvas))
    return np.asarray(canvas).view(bool)


def fit_rectangle(same: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Return the rectangle that grows from the largest square in the area, while a whole side has the level."""
    distance = cv2.distanceTransform(np.pad(area, 1).astype(np.uint8), cv2.DIST_C, 3)
    _, largest, _, (x, y) = cv2.minMaxLoc(distance)
    half = round(largest) - 1
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


def fit_circle(same: np.ndarray, area: np.ndarray) -> np.ndarray | None:
    """Return the largest drawn circle whose pixels all have the level, and which runs along the area's outline."""
    steps = outline(area)
    points = steps[:, 1::-1] + steps[:, 3:1:-1] / 2
    circle = _fit_points(points, points, max(same.shape))
    if circle is None:
        # Natural neighbours may make up much of the outline: start from the largest disc inside.
        _, radius, _, centre = cv2.minMaxLoc(cv2.distanceTransform(area.astype(np.uint8), cv2.DIST_L2, 5))
        distance = np.abs(np.hypot(*(points - centre).T) - radius)
        circle = _fit_points(points, points[distance < 0.1 * radius + 2], max(same.shape))
    return None if circle is None else _draw_best_circle(same, *circle)


def _fit_points(points: np.ndarray, start: np.ndarray, largest: float) -> tuple[float, float, float] | None:
    """Return x, y and radius of the circle through most of the points (N, 2), starting from the points in `start`."""
    nearby = start
    for _ in range(8):
        if len(nearby) < 8:
            return None
        # Kasa's algebraic fit, x^2 + y^2 = 2 a x + 2 b y + c, repeated with the points near the last circle.
        system = np.column_stack([2 * nearby, np.ones(len(nearby))])
        (a, b, c), *_ = np.linalg.lstsq(system, (nearby**2).sum(axis=1), rcond=None)
        if not 1 < c + a * a + b * b < largest**2:
            return None
        radius = float(np.sqrt(c + a * a + b * b))
        distance = np.abs(np.hypot(points[:, 0] - a, points[:, 1] - b) - radius)
        nearby = points[distance <= max(1.2, 1.5 * float(np.median(np.minimum(distance, 0.2 * radius + 2))))]
    # A drawn circle has 8 sides of pixels per pixel of its radius.
    if np.count_nonzero(distance < 1.2) < min(0.5 * len(points), 4 * radius):
        return None
    return float(a), float(b), radius


def _draw_best_circle(same: np.ndarray, a: float, b: float, radius: float) -> np.ndarray | None:
    """Return the largest circle near this one whose pixels all have the level: sizes and positions are tried."""
    height, width = same.shape
    best, most = None, 0
    for side in range(max(2, round(2 * radius) - 2), round(2 * radius) + 3):
        disc = draw_mask((side, side), functools.partial(_draw_disc, side))
        top, left = round(b - (side - 1) / 2), round(a - (side - 1) / 2)
        for y, x in itertools.product(range(top - 2, top + 3), range(left - 2, left + 3)):
            visible = disc[max(0, -y) : max(0, height - y), max(0, -x) : max(0, width - x)]
            box = slice(max(0, y), max(0, y + side)), slice(max(0, x), max(0, x + side))
            size = int(np.count_nonzero(visible))
            if size > most and same[box][visible].all():
                best, most = (box, visible), size
    if best is None:
        return None
    mask = np.zeros_like(same)
    mask[best[0]] = best[1]
    return mask


def _draw_disc(side: int, draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((0, 0, side - 1, side - 1), fill=1)
