"""Add up weak evidence along straight lines, so that faint scratches stand out."""

from __future__ import annotations

import cv2
import numpy as np

# Lengths in pixels of the lines that are added up: powers of two.
LENGTHS = (16, 64)
CHANNELS = 4 * len(LENGTHS)


def trace(gray: np.ndarray) -> np.ndarray:
    """Return how light or dark the lines through each pixel are, (CHANNELS, H, W) float32.

    For the mostly vertical and the mostly horizontal lines of each length: the greatest and the least mean of the
    ridges along such a line. Ridges are in units of the local texture, so that a faint line in a smooth sky counts.

    Args:
        gray: (H, W) float32, 0 to 1.

    Source: Brady, A Fast Discrete Approximation Algorithm for the Radon Transform, SIAM J. Comput. 1998, for the sums.
    """
    vertical = _line_means(_ridges(gray))
    horizontal = [channel.T for channel in _line_means(_ridges(np.ascontiguousarray(gray.T)))]
    return np.ascontiguousarray(np.stack([*vertical, *horizontal]))


def _ridges(image: np.ndarray) -> np.ndarray:
    """Return by how much a pixel is lighter than those to its left and right, in units of the local texture."""
    ridges = cv2.GaussianBlur(image, (5, 1), 0.8, sigmaY=0.01) - cv2.GaussianBlur(image, (19, 1), 4.5, sigmaY=0.01)
    return np.clip(ridges / (cv2.blur(np.abs(ridges), (31, 31)) + 0.004), -4, 4)


def _line_means(ridges: np.ndarray) -> list[np.ndarray]:
    """Return the greatest and the least mean along the lines through each pixel, for each length.

    A line of 2n rows that moves k columns is a line of n rows that moves half as many, and its continuation. So the
    lines of all slopes up to 45 degrees share their halves.
    """
    height, width = ridges.shape
    margin = max(LENGTHS) // 2
    sums = {0: cv2.copyMakeBorder(ridges, margin, margin, margin, margin, cv2.BORDER_REFLECT)}
    rows, means = 1, []
    while rows < max(LENGTHS):
        rows *= 2
        step = 2 if rows == max(LENGTHS) else 1
        sums = {k: _continued(sums[int(k / 2)], k - int(k / 2), rows // 2) for k in range(-rows + step, rows, step)}
        if rows in LENGTHS:
            top = margin - rows // 2
            light, dark = np.full_like(ridges, -np.inf), np.full_like(ridges, np.inf)
            for k, values in sums.items():
                left = margin - k // 2
                window = values[top : top + height, left : left + width]
                np.maximum(light, window, out=light)
                np.minimum(dark, window, out=dark)
            means += [light / rows, dark / rows]
    return means


def _continued(sums: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """Return the sums plus those that begin `rows` lower and `columns` further right."""
    total = sums[: len(sums) - rows].copy()
    if columns >= 0:
        total[:, : total.shape[1] - columns] += sums[rows:, columns:]
    else:
        total[:, -columns:] += sums[rows:, :columns]
    return total
