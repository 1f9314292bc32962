"""Draw alpha masks of scratches, hairs, folds and cracks.

Every function returns an array (H, W) float32 in [0, 1]: how much of a pixel is damaged.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator

# OpenCV's drawing functions take coordinates in fixed point with this many bits after the point.
SHIFT = 4


def draw_polyline(size: tuple[int, int], points: np.ndarray, width: float) -> np.ndarray:
    """Return the line through points (n, 2), x and y in pixels, with a width in pixels; below 1 it is fainter."""
    canvas = np.zeros(size, np.uint8)
    fixed = np.rint(points * 2**SHIFT).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, 255, max(1, round(width)), cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) * (min(1.0, max(0.4, width)) / 255)


def fill_polygon(size: tuple[int, int], points: np.ndarray) -> np.ndarray:
    """Return the polygon with vertices (n, 2), filled."""
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [np.rint(points * 2**SHIFT).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) / 255


def stamp_polygon(alpha: np.ndarray, points: np.ndarray) -> None:
    """Draw a small polygon with vertices (n, 2) into `alpha` (H, W) float32, where it is stronger than before."""
    low = np.maximum(0, np.floor(points.min(0)).astype(int) - 1)
    right, bottom = np.ceil(points.max(0)).astype(int) + 2
    window = alpha[low[1] : max(0, bottom), low[0] : max(0, right)]
    if window.size:
        np.maximum(window, fill_polygon(window.shape, points - low), out=window)


def smooth_noise(size: tuple[int, int], cell: float, random: Generator) -> np.ndarray:
    """Return noise (H, W) float32 of about zero mean and unit deviation that varies over `cell` pixels."""
    height, width = size
    low = random.standard_normal((max(2, round(height / cell) + 1), max(2, round(width / cell) + 1))).astype(np.float32)
    return cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR if cell < 4 else cv2.INTER_CUBIC)


def draw_scratch(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return one scratch: nearly straight, of uneven strength, often interrupted; or a bundle of fine scratches."""
    if random.random() < 0.15:
        return _draw_scuffs(size, side, random)
    if random.random() < 0.25:
        angle, length = math.pi / 2 * int(random.integers(0, 2)) + random.normal(0, 0.02), 2.5 * side
    else:
        angle, length = random.uniform(0, np.pi), side * random.uniform(0.08, 1.2)
    points = _curve(size, angle, length, random.normal(0, 0.15), 0.002 * side, random)
    return draw_polyline(size, points, random.choice((0.6, 1, 1, 2, 2, 3, 4))) * _interruptions(size, random)


def draw_hair(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return one hair or thread: thin, of even strength, and curved."""
    length = side * random.uniform(0.1, 0.6)
    points = _curve(size, random.uniform(0, 2 * np.pi), length, random.normal(0, 2.5), 0.0, random, wave=1.2)
    return draw_polyline(size, points, random.choice((0.6, 1, 1, 2, 3)))


def draw_fold(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return one fold: a long ragged line, with flakes of the emulsion missing along it."""
    angle = math.pi / 2 * int(random.integers(0, 2)) + random.normal(0, 0.1)
    if random.random() < 0.4:
        angle = random.uniform(0, np.pi)
    points = _curve(size, angle, side * random.uniform(0.5, 2.5), random.normal(0, 0.08), 0.003 * side, random)
    width = random.uniform(1, max(2, 0.014 * side))
    alpha = draw_polyline(size, points, width)
    if random.random() < 0.6:
        near = cv2.blur(alpha, (round(2 * width) * 2 + 1,) * 2)
        alpha = np.maximum(alpha, (smooth_noise(size, 2 + width, random) + 4 * near > 1.7) * (near > 0.02))
    if random.random() < 0.5:
        alpha = alpha * _interruptions(size, random)
    return np.asarray(alpha, np.float32)


def draw_crack(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return one crack with branches, each an angular line that becomes thinner."""
    alpha = np.zeros(size, np.float32)
    start, angle = random.uniform(0, 1, 2) * size[::-1], random.uniform(0, 2 * np.pi)
    pending = [(start, angle, side * random.uniform(0.2, 0.9), random.uniform(1, max(2, 0.01 * side)))]
    while pending:
        start, angle, length, width = pending.pop()
        steps = max(3, int(length / (0.03 * side + 1)))
        angles = angle + np.cumsum(random.normal(0, 0.35, steps))
        moves = np.stack([np.cos(angles), np.sin(angles)], 1) * (length / steps)
        points = start + np.concatenate([[[0, 0]], np.cumsum(moves, 0)])
        alpha = np.maximum(alpha, draw_polyline(size, points, width))
        if length > 0.15 * side:
            for _ in range(random.integers(0, 3)):
                node = int(random.integers(1, steps))
                turned = angles[node] + random.choice((-1, 1)) * random.uniform(0.4, 1.2)
                pending.append((points[node], turned, length * random.uniform(0.2, 0.6), max(0.6, 0.7 * width)))
    return alpha


def _draw_scuffs(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    alpha = np.zeros(size, np.float32)
    centre, angle = random.uniform(0, 1, 2) * size[::-1], random.uniform(0, np.pi)
    for _ in range(random.integers(4, 20)):
        turned, length = angle + random.normal(0, 0.06), side * random.uniform(0.03, 0.3)
        start = centre + random.normal(0, 0.1 * side, 2)
        end = start + length * np.array([np.cos(turned), np.sin(turned)])
        alpha = np.maximum(alpha, draw_polyline(size, np.stack([start, end]), random.choice((0.6, 1, 1, 2))))
    return alpha * _interruptions(size, random)


def _curve(
    size: tuple[int, int],
    angle: float,
    length: float,
    bend: float,
    jitter: float,
    random: Generator,
    *,
    wave: float = 0.0,
) -> np.ndarray:
    """Return the points of a curve about a random point: it turns by `bend`, and by random waves, both in radians."""
    steps = max(8, int(length / 6))
    along = np.linspace(-0.5, 0.5, steps)
    angles = angle + bend * along
    if wave:
        angles = angles + np.interp(along, np.linspace(-0.5, 0.5, 6), random.normal(0, wave, 6))
    points = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), 0) * (length / steps)
    points += np.cumsum(random.normal(0, jitter, points.shape), 0) if jitter else 0
    return points - points[steps // 2] + random.uniform(0, 1, 2) * size[::-1]


def _interruptions(size: tuple[int, int], random: Generator) -> np.ndarray:
    """Return factors in [0, 1] that make a line uneven and interrupt it."""
    noise = smooth_noise(size, random.uniform(3, 30), random)
    strength = random.uniform(0.1, 1.2)
    return np.clip(1 - strength * (0.5 + noise), 0, 1)
