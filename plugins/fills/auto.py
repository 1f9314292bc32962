"""Choose the fill hole by hole: by how wide it is and by how far what surrounds it goes on into it."""

from __future__ import annotations

import cv2
import numpy as np

from . import frequency, texture
from .frequency import extended
from .regions import FINE, Fill, Region, filled
from .texture import copied

# Fitted on 36 holes in photographs for training, by LPIPS: pieces of the image are better where the waves have faded in
# the hole to less than this share of the contrast around it. In dust and hairs they are not tried: it would take long
# and change little.
FADED = 0.55
RING = 12


def auto(image: np.ndarray, mask: np.ndarray, *, seed: int = 0, forbidden: np.ndarray | None = None) -> np.ndarray:
    """Return `image` with its holes filled, each by `frequency` or by `texture`.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: see `texture`.
        forbidden: see `texture`.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`; an image that is lost whole is black.

    Raises:
        ValueError: an array of another type or shape.
    """
    return filled(image, mask, filler(seed, forbidden), around=context)


def context(thickness: float, side: int) -> int:
    """Return how many pixels around a hole of that thickness and longer `side` are of use."""
    return (frequency.context if thickness <= FINE else texture.context)(thickness, side)


def filler(seed: int, forbidden: np.ndarray | None) -> Fill:
    """Return the function that fills a region; see `auto`."""

    def fill(values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
        waves = extended(values, lost, region)
        if region.thickness <= FINE or kept(waves, lost, region.own) >= FADED:
            return waves
        barred = None if forbidden is None else forbidden[region.box]
        return copied(values, lost, region.own, seed, barred)

    return fill


def kept(values: np.ndarray, lost: np.ndarray, own: np.ndarray) -> float:
    """Return the fine contrast in the hole `own` of filled `values` (h, w, C), over that of the ring around it."""
    near = cv2.dilate(own.view(np.uint8), np.ones((2 * RING + 1, 2 * RING + 1), np.uint8)).view(bool) & ~lost
    if not near.any():
        return 1.0
    fine = np.abs(values - cv2.GaussianBlur(values, (0, 0), 2).reshape(values.shape)).mean(2)
    return float(fine[own].mean() / max(float(fine[near].mean()), 1e-3))
