"""Shrink pictures by averaging areas, with the same rounding of halves on every machine."""

from __future__ import annotations

import cv2
import numpy as np

# OpenCV leaves out a part of a pixel that is at most 1 / PARTS of it.
PARTS = 1000
# The error of OpenCV's means in levels is far below this.
_TIE = 0.01


def shrink_levels(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the means of (H, W) or (H, W, 3) uint8 or uint16 at a smaller size, as OpenCV's INTER_AREA.

    OpenCV sums numbers of 32 bits, so the last bit decides how it rounds a mean halfway between two levels, and another
    processor or an exported graph may decide otherwise. Here such means of 8-bit pixels are found with whole numbers.
    Halves are rounded to even numbers, but upwards at exactly half the size, as OpenCV does.
    """
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    if pixels.dtype != np.uint8 or pixels.shape[:2] == (2 * height, 2 * width):
        return small
    means = cv2.resize(pixels.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    is_near_tie = np.abs(means - np.floor(means) - 0.5) < _TIE
    rows, columns = np.nonzero(is_near_tie if is_near_tie.ndim == 2 else is_near_tie.any(2))
    small[rows, columns] = _exact_levels(pixels, (rows, columns), (height, width))
    return small


def _exact_levels(pixels: np.ndarray, indices: tuple[np.ndarray, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Return the rounded means of N pixels, of these rows and columns of the smaller picture, (N,) or (N, 3)."""
    (rows, row_weights), (columns, column_weights) = (
        _weights(length, target, index) for length, target, index in zip(pixels.shape, size, indices, strict=False)
    )
    covered = pixels[rows[:, :, None], columns[:, None, :]].astype(np.int64)
    sums = np.einsum("ni,nij...,nj->n...", row_weights, covered, column_weights)
    whole, rest = np.divmod(2 * sums, 2 * pixels.shape[0] * pixels.shape[1])
    area = pixels.shape[0] * pixels.shape[1]
    return whole + ((rest > area) | ((rest == area) & (whole % 2 == 1)))


def _weights(length: int, target: int, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels that each of N larger ones covers, (N, K), and their weights in units of 1 / target."""
    first, larger = indices * length // target, indices * length
    pixel = first[:, None] + np.arange(length // target + 2)
    overlap = np.minimum(larger[:, None] + length, (pixel + 1) * target) - np.maximum(larger[:, None], pixel * target)
    weights = np.where(overlap * PARTS > target, overlap, 0)
    return pixel.clip(max=length - 1), weights
