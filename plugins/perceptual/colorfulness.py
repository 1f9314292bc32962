"""Colourfulness: how far the colours of a photograph are from gray. It needs no truth."""

from __future__ import annotations

import numpy as np


def colorfulness(restored: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the colourfulness of a photograph, 0 for gray; some 50 is moderately colourful.

    With rg = R - G and yb = (R + G) / 2 - B over all pixels, it is sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)^2 +
    mean(yb)^2).

    Args:
        restored: (H, W, 3) uint8 RGB.
        truth: not used.
        mask: not used.

    Reference: Hasler and Suesstrunk, "Measuring colourfulness in natural images", SPIE 2003.
    """
    red, green, blue = np.moveaxis(restored.astype(np.float64), 2, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue]).reshape(2, -1)
    return float(np.sqrt(opponents.var(axis=1).sum()) + 0.3 * np.sqrt(np.square(opponents.mean(axis=1)).sum()))
