"""What is lost, in parts that are filled one by one: a crop around each, at the image's own scale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

# Holes that are at most so many pixels from edge to middle are thin, as a scratch is, whatever their length. Thin and
# small ones are filled together, cell by cell of so many pixels a side.
THIN = 8
CELL = 256
# Dust and hairs, at most so many pixels from edge to middle, are kept apart from what is thicker.
FINE = 3
SMALL = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A part of the image with some of its lost pixels.

    Attributes:
        box: its rows and columns.
        own: (h, w) bool, the lost pixels to fill here; others in the box may be lost too.
        thickness: the greatest distance of one of them from what is known, in pixels.
    """

    box: tuple[slice, slice]
    own: np.ndarray
    thickness: float


Fill = Callable[[np.ndarray, np.ndarray, Region], np.ndarray]


def check(image: np.ndarray, mask: np.ndarray) -> None:
    """Raise ValueError if `image` or `mask` is not of the type and shape that a fill takes."""
    if image.dtype not in (np.uint8, np.uint16) or not (image.ndim == 2 or image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"image must be (H, W) or (H, W, 3) of uint8 or uint16, not {image.shape} {image.dtype}")
    if mask.dtype != bool or mask.shape != image.shape[:2] or not mask.size:
        raise ValueError(f"mask must be bool of the image's size {image.shape[:2]}, not {mask.shape} {mask.dtype}")


def filled(image: np.ndarray, mask: np.ndarray, fill: Fill, around: Callable[[float, int], int]) -> np.ndarray:
    """Return `image` with every region of `mask` filled by `fill`.

    Args:
        image: (H, W) or (H, W, 3), uint8 or uint16.
        mask: (H, W) bool, True where it is lost.
        fill: called with a crop (h, w, C) float32 of 0 to 255, 0 where it is lost; what is lost in it, (h, w) bool; and
            the region, whose own pixels are taken from the (h, w, C) that it returns.
        around: how many pixels the crop has around a hole of that thickness and longer side.
    """
    check(image, mask)
    result = image.copy()
    top = np.float32(np.iinfo(image.dtype).max)
    scale = np.float32(255) / top
    for region in regions(mask, around):
        crop, lost = image[region.box], mask[region.box]
        values = crop.reshape(*lost.shape, -1).astype(np.float32) * scale
        values[lost] = 0
        found = fill(values, lost, region)[region.own]
        written = np.rint(found / scale).clip(0, top).astype(image.dtype)
        result[region.box][region.own] = written if image.ndim == 3 else written[:, 0]
    return result


def regions(mask: np.ndarray, around: Callable[[float, int], int]) -> Iterator[Region]:
    """Yield the lost pixels of a mask (H, W) in groups, each pixel once, with `around(thickness, side)` around."""
    if not mask.any():
        return
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    places = np.flatnonzero(mask)
    names = labels.ravel()[places]
    del labels
    depth = _depth(mask).ravel()[places]
    thick = np.zeros(count, np.float32)
    np.maximum.at(thick, names.astype(np.intp), depth.astype(np.float32))
    groups = _groups(mask.shape, places, names, thick, stats)
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        thickness = float(depth[members].max())
        rows, columns = np.divmod(places[members], mask.shape[1])
        side = int(max(np.ptp(rows), np.ptp(columns))) + 1
        by = around(thickness, side)
        box = _grown(rows, by, mask.shape[0]), _grown(columns, by, mask.shape[1])
        own = np.zeros((box[0].stop - box[0].start, box[1].stop - box[1].start), bool)
        own[rows - box[0].start, columns - box[1].start] = True
        yield Region(box=box, own=own, thickness=thickness)


def _groups(
    shape: tuple[int, ...], places: np.ndarray, names: np.ndarray, thick: np.ndarray, stats: np.ndarray
) -> np.ndarray:
    """Return the group of each lost pixel: its cell where its hole is thin, its hole's cell or a group of its own."""
    across = -(-shape[1] // CELL)
    cells = (places // shape[1] // CELL) * across + places % shape[1] // CELL
    middle = stats[:, :2] + stats[:, 2:4] // 2
    homes = (middle[:, 1] // CELL) * across + middle[:, 0] // CELL
    small = stats[:, 2:4].max(1) <= SMALL
    alone = -1 - np.arange(len(thick))
    by_hole = np.where(small, homes, alone)
    thin = (thick <= THIN) & ~small
    groups = np.where(thin[names], cells, by_hole[names])
    return 2 * groups + (thick <= FINE)[names]


def _depth(mask: np.ndarray) -> np.ndarray:
    """Return each lost pixel's distance to what is known, (H, W) float32; large where nothing is known."""
    return cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 3)


def _grown(values: np.ndarray, by: int, length: int) -> slice:
    return slice(max(0, int(values.min()) - by), min(length, int(values.max()) + 1 + by))
