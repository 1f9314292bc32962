"""Fill holes with a weighted mean of several extrapolations: on average the nearest to the truth, but smoother."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from toolbox import weights_path
from toolbox.smooth_fill import fill_array

from .frequency import BLOCK, context, extrapolate, fill_luma_and_chroma
from .regions import Region, fill_regions
from .weighting import Layers, load_layers, weighted_mean

# Sides of the windows in pixels, and rounds for each.
WINDOWS = ((16, 12), (32, 24), (64, 30))
ORIGINS = (0, BLOCK // 2)
WEIGHTS = "average-fill"
# Known pixels around a hole that decide its weights.
MARGIN = 64


def average(image: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return `image` with its holes filled with a weighted mean of several extrapolations and the smooth fill.

    Detail stays where they agree and is blurred where they differ; a small network chooses the weights in the luma.
    Scores that compare pixels with the truth, such as structural similarity, are highest for this fill; people prefer
    the others.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: not used; the fill is not random.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`. If no pixel is known, it is black.

    Raises:
        ValueError: an array has another type or shape.
    """
    del seed
    return fill_regions(image, mask, fill_region, margin=context)


def fill_region(values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
    """Return `values` (h, w, C) float32 with a region filled with the weighted mean; chroma with the plain mean."""
    box = around(region.target)

    def luma(plane: np.ndarray) -> np.ndarray:
        planes = np.stack([filled[box][..., 0] for filled in extrapolations(plane, lost, region.target)])
        result = plane.copy()
        if lost.all():
            result[box] = planes.mean(0)[..., None]
        else:
            result[box] = weighted_mean(planes, plane[box][..., 0], lost[box], shipped_layers())[..., None]
        return result

    def chroma(planes: np.ndarray) -> np.ndarray:
        total = np.zeros_like(planes)
        for filled in extrapolations(planes, lost, region.target):
            total += filled
        return total / np.float32(1 + len(WINDOWS) * len(ORIGINS))

    return fill_luma_and_chroma(values, luma, chroma)


@cache
def shipped_layers() -> Layers:
    """Return the layers of the weights `average-fill`, which are looked up and checked once."""
    return load_layers(weights_path(WEIGHTS))


def extrapolations(planes: np.ndarray, lost: np.ndarray, target: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield planes (h, w, C) float32 filled in 1 + windows x origins ways, smoothly first."""
    yield fill_array(planes, ~lost)
    for window, rounds in WINDOWS:
        for origin in ORIGINS:
            yield extrapolate(planes, lost, target=target, window=window, rounds=rounds, origin=origin)


def around(target: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of the target pixels (h, w) with MARGIN pixels around.

    A region can be far larger than its hole, and the weights need many planes of it at once.
    """
    rows, columns = (np.flatnonzero(target.any(axis)) for axis in (1, 0))
    return slice(max(0, int(rows[0]) - MARGIN), int(rows[-1]) + 1 + MARGIN), slice(
        max(0, int(columns[0]) - MARGIN), int(columns[-1]) + 1 + MARGIN
    )
