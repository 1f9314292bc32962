"""Add up weak evidence along straight lines, so that faint scratches stand out."""

from __future__ import annotations

import cv2
import numpy as np

# Lengths in pixels of the lines that are added up: powers of two.
LENGTHS = (16, 64)
CHANNELS = 4 * len(LENGTHS)
# Ridges are added up as integers of 16 bits in this unit, which are faster than floats: 64 ridges of at most 4 fit.
_UNIT = 1 / 120
_MOST = 4.0


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
    return np.stack([*vertical, *horizontal])


def trace_half(gray: np.ndarray) -> np.ndarray:
    """Return `trace` of a photograph (H, W) uint8 of even sides at half its size, (CHANNELS, H / 2, W / 2) float32."""
    half = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return trace(half.astype(np.float32) / 255)


def _ridges(image: np.ndarray) -> np.ndarray:
    """Return by how much a pixel is lighter than those to its left and right, in units of the local texture, int16."""
    ridges = cv2.GaussianBlur(image, (5, 1), 0.8, sigmaY=0.01) - cv2.GaussianBlur(image, (19, 1), 4.5, sigmaY=0.01)
    ridges /= cv2.blur(np.abs(ridges), (31, 31)) + 0.004
    return np.rint(ridges.clip(-_MOST, _MOST) / _UNIT).astype(np.int16)


def _line_means(ridges: np.ndarray) -> list[np.ndarray]:
    """Return the greatest and the least mean along the lines through each pixel, for each length.

    A line of 2n rows that moves k columns is a line of n rows that moves half as many, and its continuation. So the
    lines of all slopes up to 45 degrees share their halves. The picture is one row of pixels here. A line that leaves
    it at one side comes in at the other, but only in the margin, which is cut off.
    """
    height, width = ridges.shape
    margin = max(LENGTHS) // 2
    padded = cv2.copyMakeBorder(ridges, margin, margin, margin, margin, cv2.BORDER_REFLECT)
    stride = padded.shape[1]
    size = height * stride
    sums: dict[int, np.ndarray] = {0: padded.ravel()}
    rows, means = 1, []
    while rows < max(LENGTHS):
        rows *= 2
        step = 2 if rows == max(LENGTHS) else 1
        light, dark = (np.full(size, value, np.int16) for value in (-(2**15), 2**15 - 1))
        longer: dict[int, np.ndarray] = {}
        for k in range(-rows + step, rows, step):
            half = sums[int(k / 2)]
            offset = rows // 2 * stride + k - int(k / 2)
            line = half[: len(half) - offset] + half[offset:]
            if rows in LENGTHS:
                # The first pixel of the line whose middle is the first pixel of the picture.
                start = (margin - rows // 2) * stride + margin - k // 2
                here = line[start : start + size]
                np.maximum(light[: len(here)], here, out=light[: len(here)])
                np.minimum(dark[: len(here)], here, out=dark[: len(here)])
            if rows < max(LENGTHS):
                longer[k] = line
        sums = longer
        if rows in LENGTHS:
            extremes = (each.reshape(height, stride)[:, :width] for each in (light, dark))
            means += [extreme * np.float32(_UNIT / rows) for extreme in extremes]
    return means
