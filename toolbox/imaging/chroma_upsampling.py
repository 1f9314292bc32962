"""Enlarge colours that were computed at a small scale to the size of a photograph, one strip of rows at a time.

Edges of colour follow edges of luma. The guided filter of He and Sun ("Fast Guided Filter", 2015) finds at the small
scale how colour depends on luma around each pixel. That relation is smooth, so it can be enlarged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from toolbox.color import INTEGER_LUMA_WEIGHTS
from toolbox.imaging.area import shrink_levels
from toolbox.imaging.color import exact_luma
from toolbox.utils.cancelling import check_cancelled

_STRIP_ROWS = 64
_RADIUS = 1
# Below this squared contrast of luma, for luma in [0, 1], colour does not depend on luma.
MIN_VARIANCE = 0.02**2

Strips = Iterable[tuple[slice, np.ndarray]]


def luma_of_floats(rgb: np.ndarray) -> np.ndarray:
    """Return the luma (h, w) of RGB (h, w, 3) in [0, 1], with the weights of `toolbox.color.integer_luma`."""
    return rgb @ (np.array(INTEGER_LUMA_WEIGHTS, np.float32) / 65536)


def red_blue_differences(rgb: np.ndarray) -> np.ndarray:
    """Return R - Y and B - Y, (h, w, 2) in [-1, 1], of RGB (h, w, 3) in [0, 1]."""
    luma = luma_of_floats(rgb)
    return np.dstack([rgb[..., 0] - luma, rgb[..., 2] - luma])


def compose_rgb(target: np.ndarray, strips: Strips) -> np.ndarray:
    """Return RGB (H, W, 3) with exactly the luma `target` (H, W), and with the colours of the strips.

    Args:
        target: uint8 or uint16.
        strips: from top to bottom: their rows, and R - Y and B - Y, (h, W, 2) in [-1, 1].
    """
    rgb = np.empty((*target.shape, 3), target.dtype)
    highest = np.float32(np.iinfo(target.dtype).max)
    red_weight, green_weight, blue_weight = (np.float32(weight) for weight in INTEGER_LUMA_WEIGHTS)
    for rows, differences in strips:
        check_cancelled()
        luma = target[rows].astype(np.float32)
        red, blue = differences[..., 0] * highest, differences[..., 1] * highest
        green = (red_weight * red + blue_weight * blue) / green_weight
        rgb[rows] = exact_luma(cv2.merge([luma + red, luma - green, luma + blue]), target[rows])
    return rgb


def upsample_differences(small: np.ndarray, target: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield `small`, R - Y and B - Y (h, w, 2), at the size of the luma `target` (H, W), in strips for `compose_rgb`.

    `target` is uint8 or uint16.
    """
    relation = linear_relation(small, target)
    for start in range(0, len(target), _STRIP_ROWS):
        rows = slice(start, min(start + _STRIP_ROWS, len(target)))
        yield rows, enlarge_rows(relation, target, rows)


def enlarge_rows(relation: np.ndarray, target: np.ndarray, rows: slice) -> np.ndarray:
    """Return values at the full size, (rows, W, C), by their relation to the luma `target` (H, W)."""
    height, width = target.shape
    highest = np.float32(np.iinfo(target.dtype).max)
    channels = relation.shape[2] // 2
    # The centre of a pixel is half a pixel from its start.
    source_rows = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * (len(relation) / height) - 0.5
    above = np.floor(source_rows).astype(int)
    fraction = (source_rows - above)[:, None, None]
    upper, lower = (relation[(above + step).clip(0, len(relation) - 1)] for step in (0, 1))
    narrow = upper + fraction * (lower - upper)
    wide = cv2.resize(narrow, (width, len(source_rows)), interpolation=cv2.INTER_LINEAR)
    luma = target[rows].astype(np.float32) / highest
    # One channel at a time: NumPy is slow on a last axis of two or three values.
    planes = cv2.split(wide)
    slopes, offsets = planes[:channels], planes[channels:]
    return cv2.merge([slope * luma + offset for slope, offset in zip(slopes, offsets, strict=True)])


def linear_relation(small: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return slope and offset of values `small` (h, w, C) as functions of the luma `target` (H, W), (h, w, 2 C)."""
    highest = np.float32(np.iinfo(target.dtype).max)
    guide = shrink_levels(target, *small.shape[:2]).astype(np.float32) / highest
    return _linear_relation(small.astype(np.float32), guide)


def _linear_relation(small: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Return slope and offset of values (h, w, C) as functions of the luma `guide` (h, w), as (h, w, 2 C)."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, (2 * _RADIUS + 1, 2 * _RADIUS + 1), borderType=cv2.BORDER_REFLECT)

    mean_luma, mean_color = mean(guide), mean(small)
    variance = mean(guide * guide) - mean_luma * mean_luma
    covariance = mean(small * guide[..., None]) - mean_color * mean_luma[..., None]
    slope = covariance / (variance + MIN_VARIANCE)[..., None]
    return mean(np.dstack([slope, mean_color - slope * mean_luma[..., None]]))
