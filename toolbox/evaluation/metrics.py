"""The competition's score and the signal-to-noise ratio, on uint8 RGB photographs.

Score = 0.2 S + 0.4 M + 0.4 C, see `score`. The figures are those of scikit-image and OpenCV. Sums over windows
are kept as whole numbers, so that a flat window has a variance of exactly 0 and no rounding error decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 7
ROWS = 24
WEIGHTS = (0.2, 0.4, 0.4)

# Stands for an infinitely small constant: lost beside any whole number, and 0/0 becomes its limit, 1.
TINY = 1e-100


@dataclass(frozen=True, kw_only=True)
class Score:
    """The competition's figures of one photograph, or their averages; None where one can't be had.

    Attributes:
        S: structural similarity over the whole picture.
        M: structural similarity inside the lost region.
        C: correlation of the hue histograms.
        score: 0.2 S + 0.4 M + 0.4 C.
    """

    S: float | None
    M: float | None
    C: float | None
    score: float | None


def _check(restored: np.ndarray, truth: np.ndarray) -> None:
    """Refuse, with ValueError, what is not a pair of (H, W, 3) uint8 photographs of one size."""
    for what, picture in (("restored", restored), ("truth", truth)):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ValueError(f"{what} is {picture.dtype} {picture.shape}, not uint8 (H, W, 3)")
    if restored.shape != truth.shape:
        raise ValueError(f"restored is {restored.shape} and truth {truth.shape}; they must be of one size")


def _range(restored: np.ndarray) -> int:
    """Return the distance of the least and the greatest value, which the competition takes for SSIM's range."""
    return int(restored.max()) - int(restored.min())


def _box(values: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Return the exact sums of (H, W) uint8 or uint16 over the windows (wide, high) that lie inside, int32."""
    x, y = window[0] // 2, window[1] // 2
    sums = cv2.boxFilter(values, cv2.CV_32S, window, normalize=False)
    return sums[y : len(sums) - y, x : sums.shape[1] - x]


def _similarity(pair: tuple[np.ndarray, np.ndarray], window: tuple[int, int], data_range: int) -> float:
    """Return the mean SSIM of two (H, W, 3) uint8 arrays: uniform window (wide, high), sample covariance.

    With sums s over the n values of a window the formula's means are s / n and its variances
    (n s_aa - s_a^2) / (n (n - 1)); both fractions are cleared, so all up to the constants is whole. At most
    312 million comes up for n = 49, well inside int32. A range of 0 leaves constants that are infinitely small.
    """
    n = window[0] * window[1]
    c1 = max((0.01 * data_range * n) ** 2, TINY)
    c2 = max((0.03 * data_range) ** 2 * n * (n - 1), TINY)
    total, count = 0.0, 0
    for a, b in zip(*(cv2.split(one) for one in pair), strict=True):
        difference = cv2.absdiff(a, b)
        # a^2 + b^2 overflows 16 bits; (a - b)^2 does not, and the rest of it is 2 ab.
        squared = np.multiply(difference, difference, dtype=np.uint16)
        sums = [_box(one, window) for one in (a, b, np.multiply(a, b, dtype=np.uint16), squared)]
        # A few rows at a time, so that what comes between stays in the CPU's cache.
        for top in range(0, len(sums[0]), ROWS):
            s_a, s_b, s_ab, s_squared = (one[top : top + ROWS] for one in sums)
            product, squares = 2 * s_a * s_b, s_a * s_a + s_b * s_b
            above = (product + c1) * (2 * n * s_ab - product + c2)
            below = (squares + c1) * (n * (s_squared + 2 * s_ab) - squares + c2)
            total += float((above / below).sum())
        count += sums[0].size
    return total / count


def structure(restored: np.ndarray, truth: np.ndarray) -> float | None:
    """Return S, at most 1: SSIM over the colour image, 7x7 window; None for a side under 7 pixels.

    Equal to scikit-image's `structural_similarity` with ``channel_axis=-1`` and the range of `restored`. A
    constant `restored` has a range of 0: its constants vanish, and a factor 0/0 is taken for 1, its limit.
    """
    _check(restored, truth)
    if min(restored.shape[:2]) < SIDE:
        return None
    return _similarity((restored, truth), (SIDE, SIDE), _range(restored))


def lost_structure(restored: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float | None:
    """Return M, at most 1: SSIM over the lost pixels in raster order; None where fewer than seven are lost.

    The pixels under `mask` (H, W), lost where it is not 0, are taken out as a sequence (N, 3) and compared
    by windows of seven along it, with the range of the whole of `restored`.
    """
    _check(restored, truth)
    if mask.shape != truth.shape[:2]:
        raise ValueError(f"mask is {mask.shape} and truth {truth.shape}; they must be of one size")
    lost = mask.astype(bool)
    if np.count_nonzero(lost) < SIDE:
        return None
    return _similarity((restored[lost][None], truth[lost][None]), (SIDE, 1), _range(restored))


def hue_correlation(restored: np.ndarray, truth: np.ndarray) -> float:
    """Return C, -1 to 1: the correlation of the two hue histograms of 180 bins, as OpenCV computes them."""
    _check(restored, truth)
    histograms = []
    for picture in (restored, truth):
        hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
        counts = cv2.calcHist([hsv], [0], None, [180], [0, 180])
        histograms.append(cv2.normalize(counts, counts))
    return float(cv2.compareHist(histograms[0], histograms[1], cv2.HISTCMP_CORREL))


def _total(s: float | None, m: float | None, c: float | None) -> float | None:
    """Return the weighted sum, or None where a part is missing."""
    if s is None or m is None or c is None:
        return None
    return WEIGHTS[0] * s + WEIGHTS[1] * m + WEIGHTS[2] * c


def score(restored: np.ndarray, truth: np.ndarray, mask: np.ndarray | None) -> Score:
    """Return the competition's figures of one photograph.

    Args:
        restored: (H, W, 3) uint8 RGB.
        truth: the same shape.
        mask: (H, W), not 0 where the picture was lost; None where that is not known.

    Returns:
        The figures. M is None without a mask or with fewer than seven lost pixels, S for a picture with a
        side under seven, and the score where one of them is.

    Raises:
        ValueError: a wrong dtype, or shapes that differ.
    """
    s, c = structure(restored, truth), hue_correlation(restored, truth)
    m = None if mask is None else lost_structure(restored, truth, mask)
    return Score(S=s, M=m, C=c, score=_total(s, m, c))


def mean(scores: Iterable[Score]) -> Score:
    """Return each figure's average over the photographs that have it, and the score of these averages.

    Where every photograph has every figure this is the competition's mark; the score is None where a figure
    is missing throughout.
    """
    every = list(scores)

    def average(figure: Callable[[Score], float | None]) -> float | None:
        values = [value for value in map(figure, every) if value is not None]
        return math.fsum(values) / len(values) if values else None

    s, m, c = average(lambda one: one.S), average(lambda one: one.M), average(lambda one: one.C)
    return Score(S=s, M=m, C=c, score=_total(s, m, c))
