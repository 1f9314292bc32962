"""Fill holes with a weighted mean of several extrapolations: on average the nearest to the truth, but smoother."""

from __future__ import annotations

import numpy as np

from toolbox import weights_path
from toolbox.smooth_fill import fill_array

from .frequency import BLOCK, context, extrapolate, fill_luma_and_chroma
from .regions import Region, fill_regions
from .weighting import load_layers, weighted_mean

# Sides of the windows in pixels, and rounds for each.
WINDOWS = ((16, 12), (32, 24), (64, 30))
ORIGINS = (0, BLOCK // 2)
WEIGHTS = "average-fill"


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

    def luma(plane: np.ndarray) -> np.ndarray:
        planes = extrapolations(plane, lost, region.target)[..., 0]
        if lost.all():
            return planes.mean(0)[..., None]
        return weighted_mean(planes, plane[..., 0], lost, load_layers(weights_path(WEIGHTS)))[..., None]

    def chroma(planes: np.ndarray) -> np.ndarray:
        return extrapolations(planes, lost, region.target).mean(0)

    return fill_luma_and_chroma(values, luma, chroma)


def extrapolations(planes: np.ndarray, lost: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
    """Return planes (h, w, C) float32 filled in several ways, (1 + windows x origins, h, w, C): smoothly first."""
    filled = [fill_array(planes, ~lost)]
    for window, rounds in WINDOWS:
        for origin in ORIGINS:
            filled.append(extrapolate(planes, lost, target=target, window=window, rounds=rounds, origin=origin))
    return np.stack(filled)
