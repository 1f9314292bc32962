"""Smooth fields over a photograph, made from values that are trusted in some places only."""

from __future__ import annotations

import cv2
import numpy as np


def blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Return (h, w) or (h, w, C) float32 blurred by a Gaussian of that deviation in pixels; borders are mirrored.

    A wide blur is done at a smaller scale, which costs the same for every deviation.
    """
    height, width = values.shape[:2]
    times = int(max(1, min(sigma / 4, min(height, width) / 8)))
    if times == 1:
        return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    small = cv2.resize(values, (-(-width // times), -(-height // times)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / times, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def weighted_blur(values: np.ndarray, weight: np.ndarray, sigma: float, floor: float = 0.02) -> np.ndarray:
    """Return the weighted local mean of `values`; where little weight is near, that of ever wider surroundings.

    Args:
        values: (h, w) or (h, w, C) float32.
        weight: (h, w) float32 of 0 or more, not 0 everywhere.
        sigma: pixels, of the narrowest surroundings.
        floor: a local weight of this much is enough.
    """
    largest = max(values.shape[:2])
    deep = weight if values.ndim == 2 else weight[..., None]
    top = float(weight.sum())
    result = np.broadcast_to((values * deep).sum((0, 1)) / np.float32(max(top, 1e-12)), values.shape)
    sigmas = [sigma]
    while sigmas[-1] < largest / 4:
        sigmas.append(sigmas[-1] * 3)
    for wide in reversed(sigmas):
        near = blur(weight, wide)
        near = near if values.ndim == 2 else near[..., None]
        result = (blur(values * deep, wide) + floor * result) / (near + floor)
    return np.ascontiguousarray(result, np.float32)


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 at `low` and 1 at `high`, smooth between them (3 t^2 - 2 t^3); `low` may be the greater one."""
    t = ((values - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)
