"""The competition's score of uint8 RGB photographs; its parts equal those of scikit-image and OpenCV.

Score = 0.2 S + 0.4 M + 0.4 C, see `score`. Sums over windows are whole numbers, so a flat window has a variance of
exactly 0, and no rounding error changes the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

# The window of SSIM, in pixels.
WINDOW = 7
WEIGHTS = (0.2, 0.4, 0.4)
# Figures from here on have no four decimals in texts.
LARGE = 1e6

_STRIP_ROWS = 24
# Stands for an infinitely small constant: it is negligible beside any whole number, and replaces 0/0 by its limit, 1.
_TINY = 1e-100


@dataclass(frozen=True, kw_only=True)
class Score:
    """The parts of the competition's score of one photograph, or their averages; None if a part is undefined.

    Attributes:
        S: structural similarity of the whole picture.
        M: structural similarity inside the lost region.
        C: correlation of the hue histograms.
        score: 0.2 S + 0.4 M + 0.4 C.
    """

    S: float | None
    M: float | None
    C: float | None
    score: float | None


def format_figure(value: float | None) -> str:
    """Return a figure as text with four decimals, or, if it is large, four digits; a dash for one that is undefined."""
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < LARGE else f"{value:.4g}"


def mean_figure(values: Sequence[float]) -> float:
    """Return the mean of finite figures, which is finite, also if their sum is not."""
    with np.errstate(over="ignore"):
        mean = float(np.mean(values))
    return mean if math.isfinite(mean) else math.fsum(value / len(values) for value in values)


def score(restored: np.ndarray, truth: np.ndarray, mask: np.ndarray | None) -> Score:
    """Return the competition's score of one photograph.

    Args:
        restored: (H, W, 3) uint8 RGB.
        truth: (H, W, 3) uint8 RGB.
        mask: (H, W), not 0 where the picture was lost; None if it is unknown.

    Returns:
        The parts and the score. M is None without a mask and for fewer than seven lost pixels; S is None for a picture
        with a side under seven pixels. Without one of the parts, the score is None.

    Raises:
        ValueError: a wrong type, or shapes that differ.
    """
    s, c = structural_similarity(restored, truth), hue_correlation(restored, truth)
    m = None if mask is None else lost_similarity(restored, truth, mask)
    return Score(S=s, M=m, C=c, score=_weighted_sum(s, m, c))


def mean(scores: Iterable[Score]) -> Score:
    """Return the average of each part over the photographs that have it, and the score of these averages.

    If every photograph has every part, this is the competition's score. If no photograph has a part, the score is None.
    """
    all_scores = list(scores)

    def average(part: Callable[[Score], float | None]) -> float | None:
        values = [value for value in map(part, all_scores) if value is not None]
        return math.fsum(values) / len(values) if values else None

    s, m, c = average(lambda score: score.S), average(lambda score: score.M), average(lambda score: score.C)
    return Score(S=s, M=m, C=c, score=_weighted_sum(s, m, c))


def structural_similarity(restored: np.ndarray, truth: np.ndarray) -> float | None:
    """Return S, at most 1: the SSIM of (H, W, 3) uint8 pictures with a 7x7 window; None for a side under seven pixels.

    It equals scikit-image's `structural_similarity` with ``channel_axis=-1`` and the range of `restored`. If `restored`
    is constant, the range is 0: the constants of SSIM vanish, and a factor 0/0 counts as 1, its limit.
    """
    _check_pair(restored, truth)
    return _picture_ssim(restored, truth, _value_range(restored))


def standard_ssim(restored: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the SSIM of (H, W, 3) uint8 pictures as S, but with the usual range of 255 levels; None as for S.

    Reference: Wang et al., "Image Quality Assessment", IEEE TIP 2004, with a uniform window.
    """
    _check_pair(restored, truth)
    return _picture_ssim(restored, truth, 255)


def _picture_ssim(restored: np.ndarray, truth: np.ndarray, value_range: int) -> float | None:
    if min(restored.shape[:2]) < WINDOW:
        return None
    return _mean_ssim((restored, truth), (WINDOW, WINDOW), value_range)


def psnr(restored: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the peak signal-to-noise ratio of (H, W, 3) uint8 pictures, 10 log10(255^2 / MSE) in dB; None if equal."""
    _check_pair(restored, truth)
    error = float(np.square(cv2.absdiff(restored, truth), dtype=np.float64).mean())
    return 10 * math.log10(255**2 / error) if error else None


def lost_similarity(restored: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float | None:
    """Return M, at most 1: the SSIM of the lost pixels in raster order; None for fewer than seven of them.

    The pixels of the pictures (H, W, 3) uint8 where `mask` (H, W) is not 0 form a sequence (N, 3). Windows of seven
    pixels along it are compared, with the range of the whole of `restored`.
    """
    _check_pair(restored, truth)
    if mask.shape != truth.shape[:2]:
        raise ValueError(f"mask is {mask.shape} and truth {truth.shape}; they must be of one size")
    lost = mask.astype(bool)
    if np.count_nonzero(lost) < WINDOW:
        return None
    return _mean_ssim((restored[lost][None], truth[lost][None]), (WINDOW, 1), _value_range(restored))


def hue_correlation(restored: np.ndarray, truth: np.ndarray) -> float:
    """Return C, -1 to 1: the correlation of OpenCV's hue histograms of two (H, W, 3) uint8 RGB pictures."""
    _check_pair(restored, truth)
    histograms = []
    for picture in (restored, truth):
        hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
        counts = cv2.calcHist([hsv], [0], None, [180], [0, 180])
        histograms.append(cv2.normalize(counts, counts))
    return float(cv2.compareHist(histograms[0], histograms[1], cv2.HISTCMP_CORREL))


def _check_pair(restored: np.ndarray, truth: np.ndarray) -> None:
    """Raise ValueError unless both are (H, W, 3) uint8 photographs of one size."""
    for name, picture in (("restored", restored), ("truth", truth)):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ValueError(f"{name} is {picture.dtype} {picture.shape}, not uint8 (H, W, 3)")
    if restored.shape != truth.shape:
        raise ValueError(f"restored is {restored.shape} and truth {truth.shape}; they must be of one size")


def _value_range(restored: np.ndarray) -> int:
    """Return the greatest value less the least one; the competition uses it as the range of SSIM."""
    return int(restored.max()) - int(restored.min())


def _mean_ssim(pair: tuple[np.ndarray, np.ndarray], window: tuple[int, int], value_range: int) -> float:
    """Return the mean SSIM of two (H, W, 3) uint8 arrays, with a uniform window (width, height) and sample covariance.

    With sums s over the n values of a window, the means are s / n and the variances (n s_aa - s_a^2) / (n (n - 1)).
    Both sides of each fraction are multiplied so that only the constants are not whole. The largest number is 312
    million for n = 49, which fits into int32. A range of 0 leaves constants that are infinitely small.
    """
    n = window[0] * window[1]
    c1 = max((0.01 * value_range * n) ** 2, _TINY)
    c2 = max((0.03 * value_range) ** 2 * n * (n - 1), _TINY)
    total, count = 0.0, 0
    for a, b in zip(*(cv2.split(picture) for picture in pair), strict=True):
        difference = cv2.absdiff(a, b)
        # a^2 + b^2 does not fit into 16 bits. (a - b)^2 does, and the difference of the two is 2 ab.
        squared = np.multiply(difference, difference, dtype=np.uint16)
        sums = [_window_sums(values, window) for values in (a, b, np.multiply(a, b, dtype=np.uint16), squared)]
        # A few rows at a time, so that intermediate results stay in the cache of the CPU.
        for top in range(0, len(sums[0]), _STRIP_ROWS):
            s_a, s_b, s_ab, s_squared = (values[top : top + _STRIP_ROWS] for values in sums)
            product, squares = 2 * s_a * s_b, s_a * s_a + s_b * s_b
            numerator = (product + c1) * (2 * n * s_ab - product + c2)
            denominator = (squares + c1) * (n * (s_squared + 2 * s_ab) - squares + c2)
            total += float((numerator / denominator).sum())
        count += sums[0].size
    return total / count


def _window_sums(values: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Return the exact sums of (H, W) uint8 or uint16 over the windows (width, height) that are inside, int32."""
    x, y = window[0] // 2, window[1] // 2
    sums = cv2.boxFilter(values, cv2.CV_32S, window, normalize=False)
    return sums[y : len(sums) - y, x : sums.shape[1] - x]


def _weighted_sum(s: float | None, m: float | None, c: float | None) -> float | None:
    """Return the score of the three parts, or None if one of them is None."""
    if s is None or m is None or c is None:
        return None
    return WEIGHTS[0] * s + WEIGHTS[1] * m + WEIGHTS[2] * c
