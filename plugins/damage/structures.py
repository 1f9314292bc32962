"""Draw structures of scenes that look like faint or broad damage but are not: poles, bars, hair, cloud rims, tiles.

They are only for training; those of `lookalikes` are also used to measure the detector.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator

from .strokes import draw_polyline, smooth_noise


def add_structure(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph (H, W) uint8 with one structure of a scene."""
    draw = DRAWERS[int(random.integers(len(DRAWERS)))]
    return draw(gray, random)


def _blend(gray: np.ndarray, alpha: np.ndarray, level: np.ndarray | float) -> np.ndarray:
    return np.rint(np.clip(gray + alpha * (level - gray), 0, 255)).astype(np.uint8)


def _add_poles(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with poles, masts or trunks: upright, with a foot or a top inside, and shaded as rods."""
    height, width = gray.shape
    for _ in range(random.integers(1, 5)):
        x, lean = random.uniform(0, width), random.normal(0, 0.03)
        top, foot = random.uniform(-0.2, 0.6) * height, random.uniform(0.6, 1.3) * height
        thick, taper = math.exp(random.uniform(math.log(2), math.log(18))), random.uniform(0.5, 1)
        left = np.array([[x + lean * top, top], [x + lean * foot, foot]])
        widths = np.array([[thick * taper, 0.0], [thick, 0.0]])
        shape = np.concatenate([left, (left + widths)[::-1]])
        canvas = np.zeros(gray.shape, np.uint8)
        cv2.fillPoly(canvas, [np.rint(shape * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        across = (np.arange(width, dtype=np.float32)[None] - x - thick / 2) / thick
        level = random.uniform(0, 255) + random.uniform(-60, 60) * across * np.ones((height, 1), np.float32)
        gray = _blend(gray, canvas.astype(np.float32) / 255 * random.uniform(0.7, 1), level)
    return gray


def _add_bars(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with the bars of a window or a fence: equally spaced, each with a light and a dark side."""
    height, width = gray.shape
    position = np.arange(width, dtype=np.float32)
    period, thick = random.uniform(12, 120), random.uniform(1.5, 10)
    phase = np.mod(position + random.uniform(0, period), period)
    bar, side = np.clip(thick - phase, 0, 1), np.where(phase < thick / 2, 1, -1)
    level = random.uniform(0, 255) + random.uniform(-40, 40) * side
    rows = slice(*sorted(int(value) for value in random.uniform(-0.2, 1.2, 2).clip(0, 1) * height))
    alpha = np.zeros(gray.shape, np.float32)
    alpha[rows] = bar * random.uniform(0.4, 1)
    result = _blend(gray, alpha, level[None].astype(np.float32))
    if random.random() < 0.5:
        thick = int(random.uniform(1, 10))
        for row in (rows.start, (rows.start + rows.stop) // 2, rows.stop - thick):
            result[max(0, row) : max(0, row) + thick] = np.uint8(level[0].clip(0, 255))
    return np.ascontiguousarray(result[:, ::-1])


def _add_strands(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with strands of hair, fur or grass: very many thin curves in nearly the same direction."""
    size, centre = gray.shape, random.uniform(0, 1, 2) * gray.shape[::-1]
    light, dark = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    angle, bend = random.uniform(0, 2 * math.pi), random.normal(0, 1.2)
    length, spread = min(size) * random.uniform(0.1, 0.5), min(size) * random.uniform(0.04, 0.2)
    along = np.linspace(0, 1, 10)
    curves: list[np.ndarray] = []
    for _ in range(random.integers(40, 200)):
        turns = angle + random.normal(0, 0.12) + (bend + random.normal(0, 0.15)) * along
        points = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1), 0) * (length * random.uniform(0.5, 1) / 10)
        curves.append(np.rint((points + centre + random.normal(0, spread, 2)) * 16).astype(np.int32))
    half = len(curves) // 2
    cv2.polylines(light, curves[:half], False, 255, 1, cv2.LINE_AA, 4)
    cv2.polylines(dark, curves[half:], False, 255, 1, cv2.LINE_AA, 4)
    difference = random.uniform(8, 70) * (light.astype(np.float32) - dark) / 255
    return np.rint(np.clip(gray + difference, 0, 255)).astype(np.uint8)


def _add_cloud_rim(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with light or dark clouds: each has a clear rim on one side and fades on the other."""
    size = gray.shape
    cell = min(size) * random.uniform(0.1, 0.5)
    height = smooth_noise(size, cell, random) + 0.4 * smooth_noise(size, cell / 3, random)
    height = height + 0.15 * smooth_noise(size, max(2.0, cell / 9), random) - random.uniform(-0.3, 0.8)
    cloud: np.ndarray = np.where(height > 0, np.exp(-height / random.uniform(0.3, 1.5)), 0).astype(np.float32)
    cloud = cv2.GaussianBlur(cloud, (0, 0), random.uniform(0.5, 4))
    return np.rint(np.clip(gray + random.uniform(-45, 60) * cloud, 0, 255)).astype(np.uint8)


def _add_tiles(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with the joints of tiles, bricks or boards over a part of it, seen at an angle."""
    height, width = gray.shape
    canvas = np.zeros((256, 256), np.uint8)
    high, wide, thick = (int(value) for value in random.uniform((10, 16, 1), (48, 90, 4)))
    bonded = random.random() < 0.6
    for number, row in enumerate(range(0, 256, high)):
        canvas[row : row + thick] = 255
        for column in range(wide // 2 if bonded and number % 2 else 0, 256, wide):
            canvas[row : row + high, column : column + thick] = 255
    corners = np.array([[0, 0], [255, 0], [255, 255], [0, 255]], np.float32)
    scale = np.array([width, height]) * random.uniform(0.3, 1.2)
    target = (corners / 255 + random.uniform(-0.25, 0.25, (4, 2))) * scale + random.uniform(-0.2, 0.7, 2) * (
        width,
        height,
    )
    matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
    alpha = cv2.warpPerspective(canvas, matrix, (width, height), flags=cv2.INTER_AREA).astype(np.float32) / 255
    return _blend(gray, alpha * random.uniform(0.15, 0.8), random.choice((20.0, 70.0, 150.0, 230.0)))


def _add_beams(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with straight edges between two tones: roofs, walls, tables, sunbeams, horizons."""
    height, width = gray.shape
    image: np.ndarray = gray.astype(np.float32)
    for _ in range(random.integers(1, 4)):
        angle = random.choice((0.0, math.pi / 2)) + random.normal(0, 0.2)
        x, y = random.uniform(0, 1, 2) * (width, height)
        row, column = np.arange(height, dtype=np.float32)[:, None] - y, np.arange(width, dtype=np.float32)[None] - x
        across = row * np.float32(math.cos(angle)) - column * np.float32(math.sin(angle))
        step = np.clip(across / random.uniform(0.5, 12), -1, 1)
        image = image + random.uniform(-30, 30) * step
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


def _add_rigging(gray: np.ndarray, random: Generator) -> np.ndarray:
    """Return the photograph with ropes or twigs that meet in one point: rigging, spokes, a pylon, the top of a tree."""
    alpha = np.zeros(gray.shape, np.float32)
    hub, length = random.uniform(0, 1, 2) * gray.shape[::-1], min(gray.shape) * random.uniform(0.15, 0.9)
    middle, spread = random.uniform(0, 2 * math.pi), random.uniform(0.2, 3.2)
    thick = random.choice((0.6, 1, 1, 2))
    for turn in middle + random.uniform(-spread, spread, random.integers(3, 14)):
        end = hub + length * random.uniform(0.6, 1) * np.array([math.cos(turn), math.sin(turn)])
        alpha = np.maximum(alpha, draw_polyline(gray.shape, np.stack([hub, end]), thick))
    return _blend(gray, alpha * random.uniform(0.4, 1), random.choice((10.0, 50.0, 90.0, 235.0)))


DRAWERS = (
    *(_add_poles, _add_poles, _add_bars, _add_strands, _add_strands),
    *(_add_cloud_rim, _add_cloud_rim, _add_tiles, _add_beams, _add_rigging),
)
