"""A small copy of a photograph to measure on, without a mount, lost pixels and the outermost margin."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.color import array_luma
from toolbox.imaging.pixels import as_rgb, shrink

SIDE = 384
# The outermost part of a picture that is never measured, as a fraction of the short side: rims of scans.
_MARGIN = 0.03
# A row or column belongs to a mount if its 15th and 85th percentile are at most this many levels apart. A caption is in
# fewer of its pixels.
_MOUNT_RANGE = 10.0
# A mount is on at least two opposite sides, has one level there, and leaves this fraction of each side.
_MOUNT_DIFFERENCE = 12.0
_MIN_PICTURE = 0.4


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkingCopy:
    """A photograph at a reduced size, in levels of 255.

    Attributes:
        values: (h, w, 3) float32, from 0 to 255; a gray photograph has three equal channels.
        measured: (h, w) bool, the pixels that figures are taken from; at least one.
    """

    values: np.ndarray
    measured: np.ndarray

    @property
    def luma(self) -> np.ndarray:
        """The luma, (h, w) float32 from 0 to 255."""
        return array_luma(self.values)


def make_working_copy(pixels: np.ndarray, lost: np.ndarray | None = None, side: int = SIDE) -> WorkingCopy:
    """Return the working copy of (H, W) or (H, W, 3) pixels, uint8 or uint16; pixels in `lost` do not count.

    Args:
        pixels: the photograph, from 1x1.
        lost: (H, W) bool, or None.
        side: the longest side of the copy in pixels.
    """
    values = as_rgb(shrink(pixels, side).astype(np.float32) * np.float32(255 / np.iinfo(pixels.dtype).max))
    measured = picture_area(array_luma(values))
    if lost is not None and lost.any():
        covered = cv2.resize(lost.astype(np.uint8) * 255, values.shape[1::-1], interpolation=cv2.INTER_AREA) > 0
        measured = measured & ~covered if (measured & ~covered).any() else ~covered
    if not measured.any():
        measured = np.ones(values.shape[:2], bool)
    return WorkingCopy(values=values, measured=measured)


def picture_area(luma: np.ndarray) -> np.ndarray:
    """Return the pixels of the picture itself, (h, w) bool: without a mount around it and without the margin.

    A mount is flat, has the same level on two opposite sides, and may have a caption.
    """
    height, width = luma.shape
    top, bottom = _mount_widths(luma)
    left, right = _mount_widths(luma[top : height - bottom].T)
    margin = round(_MARGIN * min(height - top - bottom, width - left - right))
    area = np.zeros(luma.shape, bool)
    area[top + margin : height - bottom - margin, left + margin : width - right - margin] = True
    return area


def _mount_widths(luma: np.ndarray) -> tuple[int, int]:
    """Return how many rows at the start and at the end are a mount; (0, 0) if their levels differ."""
    low, middle, high = np.percentile(luma, (15, 50, 85), axis=1)
    is_flat = high - low <= _MOUNT_RANGE
    ends = []
    for flat, levels in ((is_flat, middle), (is_flat[::-1], middle[::-1])):
        alike = flat & (np.abs(levels - levels[0]) <= _MOUNT_DIFFERENCE)
        ends.append(int(np.argmin(alike)) if not alike.all() else len(alike))
    are_alike = abs(middle[0] - middle[-1]) <= _MOUNT_DIFFERENCE
    if min(ends) == 0 or not are_alike or len(luma) - sum(ends) < _MIN_PICTURE * len(luma):
        return 0, 0
    return ends[0], ends[1]
