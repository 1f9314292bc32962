"""Arrays of pixels: gray as three channels, 8 bits instead of 16, and a smaller copy of at most a given side."""

from __future__ import annotations

import cv2
import numpy as np

_STRIP_ROWS = 256


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W) or (H, W, C) pixels with channels: gray in three equal ones, others as they are."""
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return (H, W) or (H, W, C) pixels with a long side of at most `side`; those of a smaller picture themselves."""
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def resize_mask(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return a mask (H, W) bool at the height and width `size`; bilinear, and set where the result is not 0."""
    return cv2.resize(mask.astype(np.uint8), size[1::-1]) > 0


def to_8bit(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 or uint16 pixels as uint8, 16 bits rounded to the nearest of 256 levels."""
    if pixels.dtype == np.uint8:
        return pixels
    rounded = np.empty(pixels.shape, np.uint8)
    # In strips, because the computation needs several times the memory of the picture.
    for start in range(0, len(pixels), _STRIP_ROWS):
        rows = slice(start, start + _STRIP_ROWS)
        rounded[rows] = (pixels[rows].astype(np.uint32) + 128) // 257  # 65535 = 255 x 257
    return rounded
