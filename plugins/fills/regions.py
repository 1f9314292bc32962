"""Split the lost pixels into regions that are filled separately, each with a crop of the image around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from toolbox import reuse

# Holes with at most this distance from edge to middle, in pixels, are thin, such as scratches of any length. Thin and
# small holes are filled together in cells with this side in pixels.
THIN = 8
CELL = 256
# Dust and hairs have at most this distance from edge to middle, in pixels. No region holds both them and thicker holes.
FINE = 3
SMALL = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A part of the image with some of its lost pixels.

    Attributes:
        box: the rows and columns of the crop.
        target: (h, w) bool, the lost pixels to fill in this region; other pixels in the box may be lost too.
        thickness: the largest distance of a target pixel from a known pixel, in pixels.
    """

    box: tuple[slice, slice]
    target: np.ndarray
    thickness: float


Fill = Callable[[np.ndarray, np.ndarray, Region], np.ndarray]


def check_arguments(image: np.ndarray, mask: np.ndarray) -> None:
    """Raise ValueError if `image` or `mask` is not of the type and shape that a fill takes."""
    if image.dtype not in (np.uint8, np.uint16) or not (image.ndim == 2 or image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"image must be (H, W) or (H, W, 3) of uint8 or uint16, not {image.shape} {image.dtype}")
    if mask.dtype != bool or mask.shape != image.shape[:2] or not mask.size:
        raise ValueError(f"mask must be bool of the image's size {image.shape[:2]}, not {mask.shape} {mask.dtype}")


def fill_regions(
    image: np.ndarray,
    mask: np.ndarray,
    fill: Fill,
    margin: Callable[[float, int], int],
    *,
    seed: int = 0,
    forbidden: np.ndarray | None = None,
) -> np.ndarray:
    """Return `image` with every region of `mask` filled by `fill`.

    Args:
        image: (H, W) or (H, W, 3), uint8 or uint16.
        mask: (H, W) bool, True where it is lost.
        fill: called with a crop (h, w, C) float32 of 0 to 255, with 0 in lost pixels; its lost pixels, (h, w) bool;
            and the region. Returns (h, w, C), of which the target pixels of the region are used.
        margin: called with the thickness and the longer side of a hole, in pixels. Returns the width in pixels of the
            known surroundings in the crop.
        seed: if `fill` is random, what decides it.
        forbidden: (H, W) bool, pixels that `fill` treats in another way, or None.
    """
    check_arguments(image, mask)
    result = image.copy()
    max_value = np.float32(np.iinfo(image.dtype).max)
    scale = np.float32(255) / max_value
    for region in regions(mask, margin):
        crop, lost = image[region.box], mask[region.box]
        values = crop.reshape(*lost.shape, -1).astype(np.float32) * scale
        values[lost] = 0
        inputs: list[np.ndarray | int] = [values, lost, region.target, seed]
        if forbidden is not None:
            inputs.append(forbidden[region.box])
        region_values = reuse(partial(fill_target, fill, values, lost, region), *inputs)
        rounded = np.rint(region_values / scale).clip(0, max_value).astype(image.dtype)
        result[region.box][region.target] = rounded if image.ndim == 3 else rounded[:, 0]
    return result


def fill_target(fill: Fill, values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
    """Return the values of the target pixels of a region, (N, C); see `fill_regions`."""
    return fill(values, lost, region)[region.target]


def regions(mask: np.ndarray, margin: Callable[[float, int], int]) -> Iterator[Region]:
    """Yield regions that hold each lost pixel of a mask (H, W) once, with `margin(thickness, side)` around."""
    if not mask.any():
        return
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    indices = np.flatnonzero(mask)
    hole_labels = labels.ravel()[indices]
    del labels
    depth = _distance_to_known(mask).ravel()[indices]
    hole_thickness = np.zeros(count, np.float32)
    np.maximum.at(hole_thickness, hole_labels.astype(np.intp), depth.astype(np.float32))
    groups = _groups(mask.shape, indices, hole_labels, hole_thickness, stats)
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        thickness = float(depth[members].max())
        rows, columns = np.divmod(indices[members], mask.shape[1])
        side = int(max(np.ptp(rows), np.ptp(columns))) + 1
        extra = margin(thickness, side)
        box = _slice_with_margin(rows, extra, mask.shape[0]), _slice_with_margin(columns, extra, mask.shape[1])
        target = np.zeros((box[0].stop - box[0].start, box[1].stop - box[1].start), bool)
        target[rows - box[0].start, columns - box[1].start] = True
        yield Region(box=box, target=target, thickness=thickness)


def _groups(
    shape: tuple[int, ...], indices: np.ndarray, hole_labels: np.ndarray, hole_thickness: np.ndarray, stats: np.ndarray
) -> np.ndarray:
    """Return the group of each lost pixel: its cell if its hole is thin, the cell of a small hole, or a new group."""
    across = -(-shape[1] // CELL)
    cells = (indices // shape[1] // CELL) * across + indices % shape[1] // CELL
    middle = stats[:, :2] + stats[:, 2:4] // 2
    home_cells = (middle[:, 1] // CELL) * across + middle[:, 0] // CELL
    small = stats[:, 2:4].max(1) <= SMALL
    single_groups = -1 - np.arange(len(hole_thickness))
    group_by_hole = np.where(small, home_cells, single_groups)
    thin = (hole_thickness <= THIN) & ~small
    groups = np.where(thin[hole_labels], cells, group_by_hole[hole_labels])
    return 2 * groups + (hole_thickness <= FINE)[hole_labels]


def _distance_to_known(mask: np.ndarray) -> np.ndarray:
    """Return the distance of each lost pixel to the nearest known pixel, (H, W) float32; large if none is known."""
    return cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 3)


def _slice_with_margin(values: np.ndarray, extra: int, length: int) -> slice:
    return slice(max(0, int(values.min()) - extra), min(length, int(values.max()) + 1 + extra))
