"""How far the colours of a photograph are from those of its truth, and how colourful a photograph is."""

from __future__ import annotations

import cv2
import numpy as np


def ab(picture: np.ndarray) -> np.ndarray:
    """Return a* and b* of CIELAB (CIE 15:2004, D65), (H, W, 2), of (H, W, 3) uint8 RGB."""
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:]


def chroma(values: np.ndarray) -> np.ndarray:
    """Return the lengths (H, W) of the colours a*, b* (H, W, 2), or of differences of such colours."""
    return np.hypot(values[..., 0], values[..., 1])


def color_distance(restored: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean distance in a*, b* of two (H, W, 3) uint8 RGB photographs; 0 for equal colours."""
    return float(chroma(ab(restored) - ab(truth)).mean())


def colorfulness(picture: np.ndarray) -> float:
    """Return the colourfulness of (H, W, 3) uint8 RGB, 0 for gray; some 50 is moderately colourful.

    Reference: Hasler and Süsstrunk, "Measuring colourfulness in natural images", SPIE 2003.
    """
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
