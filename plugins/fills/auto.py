"""Choose the fill of each hole by its width and by how much detail an extrapolation gives it."""

from __future__ import annotations

import cv2
import numpy as np

from . import frequency, texture
from .frequency import extrapolate_region
from .regions import FINE, Fill, Region, fill_regions
from .texture import copy_patches

# Fitted by LPIPS on 36 holes in photographs of the training set: patches are better where the extrapolation has less
# than this part of the contrast around the hole. Dust and hairs are always extrapolated: patches would take long and
# change little.
MIN_CONTRAST_RATIO = 0.55
RING = 12


def auto(image: np.ndarray, mask: np.ndarray, *, seed: int = 0, forbidden: np.ndarray | None = None) -> np.ndarray:
    """Return `image` with its holes filled, each by `frequency` or by `texture`.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: see `texture`.
        forbidden: see `texture`.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`. If no pixel is known, it is black.

    Raises:
        ValueError: an array has another type or shape.
    """
    fill = make_region_fill(seed, forbidden)
    return fill_regions(image, mask, fill, context, seed=seed, forbidden=forbidden)


def context(thickness: float, side: int) -> int:
    """Return how many pixels around a hole with this thickness and longer `side` are useful."""
    return (frequency.context if thickness <= FINE else texture.context)(thickness, side)


def make_region_fill(seed: int, forbidden: np.ndarray | None) -> Fill:
    """Return the function that fills a region; see `auto`."""

    def fill(values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
        extrapolation = extrapolate_region(values, lost, region)
        if region.thickness <= FINE or contrast_ratio(extrapolation, lost, region.target) >= MIN_CONTRAST_RATIO:
            return extrapolation
        forbidden_here = None if forbidden is None else forbidden[region.box]
        return copy_patches(values, lost, region.target, seed, forbidden_here)

    return fill


def contrast_ratio(values: np.ndarray, lost: np.ndarray, target: np.ndarray) -> float:
    """Return the fine contrast in the `target` pixels of filled `values` (h, w, C), over that of the ring around it."""
    ring = cv2.dilate(target.view(np.uint8), np.ones((2 * RING + 1, 2 * RING + 1), np.uint8)).view(bool) & ~lost
    if not ring.any():
        return 1.0
    fine = np.abs(values - cv2.GaussianBlur(values, (0, 0), 2).reshape(values.shape)).mean(2)
    return float(fine[target].mean() / max(float(fine[ring].mean()), 1e-3))
