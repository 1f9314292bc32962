"""Draw alpha masks of dust, flecks, stains, and torn or missing parts; each (H, W) float32 in [0, 1]."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from .strokes import draw_polyline, fill_polygon, smooth_noise, stamp_polygon


def draw_dust(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return specks of dust and flecks: up to 60, most of them of one to three pixels, over all or in one area."""
    alpha = np.zeros(size, np.float32)
    largest = max(1.5, 0.008 * side * random.uniform(0.5, 2))
    centre, spread = random.uniform(0, 1, 2) * size[::-1], side * random.uniform(0.05, 0.6)
    everywhere = random.random() < 0.6
    for _ in range(int(np.exp(random.uniform(0, np.log(60))))):
        place = random.uniform(0, 1, 2) * size[::-1] if everywhere else centre + random.normal(0, spread, 2)
        radius = 0.6 + (largest - 0.6) * random.random() ** 3
        _stamp(alpha, place, radius, random)
    return alpha


def draw_stain(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return one stain: a round or ragged patch with soft or sharp edges, sometimes strongest at its rim."""
    # A stain has no fine detail, so it is drawn at half the size.
    full, size, side = size, ((size[0] + 1) // 2, (size[1] + 1) // 2), side / 2
    radius = side * np.exp(random.uniform(np.log(0.03), np.log(0.28)))
    x, y = random.uniform(0, 1, 2) * size[::-1]
    stretch, turn = np.exp(random.normal(0, 0.35)), random.uniform(0, np.pi)
    column, row = np.meshgrid(np.arange(size[1], dtype=np.float32) - x, np.arange(size[0], dtype=np.float32) - y)
    along, across = (
        column * np.cos(turn) + row * np.sin(turn),
        (row * np.cos(turn) - column * np.sin(turn)) * stretch,
    )
    distance = np.sqrt(along * along + across * across) / np.float32(radius)
    ragged = random.uniform(0.02, 0.5)
    distance = distance + ragged * smooth_noise(size, radius * random.uniform(0.25, 0.9), random)
    softness = random.uniform(0.03, 0.35)
    alpha = np.clip((1 - distance) / softness, 0, 1)
    if random.random() < 0.35:
        rim = np.exp(-np.square((distance - 0.9) / random.uniform(0.04, 0.15)))
        alpha = np.maximum(rim, alpha * random.uniform(0.2, 0.8))
    elif random.random() < 0.5:
        alpha = alpha * np.clip(0.8 + 0.3 * smooth_noise(size, max(2, radius / 4), random), 0.3, 1)
    return cv2.resize(np.asarray(alpha, np.float32), full[::-1], interpolation=cv2.INTER_LINEAR)


def draw_foxing(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return foxing: up to 20 small spots with soft edges, over all or in one area."""
    alpha = np.zeros(size, np.float32)
    centre, spread = random.uniform(0, 1, 2) * size[::-1], side * random.uniform(0.05, 0.5)
    everywhere, softness = random.random() < 0.5, random.uniform(0.3, 1)
    for _ in range(int(np.exp(random.uniform(0, np.log(20))))):
        x, y = random.uniform(0, 1, 2) * size[::-1] if everywhere else centre + random.normal(0, spread, 2)
        radius = max(2.0, side * np.exp(random.uniform(np.log(0.008), np.log(0.05))))
        half_side = int(1.6 * radius) + 1
        rows = slice(max(0, int(y) - half_side), max(0, int(y) + half_side + 1))
        columns = slice(max(0, int(x) - half_side), max(0, int(x) + half_side + 1))
        part = alpha[rows, columns]
        if not part.size:
            continue
        row, column = np.ogrid[rows.start : rows.start + part.shape[0], columns.start : columns.start + part.shape[1]]
        distance = np.hypot(row - y, (column - x) * np.exp(random.normal(0, 0.25))) / radius
        distance = distance + 0.15 * smooth_noise(part.shape, max(1.0, radius / 2), random)
        spot = np.clip((1.2 - distance) / softness, 0, 1) * random.uniform(0.5, 1)
        np.maximum(part, spot.astype(np.float32), out=part)
    return alpha


def draw_flakes(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return one to six small angular flakes of missing emulsion, of a few pixels each."""
    alpha = np.zeros(size, np.float32)
    largest = max(4.0, side * random.uniform(0.015, 0.05))
    for _ in range(int(np.exp(random.uniform(0, np.log(7))))):
        corners = random.integers(3, 7)
        turns = np.sort(random.uniform(0, 2 * np.pi, corners))
        radii = random.uniform(1.5, largest) * random.uniform(0.5, 1.2, corners)
        points = np.stack([np.cos(turns) * radii, np.sin(turns) * radii * random.uniform(0.4, 1)], 1)
        stamp_polygon(alpha, points + random.uniform(0, 1, 2) * size[::-1])
    return alpha


def draw_tear(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    """Return a torn corner, a torn edge, a tear from the edge inwards, or a missing flake."""
    kind = random.random()
    if kind < 0.4:
        return _draw_corner(size, side, random)
    if kind < 0.6:
        return _draw_edge(size, side, random)
    if kind < 0.75:
        return _draw_slit(size, side, random)
    return _draw_flake(size, side, random)


def _stamp(alpha: np.ndarray, centre: np.ndarray, radius: float, random: Generator) -> None:
    """Draw one speck into `alpha`: a disc with a ragged rim."""
    turns = np.linspace(0, 2 * np.pi, 9)[:-1]
    radii = radius * np.clip(random.normal(1, 0.35, 8), 0.3, 1.9) * (1 + 0.6 * np.cos(turns - random.uniform(0, 6.3)))
    stamp_polygon(alpha, np.stack([np.cos(turns) * radii, np.sin(turns) * radii], 1) + centre)


def _ragged_line(start: np.ndarray, end: np.ndarray, rough: float, random: Generator) -> np.ndarray:
    """Return the points (n, 2) of a ragged line between two points; `rough` in pixels."""
    steps = max(6, int(np.hypot(*(end - start)) / 4))
    line = start + (end - start) * np.linspace(0, 1, steps)[:, None]
    slow = np.interp(np.arange(steps), np.linspace(0, steps, 7), random.normal(0, 1, 7))
    normal = np.array([start[1] - end[1], end[0] - start[0]]) / max(1.0, np.hypot(*(end - start)))
    offsets = rough * (slow + 0.25 * random.standard_normal(steps))
    return line + offsets[:, None] * normal


def _draw_corner(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    height, width = size
    across, down = side * random.uniform(0.04, 0.35, 2)
    line = _ragged_line(np.array([across, -4.0]), np.array([-4.0, down]), 0.06 * min(across, down), random)
    points = np.concatenate([line, [[-9, down], [-9, -9], [across, -9]]])
    corner = fill_polygon(size, points)
    flips = random.integers(0, 2, 2)
    return np.ascontiguousarray(corner[:: 1 - 2 * flips[0], :: 1 - 2 * flips[1]])


def _draw_edge(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    height, width = size
    depth = side * random.uniform(0.02, 0.12)
    line = _ragged_line(np.array([-4.0, depth]), np.array([width + 4.0, depth]), 0.45 * depth, random)
    edge = fill_polygon(size, np.concatenate([line, [[width + 9, -99], [-9, -99]]]))
    if random.random() < 0.5:
        return np.ascontiguousarray(edge[::-1])
    turned = cv2.resize(np.ascontiguousarray(edge.T), (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(turned[:, :: random.choice((-1, 1))])


def _draw_slit(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    height, width = size
    x, depth = width * random.uniform(0.05, 0.95), side * random.uniform(0.1, 0.5)
    tip = np.array([x + random.normal(0, 0.12 * side), depth])
    line = _ragged_line(np.array([x, -3.0]), tip, 0.02 * depth + 0.5, random)
    opening = max(1.0, side * random.uniform(0.005, 0.05)) * np.linspace(1, 0.1, len(line))[:, None]
    points = np.concatenate([line, (line + opening * (1, 0))[::-1]])
    slit = np.maximum(fill_polygon(size, points), draw_polyline(size, line, 1))
    turned = np.rot90(slit, int(random.integers(0, 4)))
    return cv2.resize(np.ascontiguousarray(turned), (width, height), interpolation=cv2.INTER_AREA)


def _draw_flake(size: tuple[int, int], side: float, random: Generator) -> np.ndarray:
    radius = side * np.exp(random.uniform(np.log(0.02), np.log(0.12)))
    turns = np.sort(random.uniform(0, 2 * np.pi, random.integers(6, 16)))
    radii = radius * random.uniform(0.4, 1.3, len(turns))
    centre = random.uniform(0, 1, 2) * size[::-1]
    corners = centre + np.stack([np.cos(turns) * radii, np.sin(turns) * radii * random.uniform(0.5, 1)], 1)
    lines = [_ragged_line(corners[index - 1], corners[index], 0.05 * radius, random) for index in range(len(corners))]
    return fill_polygon(size, np.concatenate(lines))
