"""Find the lost region of a photograph: one shape that is painted over it in one gray level.

Photographs have flat areas of their own (an overexposed sky, the night, a black bar). Those fade into their
surroundings or fill a side of the photograph; a painted shape has a hard edge and can be drawn again. So a rectangle, a
circle and a polygon, as Pillow's ImageDraw draws them, are fitted to every flat area. The shape that fits is the mask:
neighbours that happen to have its level are not part of it, and the thin tips of polygons are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.color import integer_luma
from toolbox.masks import shape_fitting
from toolbox.masks.flat_areas import flat_pixels, stands_out
from toolbox.masks.polygon_fitting import fit_polygon

# As fractions of the pixels of the photograph: the smallest flat area that is examined; the smallest shape that is
# accepted; the largest shape for which more of the outline must differ; how many pixels of an area may be outside its
# polygon.
MIN_FLAT_AREA = 0.0005
MIN_SHAPE_AREA = 0.0025
SMALL_SHAPE_AREA = 0.006
STRAY_AREA = 0.0003
# The fraction of the flat pixels of an area that a rectangle or a circle in it may leave outside.
MAX_FLAT_REST = 0.1
# How many gray levels are examined, and how many flat areas of each.
MAX_LEVELS = 16
MAX_AREAS = 6
# The outlines of natural flat areas have at least 0.09 bends per pixel, those of polygons at most 0.03.
MAX_BENDS = 20
BENDS_PER_PIXEL = 0.03
# The least product of contrast (gray levels) and perimeter (pixels) of a faint rectangle or circle.
MIN_FAINT_EDGE = 100
# Kinds of shapes, the most reliable first. A rectangle and a circle are drawn exactly.
EXACT_KINDS = ("rectangle", "circle")
KINDS = (*EXACT_KINDS, "polygon", "approximate polygon", "area")

Box = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A shape that may be the lost region, and the photograph along its outline.

    Attributes:
        kind: one of `KINDS`.
        box: the rows and columns of `mask` in the photograph.
        mask: (h, w) bool, the shape.
        perimeter: the number of steps from a pixel of the shape to a neighbour outside.
        leak: the fraction of these neighbours that have the level of the shape.
        contrast: the median step from the shape to a neighbour, in gray levels.
        drift: how much the photograph continues in the same direction one pixel further, as a fraction of that step:
            0 at a hard edge; 0.5 and more at a blurred edge, or where the photograph fades into a flat area.
    """

    kind: str
    box: Box
    mask: np.ndarray
    perimeter: int
    leak: float
    contrast: float
    drift: float

    def full_mask(self, gray: np.ndarray) -> np.ndarray:
        """Return the mask in the size of the photograph."""
        mask = np.zeros(gray.shape, bool)
        mask[self.box] = self.mask
        return mask


@dataclass(frozen=True, kw_only=True)
class _Level:
    """The flat areas of one gray level.

    Attributes:
        value: the gray level.
        same: (H, W) bool, the pixels that have it.
        labels: (H, W) the number of the connected area of each of these pixels.
        boxes: (N, 4) left, top, right and bottom of each area.
        flat_pixels: (N,) the pixels of each area whose surroundings are flat too.
        areas: the numbers of the areas that are examined, the largest first.
    """

    value: int
    same: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    flat_pixels: np.ndarray
    areas: tuple[int, ...]


def find_lost_region(gray: np.ndarray) -> np.ndarray:
    """Find the region of a photograph that is painted over with one gray level.

    Args:
        gray: (H, W) uint8, as it was stored: a lossy copy has no exactly flat shape left.

    Returns:
        (H, W) bool, True on the lost pixels; all False if there is no such region. Rectangles and circles are usually
        exact. Along a polygon, neighbours that happen to have its level may be included; nothing tells them apart.

    Raises:
        ValueError: the photograph is not (H, W) uint8.
    """
    _check_gray(gray)
    flat, least = flat_pixels(gray), _min_flat_pixels(gray)

    def select(shapes: Iterator[Shape]) -> list[Shape]:
        painted = [shape for shape in shapes if _is_painted(shape, gray.size)]
        return [one for one in painted if stands_out(one.contrast, one.full_mask(gray), gray, flat, least=least)]

    counts = np.bincount(gray[flat], minlength=256)
    best: Shape | None = None
    for value in np.argsort(-counts, kind="stable")[:MAX_LEVELS]:
        if counts[value] < least:
            break
        level = _examine_level(gray, int(value), flat)
        painted = select(_fit_exact_shapes(gray, level))
        # A rectangle may be a part of an L. If the rest is not painted, it is a neighbour of the same level.
        is_part = all(_leaves_flat_part(shape, level, flat) for shape in painted)
        if is_part and (painted or best is None or best.kind not in EXACT_KINDS):
            painted = select(_fit_polygons(gray, level)) or painted
        best = max([*painted, *([best] if best else [])], key=_rank, default=None)
    return np.zeros(gray.shape, bool) if best is None else best.full_mask(gray)


def fill_value(gray: np.ndarray, mask: np.ndarray) -> int:
    """Return the gray level, 0 to 255, that most pixels of a mask have.

    Args:
        gray: (H, W) uint8.
        mask: (H, W) bool, the lost region.

    Raises:
        ValueError: the mask is empty, or has another size.
    """
    _check_gray(gray)
    if mask.shape != gray.shape or not mask.any():
        raise ValueError(f"A fill value needs a mask of {gray.shape} with at least one pixel, not {mask.shape}.")
    return int(np.bincount(gray[mask]).argmax())


def pair_mask(gray: np.ndarray, truth: np.ndarray) -> np.ndarray | None:
    """Return the lost region of a pair: the pixels where the input differs from the luma of its truth.

    Args:
        gray: (H, W) uint8, the damaged input.
        truth: (H, W, 3) uint8 RGB, the undamaged photograph.

    Returns:
        (H, W) bool, all False if the two are equal. Pixels whose luma happens to be the fill value are included where
        the shape around them shows that they were painted. None if the two differ in more than one flat region, as in a
        lossy copy or with another formula of gray; then use `find_lost_region`.

    Raises:
        ValueError: wrong types, or different sizes.
    """
    _check_gray(gray)
    if truth.dtype != np.uint8 or truth.shape != (*gray.shape, 3):
        raise ValueError(f"A pair's truth is (H, W, 3) uint8 of {gray.shape}, not {truth.shape} {truth.dtype}.")
    differs = gray != integer_luma(truth)
    if not differs.any():
        return differs
    value = fill_value(gray, differs)
    same = gray == value
    if np.count_nonzero(differs & same) < 0.99 * np.count_nonzero(differs):
        return None
    for shape in _fit_exact_shapes(gray, _examine_level(gray, value, flat_pixels(gray))):
        if not (differs & ~shape.full_mask(gray)).any():
            return shape.full_mask(gray)
    return _close_holes(differs, same)


def _close_holes(differs: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Return `differs` with the narrow gaps and the enclosed holes of the fill value `same` closed, all (H, W) bool."""
    closed = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_CLOSE, shape_fitting.SQUARE).view(bool)
    count, labels = cv2.connectedComponents((~differs).astype(np.uint8), connectivity=4)
    border = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    is_open = np.zeros(count, bool)
    is_open[np.concatenate([labels[~same & ~differs], *border])] = True
    return differs | (closed & same) | ~is_open[labels]


def _check_gray(gray: np.ndarray) -> None:
    if gray.dtype != np.uint8 or gray.ndim != 2 or gray.size == 0:
        raise ValueError(f"The lost region is found in a photograph of (H, W) uint8, not {gray.shape} {gray.dtype}.")


def _min_flat_pixels(gray: np.ndarray) -> float:
    return max(4, MIN_FLAT_AREA * gray.size)


def _examine_level(gray: np.ndarray, value: int, flat: np.ndarray) -> _Level:
    same = gray == value
    count, labels, stats, _ = cv2.connectedComponentsWithStats(same.astype(np.uint8), connectivity=8)
    flat_pixels = np.bincount(labels[flat & same], minlength=count)
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    # An area that fills a whole side of the photograph is a black bar, a frame or a sky.
    bars = {int(side[0]) for side in sides if (side == side[0]).all()}
    largest = np.argsort(-flat_pixels, kind="stable")[:MAX_AREAS]
    areas = tuple(int(number) for number in largest if flat_pixels[number] >= 4 and number not in bars)
    boxes = np.hstack([stats[:, :2], stats[:, :2] + stats[:, 2:4]])
    return _Level(value=value, same=same, labels=labels, boxes=boxes, flat_pixels=flat_pixels, areas=areas)


def _fit_exact_shapes(gray: np.ndarray, level: _Level) -> Iterator[Shape]:
    """Yield the rectangle and the circle that each area of a level may be."""
    for number in level.areas:
        if level.flat_pixels[number] < _min_flat_pixels(gray):
            continue
        box = _grow_box(level.boxes[number], 3, gray.shape)
        same, area = level.same[box], level.labels[box] == number
        yield _measure_shape("rectangle", gray, level.value, box, shape_fitting.fit_rectangle(same, area))
        circle = shape_fitting.fit_circle(same, area)
        if circle is not None:
            yield _measure_shape("circle", gray, level.value, box, circle)


def _fit_polygons(gray: np.ndarray, level: _Level) -> Iterator[Shape]:
    """Yield the polygon that the areas with a hard edge may be together, and these areas as they are."""
    hard = []
    for number in level.areas:
        box = _grow_box(level.boxes[number], 3, gray.shape)
        shape = _measure_shape("area", gray, level.value, box, level.labels[box] == number)
        if shape.contrast >= 3 and shape.drift < 0.6:
            hard.append(number)
    if not any(level.flat_pixels[number] >= _min_flat_pixels(gray) for number in hard):
        return
    # A polygon that crosses itself falls apart, and its tips extend beyond the areas.
    margin = 8 + max(gray.shape) // 2
    extent = np.hstack([level.boxes[hard, :2].min(axis=0), level.boxes[hard, 2:].max(axis=0)])
    box = _grow_box(extent, margin, gray.shape)
    area = np.isin(level.labels[box], hard)
    fit = fit_polygon(level.same[box], area, margin=8 + max(gray.shape) // 16, stray=int(STRAY_AREA * gray.size))
    if fit is not None:
        mask, is_exact = fit
        yield _measure_shape("polygon" if is_exact else "approximate polygon", gray, level.value, box, mask)
    yield _measure_shape("area", gray, level.value, box, area)


def _measure_shape(kind: str, gray: np.ndarray, value: int, box: Box, mask: np.ndarray) -> Shape:
    """Return a shape with the measures of the photograph along its outline."""
    part = gray[box]
    y, x, dy, dx = shape_fitting.outline(mask).T
    steps = part[y + dy, x + dx].astype(int) - value
    y, x = y + 2 * dy, x + 2 * dx
    is_inside = (y >= 0) & (y < part.shape[0]) & (x >= 0) & (x < part.shape[1])
    next_steps = part[y[is_inside], x[is_inside]].astype(int) - value - steps[is_inside]
    total = int(np.abs(steps[is_inside]).sum())
    return Shape(
        kind=kind,
        box=box,
        mask=mask,
        perimeter=len(steps),
        leak=float(np.mean(steps == 0)) if len(steps) else 1.0,
        contrast=float(np.median(np.abs(steps))) if len(steps) else 0.0,
        drift=float((np.sign(steps[is_inside]) * next_steps).sum() / total) if total else 1.0,
    )


def _is_painted(shape: Shape, pixels: int) -> bool:
    """Return whether a shape was painted over a photograph of `pixels` pixels, and is not part of the picture."""
    area = np.count_nonzero(shape.mask) / pixels
    if area < MIN_SHAPE_AREA or shape.leak > (0.35 if area > SMALL_SHAPE_AREA else 0.15):
        return False
    if shape.kind in EXACT_KINDS:
        # Photographs of scenes have no exact rectangles and circles. The fainter the edge, the longer it must be.
        if shape.contrast < 4:
            is_firm = shape.contrast * shape.perimeter * (1 - shape.leak) ** 4 > MIN_FAINT_EDGE
            return is_firm and shape.drift < 0.3 and (shape.contrast >= 2 or shape.kind == "circle")
        return shape.drift < 0.6
    is_straight = shape_fitting.count_bends(shape.mask) < MAX_BENDS + BENDS_PER_PIXEL * shape.perimeter
    return shape.contrast >= 5 and shape.drift < 0.3 and (shape.kind == "polygon" or is_straight)


def _leaves_flat_part(shape: Shape, level: _Level, flat: np.ndarray) -> bool:
    """Return whether a shape is only a part of its flat area: more of that is outside than `MAX_FLAT_REST` allows."""
    area = level.labels == level.labels[shape.box][shape.mask][0]
    inside = np.count_nonzero(flat[shape.box] & shape.mask)
    return bool(inside < (1 - MAX_FLAT_REST) * np.count_nonzero(flat & area))


def _rank(shape: Shape) -> tuple[int, float]:
    """Return the rank of a painted shape: exact kinds first, then the longer hard edge."""
    return -max(1, KINDS.index(shape.kind)), shape.perimeter * (1 - shape.leak)


def _grow_box(box: np.ndarray, margin: int, shape: tuple[int, ...]) -> Box:
    left, top, right, bottom = (int(side) for side in box)
    rows = slice(max(0, top - margin), min(shape[0], bottom + margin))
    return rows, slice(max(0, left - margin), min(shape[1], right + margin))
