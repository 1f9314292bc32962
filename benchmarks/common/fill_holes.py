"""Holes for the training of the fill network, drawn for a whole batch on the device."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.common.even_odd import crosses

# Sides of the competition's shapes in photographs of 512 pixels; smaller photographs have smaller shapes.
RECTANGLE = (33, 150)
SMALLEST_RECTANGLE = 18
CIRCLE = (24, 150)
POLYGON = (80, 489)
VERTICES = 6
# Relative frequency of rectangles, circles, polygons and strokes.
FREQUENCIES = (0.42, 0.22, 0.28, 0.08)
# A hole with a smaller or larger part of the crop is replaced by a square.
SMALLEST_AREA, LARGEST_AREA = 0.0008, 0.6


class Shapes:
    """Coordinates in pixels of one shape for each sample; a shape that a sample doesn't have is empty.

    Attributes:
        rectangles: left, top, right, bottom, (B, 4).
        circles: x and y of the centre, radius, (B, 3).
        edges: x0, y0, x1, y1 of the edges of the polygon, (B, VERTICES, 4).
        strokes: x0, y0, x1, y1 and half the width of line segments, (B, VERTICES, 5).
    """

    def __init__(self, batch: int) -> None:
        """Make empty shapes."""
        self.rectangles = np.zeros((batch, 4), np.float32)
        self.circles = np.zeros((batch, 3), np.float32)
        self.edges = np.zeros((batch, VERTICES, 4), np.float32)
        self.strokes = np.zeros((batch, VERTICES, 5), np.float32)


def random_holes(batch: int, side: int, random: np.random.Generator, device: torch.device) -> Tensor:
    """Return holes (B, 1, side, side) float32, 1 where a crop is lost."""
    shapes = Shapes(batch)
    for index, kind in enumerate(random.choice(len(DRAW), batch, p=FREQUENCIES)):
        DRAW[kind](shapes, index, side, random)
    holes = paint(shapes, side, device)[:, None].float()
    area = holes.mean((1, 2, 3), keepdim=True)
    square = torch.zeros_like(holes)
    square[:, :, side // 3 : side // 2, side // 3 : side // 2] = 1
    return torch.where((area > LARGEST_AREA) | (area < SMALLEST_AREA), square, holes)


def paint(shapes: Shapes, side: int, device: torch.device) -> Tensor:
    """Return the union of each sample's shapes, (B, side, side) bool; polygons are filled by the even-odd rule."""
    rectangles, circles, edges, strokes = (
        torch.from_numpy(values).to(device)[..., None, None]
        for values in (shapes.rectangles, shapes.circles, shapes.edges, shapes.strokes)
    )
    y = torch.arange(side, device=device, dtype=torch.float32)[None, :, None] + 0.5
    x = torch.arange(side, device=device, dtype=torch.float32)[None, None, :] + 0.5
    left, top, right, bottom = rectangles.unbind(1)
    lost = (x > left) & (x < right) & (y > top) & (y < bottom)
    centre_x, centre_y, radius = circles.unbind(1)
    lost |= (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2
    inside = torch.zeros_like(lost)
    for edge in edges.unbind(1):
        x0, y0, x1, y1 = edge.unbind(1)
        inside ^= crosses(y, x, (y0, x0), (y1, x1))
    lost |= inside
    for stroke in strokes.unbind(1):
        x0, y0, x1, y1, half_width = stroke.unbind(1)
        dx, dy = x1 - x0, y1 - y0
        along = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy).clamp_min(1e-3)).clamp(0, 1)
        lost |= (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2 < half_width**2
    return lost


def _rectangle(shapes: Shapes, index: int, side: int, random: np.random.Generator) -> None:
    if random.random() < 0.4:
        sides = np.exp(random.uniform(math.log(SMALLEST_RECTANGLE), math.log(RECTANGLE[1]), 2))
    else:
        sides = random.uniform(*RECTANGLE, 2)
    border = np.minimum(0.25 * sides, 10)
    centre = random.uniform(border, side - border)
    if random.random() < 0.8:  # wholly inside the crop
        centre = np.clip(centre, sides / 2, np.maximum(side - sides / 2, sides / 2))
    shapes.rectangles[index] = np.rint(np.concatenate([centre - sides / 2, centre + sides / 2]))


def _circle(shapes: Shapes, index: int, side: int, random: np.random.Generator) -> None:
    radius = math.exp(random.uniform(*np.log(CIRCLE))) / 2
    centre = random.uniform(radius - 8, max(side - radius + 8, radius), 2)
    shapes.circles[index] = *centre, radius


def _polygon(shapes: Shapes, index: int, side: int, random: np.random.Generator) -> None:
    count = int(random.integers(4, VERTICES, endpoint=True))
    box = random.uniform(POLYGON[0], min(1.5 * side, POLYGON[1]), 2)
    corners = random.random((count, 2))
    corners = (corners - corners.min(0)) / np.maximum(np.ptp(corners, 0), 1e-3) * box
    corners += random.uniform(np.minimum(side - box, 0), np.maximum(side - box, 0))
    shapes.edges[index, :count] = np.hstack([corners, np.roll(corners, -1, 0)])


def _strokes(shapes: Shapes, index: int, side: int, random: np.random.Generator) -> None:
    count, half_width = int(random.integers(2, VERTICES, endpoint=True)), random.uniform(1, 9)
    angle, point = random.uniform(0, 2 * math.pi), random.uniform(0, side, 2)
    for number in range(count):
        angle += random.normal(0, 0.6)
        end = point + random.uniform(side / 12, side / 3) * np.array([math.cos(angle), math.sin(angle)])
        shapes.strokes[index, number] = *point, *end, half_width
        point = end


DRAW: tuple[Callable[[Shapes, int, int, np.random.Generator], None], ...] = (_rectangle, _circle, _polygon, _strokes)
