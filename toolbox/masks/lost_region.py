"""Find the lost region of a photo: one shape painted in one gray level, whatever else is flat in it.

A natural flat area (an overexposed sky, a night, a black bar) fades into its surroundings or fills a side
of the photo; a painted shape has a hard edge and can be drawn again. So every flat area is fitted with a
rectangle, a circle and a polygon as ImageDraw draws them, and the one that fits is the mask: neighbours
that happen to have the fill's value are left out, and the thin tips of polygons are found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.color import integer_luma
from toolbox.masks import shape_fitting
from toolbox.masks.polygon_fitting import polygon

# Shares of the image's pixels: the smallest flat core looked at, the smallest shape believed, the largest
# that must be cleaner than others, neighbours not worth trimming.
LEAST_CORE = 0.0005
LEAST_AREA = 0.0025
SMALL_AREA = 0.006
FEW = 0.0003
MOST_VALUES = 16
MOST_PARTS = 6
# Outlines of natural flat areas bend 0.09 times a pixel and more, polygons' 0.03 at most.
MOST_BENDS = 20
BENDS_PER_PIXEL = 0.03
# Gray levels of contrast times pixels of perimeter.
FAINT = 100
EXACT = ("rectangle", "circle")
KINDS = ("rectangle", "circle", "polygon", "near", "part")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A shape that may be the lost region, and how the photo looks along its outline.

    `mask` (h, w) bool lies at `box` in the photo. `leak` is the share of the outline's neighbours that
    have the fill's value, `contrast` the median step from the fill to a neighbour, in gray levels, and
    `drift` how much the photo goes on the same way one pixel further out, as a share of that step: 0
    where the edge is hard, 0.5 and more where it is blurred or the photo fades into a flat area.
    """

    kind: str
    box: tuple[slice, slice]
    mask: np.ndarray
    perimeter: int
    leak: float
    contrast: float
    drift: float

    def on(self, gray: np.ndarray) -> np.ndarray:
        """Return the mask in the size of the whole photo."""
        mask = np.zeros(gray.shape, bool)
        mask[self.box] = self.mask
        return mask


def _shape(kind: str, gray: np.ndarray, value: int, box: tuple[slice, slice], mask: np.ndarray) -> Shape:
    view = gray[box]
    y, x, dy, dx = shape_fitting.outline(mask).T
    near = view[y + dy, x + dx].astype(int) - value
    y, x = y + 2 * dy, x + 2 * dx
    known = (y >= 0) & (y < view.shape[0]) & (x >= 0) & (x < view.shape[1])
    further = view[y[known], x[known]].astype(int) - value - near[known]
    total = int(np.abs(near[known]).sum())
    return Shape(
        kind=kind,
        box=box,
        mask=mask,
        perimeter=len(near),
        leak=float(np.mean(near == 0)) if len(near) else 1.0,
        contrast=float(np.median(np.abs(near))) if len(near) else 0.0,
        drift=float((np.sign(near[known]) * further).sum() / total) if total else 1.0,
    )


def _grown(box: np.ndarray, margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    left, top, right, bottom = (int(side) for side in box)
    rows = slice(max(0, top - margin), min(shape[0], bottom + margin))
    return rows, slice(max(0, left - margin), min(shape[1], right + margin))


@dataclass(frozen=True, kw_only=True)
class _Level:
    """The flat parts of one gray level: the largest first, by the number of their label."""

    value: int
    same: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    core: np.ndarray
    numbers: tuple[int, ...]
    least: float


def _level(gray: np.ndarray, value: int, flat: np.ndarray) -> _Level:
    same = gray == value
    count, labels, stats, _ = cv2.connectedComponentsWithStats(same.astype(np.uint8), connectivity=8)
    core = np.bincount(labels[flat & same], minlength=count)
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    # A part that fills a whole side of the photo is a black bar, a frame or a sky.
    bars = {int(side[0]) for side in sides if (side == side[0]).all()}
    numbers = [int(k) for k in np.argsort(-core, kind="stable")[:MOST_PARTS] if core[k] >= 4 and k not in bars]
    boxes = np.hstack([stats[:, :2], stats[:, :2] + stats[:, 2:4]])
    return _Level(
        value=value, same=same, labels=labels, boxes=boxes, core=core, numbers=tuple(numbers), least=_least(gray)
    )


def _exact(gray: np.ndarray, level: _Level) -> Iterator[Shape]:
    """Yield the rectangle and the circle that each part of a level may be."""
    for number in level.numbers:
        if level.core[number] < level.least:
            continue
        box = _grown(level.boxes[number], 3, gray.shape)
        same, part = level.same[box], level.labels[box] == number
        yield _shape("rectangle", gray, level.value, box, shape_fitting.rectangle(same, part))
        circle = shape_fitting.circle(same, part)
        if circle is not None:
            yield _shape("circle", gray, level.value, box, circle)


def _pieces(gray: np.ndarray, level: _Level) -> Iterator[Shape]:
    """Yield the polygon that the hard-edged parts of a level may be together, and these parts as they are."""
    hard = []
    for number in level.numbers:
        box = _grown(level.boxes[number], 3, gray.shape)
        whole = _shape("part", gray, level.value, box, level.labels[box] == number)
        if whole.contrast >= 3 and whole.drift < 0.6:
            hard.append(number)
    if not any(level.core[number] >= level.least for number in hard):
        return
    # A polygon that crosses itself falls in pieces, and its tips reach beyond them.
    margin = 8 + max(gray.shape) // 2
    extent = np.hstack([level.boxes[hard, :2].min(axis=0), level.boxes[hard, 2:].max(axis=0)])
    box = _grown(extent, margin, gray.shape)
    part = np.isin(level.labels[box], hard)
    fit = polygon(level.same[box], part, margin=8 + max(gray.shape) // 16, few=int(FEW * gray.size))
    if fit is not None:
        mask, exact = fit
        yield _shape("polygon" if exact else "near", gray, level.value, box, mask)
    yield _shape("part", gray, level.value, box, part)


def _least(gray: np.ndarray) -> float:
    return max(4, LEAST_CORE * gray.size)


def _flat(gray: np.ndarray) -> np.ndarray:
    """Return the middles of flat squares, (H, W) bool; a seventieth of the image wide, at least 3 pixels."""
    side = 2 * max(1, min(gray.shape) // 170) + 1
    square = np.ones((side, side), np.uint8)
    return cv2.dilate(gray, square) == cv2.erode(gray, square)


def _painted(shape: Shape, pixels: int) -> bool:
    """Tell whether a shape was painted over a photo of so many pixels, and is not a part of it."""
    area = np.count_nonzero(shape.mask) / pixels
    if area < LEAST_AREA or shape.leak > (0.35 if area > SMALL_AREA else 0.15):
        return False
    if shape.kind in EXACT:
        # Nature draws neither: the fainter the edge, the more of it is asked for.
        if shape.contrast < 4:
            firm = shape.contrast * shape.perimeter * (1 - shape.leak) ** 4 > FAINT
            return firm and shape.drift < 0.3 and (shape.contrast >= 2 or shape.kind == "circle")
        return shape.drift < 0.6
    straight = shape_fitting.bends(shape.mask) < MOST_BENDS + BENDS_PER_PIXEL * shape.perimeter
    return shape.contrast >= 5 and shape.drift < 0.3 and (shape.kind == "polygon" or straight)


def find_lost_region(gray: np.ndarray) -> np.ndarray:
    """Find the region of a photo that is painted over with one gray level.

    Args:
        gray: (H, W) uint8, as it was stored: a lossy copy has no pixel-exact flat shape left.

    Returns:
        (H, W) bool, True on the lost pixels; all False where there is no such region.

    Raises:
        ValueError: the photo is not (H, W) uint8.

    Rectangles and circles are exact as a rule. Along a polygon, a neighbour that happens to have the fill's
    value may be taken along: nothing tells it apart.
    """
    _checked(gray)
    flat = _flat(gray)
    counts = np.bincount(gray[flat], minlength=256)
    best: Shape | None = None
    for value in np.argsort(-counts, kind="stable")[:MOST_VALUES]:
        if counts[value] < _least(gray):
            break
        level = _level(gray, int(value), flat)
        found = [shape for shape in _exact(gray, level) if _painted(shape, gray.size)]
        if not found and (best is None or best.kind not in EXACT):
            found = [shape for shape in _pieces(gray, level) if _painted(shape, gray.size)]
        best = max([*found, *([best] if best else [])], key=_merit, default=None)
    return np.zeros(gray.shape, bool) if best is None else best.on(gray)


def _merit(shape: Shape) -> tuple[int, float]:
    """Order painted shapes: those drawn exactly first, then by the length of hard edge."""
    return -max(1, KINDS.index(shape.kind)), shape.perimeter * (1 - shape.leak)


def _checked(gray: np.ndarray) -> None:
    if gray.dtype != np.uint8 or gray.ndim != 2 or gray.size == 0:
        raise ValueError(f"The lost region is found in a photo of (H, W) uint8, not {gray.shape} {gray.dtype}.")


def fill_value(gray: np.ndarray, mask: np.ndarray) -> int:
    """Return the gray level, 0 to 255, that most pixels of a mask have.

    Args:
        gray: (H, W) uint8.
        mask: (H, W) bool, the lost region.

    Raises:
        ValueError: the mask is empty, or of another size.
    """
    _checked(gray)
    if mask.shape != gray.shape or not mask.any():
        raise ValueError(f"A fill value needs a mask of {gray.shape} with at least one pixel, not {mask.shape}.")
    return int(np.bincount(gray[mask]).argmax())


def pair_mask(gray: np.ndarray, truth: np.ndarray) -> np.ndarray | None:
    """Return the lost region of a pair: where the input differs from the luma of its truth.

    Args:
        gray: (H, W) uint8, the damaged input.
        truth: (H, W, 3) uint8 RGB, the photo before.

    Returns:
        (H, W) bool; pixels that equal the fill by chance are closed where the shape around them tells that
        they were painted. All False where the two are equal. None where they differ in more than one flat
        region (a lossy copy, another gray formula): then `find_lost_region` is the one to ask.

    Raises:
        ValueError: wrong types, or the two sizes differ.
    """
    _checked(gray)
    if truth.dtype != np.uint8 or truth.shape != (*gray.shape, 3):
        raise ValueError(f"A pair's truth is (H, W, 3) uint8 of {gray.shape}, not {truth.shape} {truth.dtype}.")
    differs = gray != integer_luma(truth)
    if not differs.any():
        return differs
    value = fill_value(gray, differs)
    same = gray == value
    if np.count_nonzero(differs & same) < 0.99 * np.count_nonzero(differs):
        return None
    for shape in _exact(gray, _level(gray, value, _flat(gray))):
        if not (differs & ~shape.on(gray)).any():
            return shape.on(gray)
    closed = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_CLOSE, shape_fitting.SQUARE).view(bool)
    count, labels = cv2.connectedComponents((~differs).astype(np.uint8), connectivity=4)
    border = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    opened = np.zeros(count, bool)
    opened[np.concatenate([labels[~same & ~differs], *border])] = True
    return differs | (closed & same) | ~opened[labels]
