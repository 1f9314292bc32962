"""Fill holes by the mean of several extrapolations: nearest to the truth on average, and smoother than it."""

from __future__ import annotations

import numpy as np

from toolbox.smooth_fill import fill_array

from .frequency import BLOCK, apart, context, extrapolated
from .regions import Region, filled

# Sides of the windows, and rounds for each.
WINDOWS = ((16, 12), (32, 24), (64, 30))
ORIGINS = (0, BLOCK // 2)


def average(image: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return `image` with its holes filled by the mean of what several extrapolations and the smooth fill say.

    Where they agree, that is kept; where they don't, little is said. A score that compares pixels with the truth, as
    structural similarity does, likes this best; people don't.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: not used; nothing is drawn at random.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`; an image that is lost whole is black.

    Raises:
        ValueError: an array of another type or shape.
    """
    del seed
    return filled(image, mask, fill, around=context)


def fill(values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
    """Return `values` (h, w, C) float32 with a region filled by the mean."""

    def mean(planes: np.ndarray) -> np.ndarray:
        total = fill_array(planes, ~lost)
        for window, rounds in WINDOWS:
            for origin in ORIGINS:
                total += extrapolated(planes, lost, own=region.own, window=window, rounds=rounds, origin=origin)
        return total / np.float32(1 + len(WINDOWS) * len(ORIGINS))

    return apart(values, mean, mean)
