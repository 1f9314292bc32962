"""Masks that tests write to files."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = (48, 64)


def strokes():
    """Return a line and a disc of 255 on 0, (H, W) uint8."""
    mask = np.zeros(SIZE, np.uint8)
    cv2.line(mask, (5, 8), (50, 30), 255, 4)
    cv2.circle(mask, (20, 38), 5, 255, -1)
    return mask
