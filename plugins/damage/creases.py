"""Draw the relief of bent paper: creases, crossing folds, bundles of long scratches, kink marks and fine cracks.

Every function returns an array (H, W) float32 in [-1, 1]: by which part of the contrast a pixel is lighter or darker.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator

from .strokes import draw_polyline, smooth_noise


def draw_crease(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return one broad and soft crease or streak, straight or gently bent, across the whole print or a part of it."""
    angle = math.pi / 2 * int(random.integers(0, 2)) + random.normal(0, 0.08)
    if random.random() < 0.3:
        angle = random.uniform(0, math.pi)
    return _crease(size, side, angle, random.uniform(0, 1, 2) * size[::-1], _crease_width(side, random), random)


def draw_cross_folds(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return the folds of a print that was folded once or more in both directions, as a letter is."""
    relief = np.zeros(size, np.float32)
    tilt, width = random.normal(0, 0.03), _crease_width(side, random)
    for turn in (0.0, math.pi / 2):
        for _ in range(random.integers(1, 3)):
            middle = random.uniform(0.1, 0.9, 2) * size[::-1]
            relief += _crease(size, side, tilt + turn, middle, width * random.uniform(0.7, 1.4), random)
    return np.clip(relief, -1, 1)


def draw_tramlines(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return a bundle of long parallel scratches, as a film gets from being wound; each has its own strength."""
    relief = np.zeros(size, np.float32)
    angle = (math.pi / 2 if random.random() < 0.7 else 0.0) + random.normal(0, 0.02)
    direction = np.array([math.cos(angle), math.sin(angle)])
    centre, spread = random.uniform(0, 1, 2) * size[::-1], side * random.uniform(0.01, 0.25)
    half_length = 2 * max(size) if random.random() < 0.5 else side * random.uniform(0.15, 0.6)
    for _ in range(random.integers(2, 9)):
        middle = centre + random.normal(0, spread) * direction[::-1] * (-1, 1) + random.normal(0, 0.2) * half_length
        ends = np.stack([middle - half_length * direction, middle + half_length * direction])
        line = draw_polyline(size, ends, random.choice((0.6, 1, 1, 2, 3)))
        relief = np.maximum(relief, line * random.uniform(0.3, 1))
    uneven = 0.8 + 0.4 * smooth_noise(size, side * random.uniform(0.05, 0.3), random)
    return relief * np.clip(uneven, 0.1, 1)


def draw_kinks(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return some kink marks: short arcs with a light and a dark flank, as film and paper get when they are handled."""
    relief = np.zeros(size, np.float32)
    for _ in range(random.integers(1, 5)):
        radius, start = side * random.uniform(0.015, 0.08), random.uniform(0, 2 * math.pi)
        turns = start + np.linspace(0, random.uniform(0.8, 2.4), 12)
        points = radius * np.stack([np.cos(turns), np.sin(turns)], 1) + random.uniform(0, 1, 2) * size[::-1]
        width = max(1.0, side * random.uniform(0.002, 0.008))
        light = draw_polyline(size, points, width)
        away = points + 1.3 * width * np.stack([np.cos(turns), np.sin(turns)], 1)
        relief += light - random.uniform(0, 0.8) * (1 - light) * draw_polyline(size, away, width)
    return np.clip(cv2.GaussianBlur(relief, (0, 0), random.uniform(0.4, 1.2)), -1, 1)


def draw_craquelure(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return the fine net of cracks of a dried emulsion, in one area or over the whole print."""
    height, width = size
    cell = side * random.uniform(0.03, 0.12)
    canvas = np.ones(size, np.uint8)
    count = max(4, round(height * width / cell**2))
    canvas[random.integers(0, height, count), random.integers(0, width, count)] = 0
    cells = cv2.distanceTransformWithLabels(canvas, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
    row, column = np.mgrid[:height, :width].astype(np.float32)
    bend = np.float32(0.15 * cell)
    row, column = (axis + bend * smooth_noise(size, cell / 3, random) for axis in (row, column))
    cells = cv2.remap(cells.astype(np.float32), column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    edges: np.ndarray = np.zeros(size, np.float32)
    edges[1:] = cells[1:] != cells[:-1]
    edges[:, 1:] = np.maximum(edges[:, 1:], cells[:, 1:] != cells[:, :-1])
    edges = cv2.GaussianBlur(edges, (0, 0), random.uniform(0.3, 0.9))
    # Not every cell has cracked on each side.
    edges *= np.clip(0.8 + 0.7 * smooth_noise(size, cell, random), 0, 1)
    if random.random() < 0.8:
        edges *= np.clip(2 * smooth_noise(size, side * random.uniform(0.2, 0.6), random), 0, 1)
    return edges / max(1e-3, float(edges.max()))


def _crease_width(side: float, random: Generator) -> float:
    """Return the deviation of a crease's profile in pixels; its visible width is about 2.4 times this."""
    return float(np.clip(side / 512, 0.7, 1.6) * math.exp(random.uniform(0, math.log(7))))


def _crease(
    size: tuple[int, int], side: float, angle: float, middle: np.ndarray, width: float, random: Generator
) -> np.ndarray:
    along, across = _coordinates(size, side, angle, middle, random)
    near = np.abs(across) < 6 * width
    along, across = along[near], across[near]
    lobe = _profile(across / np.float32(width), random)
    if random.random() < 0.35:
        # The emulsion has broken along the crease.
        is_broken = smooth_noise(size, random.uniform(2, 8), random)[near] > -0.3
        lobe += random.uniform(0.5, 1.5) * np.exp(-np.square(across / np.float32(random.uniform(0.6, 1.6)))) * is_broken
    steps = int(np.hypot(*size)) + 2
    strength = np.interp(np.arange(2 * steps), np.linspace(0, 2 * steps, 24), random.normal(1, 0.35, 24)).clip(0.1, 1.4)
    if random.random() < 0.4:
        length, start = side * random.uniform(0.3, 1.0), steps - side * random.uniform(0, 1.0)
        position, fade = np.arange(2 * steps), max(4.0, 0.1 * length)
        strength = strength * np.clip(np.minimum(position - start, start + length - position) / fade, 0, 1)
    relief = np.zeros(size, np.float32)
    relief[near] = lobe * strength[(along + steps).astype(np.int32).clip(0, 2 * steps - 1)]
    return np.clip(relief, -1, 1)


def _profile(across: np.ndarray, random: Generator) -> np.ndarray:
    """Return the relief of a crease at distances in units of its width: a ridge and a flank, one lobe, or one bend."""
    kind = random.random()
    if kind < 0.45:
        gap, spread = random.choice((-1, 1)) * random.uniform(1.2, 2.5), random.uniform(0.8, 2.0)
        flank = np.exp(-np.square((across - gap) / spread) / 2)
        return np.exp(-np.square(across) / 2) - random.uniform(0.3, 1) * flank
    if kind < 0.8:
        return np.exp(-np.square(across) / 2)
    return np.where(across > 0, np.exp(-across.clip(0) / 1.5), np.exp(-np.square(3 * across) / 2))


def _coordinates(
    size: tuple[int, int], side: float, angle: float, middle: np.ndarray, random: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each pixel is along and across a slightly bent line through a point, two (H, W) float32."""
    row = np.arange(size[0], dtype=np.float32)[:, None] - np.float32(middle[1])
    column = np.arange(size[1], dtype=np.float32)[None] - np.float32(middle[0])
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along, across = column * cos + row * sin, row * cos - column * sin
    radius = int(np.hypot(*size)) + 2
    positions = np.arange(-radius, radius)
    knots = np.linspace(-radius, radius, 40)
    wander = np.cumsum(random.normal(0, random.choice((0.0, 0.001, 0.003)) * side, 40))
    wander += random.normal(0, 0.12) * np.square(knots) / side
    offsets = np.interp(positions, knots, wander - wander[20]).astype(np.float32)
    across = across - offsets[(along + radius).astype(np.int32).clip(0, 2 * radius - 1)]
    return along, across
