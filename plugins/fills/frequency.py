"""Fill holes by frequency-selective extrapolation: what the surroundings' spectrum says goes on into the hole."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from toolbox.smooth_fill import fill_array, halve

from .regions import FINE, Region, filled

BLOCK = 8
WINDOW = 64
ROUNDS = 60
# The weight of a known pixel falls by this factor a pixel from the middle of the block.
DECAY = 0.8
# The weight of a pixel that was extrapolated before, against that of a known one.
TRUST = 0.5
# The share of a coefficient that one round takes.
STEP = 0.5
# Deeper in the hole than this only the coarser scales say anything.
REACH = 32
MOST_LEVELS = 8
BATCH = 128
# The chroma of gray in OpenCV's YCrCb of floats, whatever their range.
NEUTRAL = np.float32(0.5)

Planes = Callable[[np.ndarray], np.ndarray]


def frequency(image: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return `image` with its holes filled by frequency-selective extrapolation.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: not used; nothing is drawn at random.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`; an image that is lost whole is black.

    Raises:
        ValueError: an array of another type or shape.

    References: Seiler and Kaup, "Complex-Valued Frequency Selective Extrapolation for Fast Image and Video Signal
    Extrapolation", IEEE Signal Processing Letters 2010; Genser et al., "Spectral Constrained Frequency Selective
    Extrapolation for Rapid Image Error Concealment", IWSSIP 2018.
    """
    del seed
    return filled(image, mask, lambda values, lost, region: extended(values, lost, region), around=context)


def extended(values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
    """Return `values` (h, w, C) float32 with a region extrapolated; dust, hairs and chroma with less effort."""

    def quick(planes: np.ndarray) -> np.ndarray:
        return extrapolated(planes, lost, own=region.own, window=WINDOW // 2, rounds=ROUNDS // 3)

    def full(planes: np.ndarray) -> np.ndarray:
        return extrapolated(planes, lost, own=region.own)

    return apart(values, quick if region.thickness <= FINE else full, quick)


def apart(values: np.ndarray, luma: Planes, chroma: Planes) -> np.ndarray:
    """Return gray (h, w, 1) filled by `luma`, or RGB (h, w, 3) with its luma and its two planes of chroma filled apart.

    Channels of RGB that are extrapolated independently give fringes of colour.
    """
    if values.shape[2] == 1:
        return luma(values)
    split = cv2.cvtColor(values, cv2.COLOR_RGB2YCrCb)
    split = np.concatenate([luma(split[..., :1]), chroma(split[..., 1:] - NEUTRAL) + NEUTRAL], axis=2)
    return cv2.cvtColor(split, cv2.COLOR_YCrCb2RGB)


def context(thickness: float, side: int) -> int:
    """Return how many pixels around a hole of that thickness are of use; its `side` does not matter."""
    del side
    return min(24 * 2 ** levels(thickness), 48 + int(2 * thickness))


def levels(thickness: float) -> int:
    """Return how many coarser scales a hole of that thickness is begun at."""
    return min(MOST_LEVELS, max(0, math.ceil(math.log2(max(thickness, 1) / 6))))


def extrapolated(
    values: np.ndarray,
    lost: np.ndarray,
    *,
    own: np.ndarray | None = None,
    depth: int | None = None,
    window: int = WINDOW,
    rounds: int = ROUNDS,
    origin: int = 0,
) -> np.ndarray:
    """Return `values` with the lost ones extrapolated, from coarse to fine.

    At each scale the coarser result, enlarged, is the trend, and only what the known pixels have beyond it is
    extrapolated: the sums of waves that a window holds repeat themselves and can't follow a slope.

    Args:
        values: (h, w, C) float32; what is lost is not looked at.
        lost: (h, w) bool.
        own: (h, w) bool, the lost pixels that are asked for; all, if None.
        depth: how many coarser scales there are; as many as the hole is thick for, if None.
        window: side of the square that is transformed, a power of two from 16.
        rounds: coefficients that are chosen for each block.
        origin: where the grid of blocks begins, in pixels before the first one, 0 to 7.

    Returns:
        (h, w, C) float32; 0 where nothing is known.
    """
    if not lost.any() or lost.all():
        return np.where(lost[..., None], np.float32(0), values)
    if depth is None:
        depth = levels(float(cv2.distanceTransform(lost.view(np.uint8), cv2.DIST_L2, 3).max()))
    if depth and min(lost.shape) >= 16:
        small, share = halve(values, ~lost)
        small = extrapolated(small, share == 0, depth=depth - 1, window=window, rounds=rounds, origin=origin)
        trend = cv2.resize(cv2.GaussianBlur(small, (0, 0), 1), lost.shape[::-1], interpolation=cv2.INTER_CUBIC)
    else:
        trend = cv2.GaussianBlur(fill_array(values, ~lost), (0, 0), 8)
    trend = trend.reshape(values.shape)
    rest = np.stack(
        [
            _residual(values[..., channel] - trend[..., channel], lost, own, window, rounds, origin)
            for channel in range(values.shape[2])
        ],
        axis=-1,
    )
    return np.where(lost[..., None], rest + trend, values)


def _residual(
    plane: np.ndarray, lost: np.ndarray, own: np.ndarray | None, side: int, rounds: int, origin: int
) -> np.ndarray:
    """Return a plane (h, w) with its lost pixels extrapolated, blocks with most known neighbours first."""
    pad = side
    field = np.pad(np.where(lost, np.float32(0), plane), pad)
    trust = np.pad((~lost).astype(np.float32), pad)
    todo, first = _blocks(lost, own, origin), pad - origin
    inner = np.arange(BLOCK)
    while todo.any():
        done = np.pad(~todo, 1).astype(np.int8)
        around = sliding_window_view(done, (3, 3)).sum((2, 3))
        ready = np.where(todo, around, -1)
        chosen = np.argwhere(ready >= min(ready.max(), 3))
        for start in range(0, len(chosen), BATCH):
            part = chosen[start : start + BATCH]
            found = _extended(field, trust, part * BLOCK + first - (side - BLOCK) // 2, side, rounds)
            rows = (part[:, :1, None] * BLOCK + first) + inner[:, None]
            columns = (part[:, 1:, None] * BLOCK + first) + inner
            rows, columns = np.broadcast_arrays(rows, columns)
            new = trust[rows, columns] == 0
            field[rows[new], columns[new]] = found[new]
            trust[rows[new], columns[new]] = TRUST
            todo[part[:, 0], part[:, 1]] = False
    return field[pad:-pad, pad:-pad]


def _blocks(lost: np.ndarray, own: np.ndarray | None, origin: int) -> np.ndarray:
    """Return which blocks of the grid are extrapolated, (rows, columns) bool."""
    wanted = lost if own is None else own
    depth = cv2.distanceTransform(lost.view(np.uint8), cv2.DIST_L2, 3)
    wanted = wanted & (depth <= REACH)
    height, width = (-(-(side + origin) // BLOCK) * BLOCK for side in lost.shape)
    padded = np.zeros((height, width), bool)
    padded[origin : origin + lost.shape[0], origin : origin + lost.shape[1]] = wanted
    return np.asarray(padded.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).any((1, 3)))


@lru_cache(maxsize=4)
def _tables(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights by distance (side, side), the prior of each coefficient, and where a shifted window begins.

    The prior prefers low frequencies; of two coefficients that are conjugate one is 0. Coefficients are those of a
    real transform, (side, side / 2 + 1), flat.
    """
    half = side // 2 + 1
    axis = np.arange(side) - (side - 1) / 2
    fall = (DECAY ** np.hypot(axis[:, None], axis)).astype(np.float32)
    high = np.hypot(np.abs(np.fft.fftfreq(side))[:, None], np.arange(half) / side) * 2
    prior = np.clip(1 - np.sqrt(0.5) * high, 0, None) ** 2
    prior[side // 2 + 1 :, [0, side // 2]] = 0
    start = np.arange(side)[:, None] * 2 * side + np.arange(half)
    return fall, prior.astype(np.float32).ravel(), start.ravel()


def _extended(field: np.ndarray, trust: np.ndarray, corners: np.ndarray, side: int, rounds: int) -> np.ndarray:
    """Return the middle blocks (n, BLOCK, BLOCK) of the windows that begin at `corners` (n, 2), as sums of waves.

    In each round the wave that takes most from the weighted residual, times the prior, is added to the sum, and what
    it takes is subtracted: in the spectrum that is the weights' spectrum, shifted.
    """
    fall, prior, start = _tables(side)
    count, half = len(corners), side // 2 + 1
    each = np.arange(count)
    views = (sliding_window_view(one, (side, side))[corners[:, 0], corners[:, 1]] for one in (field, trust))
    values, weights = next(views), next(views) * fall
    total = np.maximum(weights.sum((1, 2)), np.float32(1e-9))
    mean = ((values * weights).sum((1, 2)) / total)[:, None, None]
    left = np.fft.rfft2((values - mean) * weights).astype(np.complex64).reshape(count, -1)
    shifted = np.tile(np.fft.fft2(weights).astype(np.complex64), (1, 2, 2)).ravel()
    first = each * (4 * side * side)
    waves = np.zeros_like(left)
    for _ in range(rounds):
        best = ((left.real**2 + left.imag**2) * prior).argmax(1)
        y, x = np.divmod(best, half)
        other_y, other_x = -y % side, -x % side
        share = (STEP * left[each, best] / total).astype(np.complex64)
        # A wave that is its own conjugate counts once.
        conjugate = np.where((other_y == y) & (other_x == x), np.complex64(0), share.conj())
        left -= share[:, None] * shifted[start + (first + other_y * 2 * side + other_x)[:, None]]
        left -= conjugate[:, None] * shifted[start + (first + y * 2 * side + x)[:, None]]
        waves[each, best] += share
        twice = np.flatnonzero(other_x == x)
        waves[twice, other_y[twice] * half + other_x[twice]] += conjugate[twice]
    found = np.fft.irfft2(waves.reshape(count, side, half), s=(side, side)) * (side * side) + mean
    middle = slice((side - BLOCK) // 2, (side - BLOCK) // 2 + BLOCK)
    return found[:, middle, middle].astype(np.float32)
