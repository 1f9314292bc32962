"""Fill holes by frequency-selective extrapolation: continue the strongest waves of the surroundings into the hole."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from toolbox import check_cancelled
from toolbox.smooth_fill import fill_array, halve

from .regions import FINE, Region, fill_regions

BLOCK = 8
WINDOW = 64
ROUNDS = 60
# The weight of a known pixel is multiplied by this factor for each pixel of distance from the middle of the block.
DECAY = 0.8
# The weight of an extrapolated pixel; that of a known pixel is 1.
TRUST = 0.5
# The part of a coefficient that one round adds.
STEP_SIZE = 0.5
# Pixels deeper in the hole than this get their values from the coarser scales alone.
MAX_DEPTH = 32
MAX_LEVELS = 8
BATCH = 128
# The chroma of gray in OpenCV's YCrCb of floats, whatever their range.
NEUTRAL = np.float32(0.5)

Planes = Callable[[np.ndarray], np.ndarray]


def frequency(image: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return `image` with its holes filled by frequency-selective extrapolation.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: not used; the fill is not random.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`. If no pixel is known, it is black.

    Raises:
        ValueError: an array has another type or shape.

    References: Seiler and Kaup, "Complex-Valued Frequency Selective Extrapolation for Fast Image and Video Signal
    Extrapolation", IEEE Signal Processing Letters 2010; Genser et al., "Spectral Constrained Frequency Selective
    Extrapolation for Rapid Image Error Concealment", IWSSIP 2018.
    """
    del seed
    return fill_regions(
        image, mask, lambda values, lost, region: extrapolate_region(values, lost, region), margin=context
    )


def extrapolate_region(values: np.ndarray, lost: np.ndarray, region: Region) -> np.ndarray:
    """Return `values` (h, w, C) float32 with a region extrapolated.

    Dust, hairs and chroma get a smaller window and fewer rounds.
    """

    def quick(planes: np.ndarray) -> np.ndarray:
        return extrapolate(planes, lost, target=region.target, window=WINDOW // 2, rounds=ROUNDS // 3)

    def full(planes: np.ndarray) -> np.ndarray:
        return extrapolate(planes, lost, target=region.target)

    return fill_luma_and_chroma(values, quick if region.thickness <= FINE else full, quick)


def fill_luma_and_chroma(values: np.ndarray, luma: Planes, chroma: Planes) -> np.ndarray:
    """Return gray (h, w, 1) filled by `luma`, or RGB (h, w, 3) with luma and chroma filled separately.

    Extrapolating the channels of RGB separately would give fringes of colour.
    """
    if values.shape[2] == 1:
        return luma(values)
    split = cv2.cvtColor(values, cv2.COLOR_RGB2YCrCb)
    split = np.concatenate([luma(split[..., :1]), chroma(split[..., 1:] - NEUTRAL) + NEUTRAL], axis=2)
    return cv2.cvtColor(split, cv2.COLOR_YCrCb2RGB)


def context(thickness: float, side: int) -> int:
    """Return how many pixels around a hole with this thickness are useful. `side` is not used."""
    del side
    return min(24 * 2 ** levels(thickness), 48 + int(2 * thickness))


def levels(thickness: float) -> int:
    """Return the number of coarser scales for a hole with this thickness."""
    return min(MAX_LEVELS, max(0, math.ceil(math.log2(max(thickness, 1) / 6))))


def extrapolate(
    values: np.ndarray,
    lost: np.ndarray,
    *,
    target: np.ndarray | None = None,
    depth: int | None = None,
    window: int = WINDOW,
    rounds: int = ROUNDS,
    origin: int = 0,
) -> np.ndarray:
    """Return `values` with the lost ones extrapolated, from coarse to fine.

    At each scale the enlarged result of the coarser scale is the trend, and only the difference of the known pixels
    from it is extrapolated: a sum of waves repeats itself in the window and can't follow a slope.

    Args:
        values: (h, w, C) float32; the values of lost pixels are not used.
        lost: (h, w) bool.
        target: (h, w) bool, the lost pixels to extrapolate; None for all.
        depth: number of coarser scales; None chooses it by the thickness of the hole.
        window: side of the square that is transformed, a power of two from 16.
        rounds: number of coefficients chosen for each block.
        origin: offset of the grid of blocks, in pixels before the first pixel, 0 to 7.

    Returns:
        (h, w, C) float32; 0 if no pixel is known.
    """
    if not lost.any() or lost.all():
        return np.where(lost[..., None], np.float32(0), values)
    if depth is None:
        depth = levels(float(cv2.distanceTransform(lost.view(np.uint8), cv2.DIST_L2, 3).max()))
    if depth and min(lost.shape) >= 16:
        small, known_share = halve(values, ~lost)
        small = extrapolate(small, known_share == 0, depth=depth - 1, window=window, rounds=rounds, origin=origin)
        trend = cv2.resize(cv2.GaussianBlur(small, (0, 0), 1), lost.shape[::-1], interpolation=cv2.INTER_CUBIC)
    else:
        trend = cv2.GaussianBlur(fill_array(values, ~lost), (0, 0), 8)
    trend = trend.reshape(values.shape)
    residuals = np.stack(
        [
            _residual(values[..., channel] - trend[..., channel], lost, target, window, rounds, origin)
            for channel in range(values.shape[2])
        ],
        axis=-1,
    )
    return np.where(lost[..., None], residuals + trend, values)


def _residual(
    plane: np.ndarray, lost: np.ndarray, target: np.ndarray | None, side: int, rounds: int, origin: int
) -> np.ndarray:
    """Return a plane (h, w) with its lost pixels extrapolated; blocks with the most known neighbours come first."""
    pad = side
    field = np.pad(np.where(lost, np.float32(0), plane), pad)
    trust = np.pad((~lost).astype(np.float32), pad)
    pending, grid_start = _blocks(lost, target, origin), pad - origin
    inner = np.arange(BLOCK)
    while pending.any():
        known_blocks = np.pad(~pending, 1).astype(np.int8)
        known_neighbours = np.where(pending, sliding_window_view(known_blocks, (3, 3)).sum((2, 3)), -1)
        chosen = np.argwhere(known_neighbours >= min(known_neighbours.max(), 3))
        for start in range(0, len(chosen), BATCH):
            check_cancelled()
            batch = chosen[start : start + BATCH]
            block_values = _extrapolate_blocks(
                field, trust, batch * BLOCK + grid_start - (side - BLOCK) // 2, side, rounds
            )
            rows = (batch[:, :1, None] * BLOCK + grid_start) + inner[:, None]
            columns = (batch[:, 1:, None] * BLOCK + grid_start) + inner
            rows, columns = np.broadcast_arrays(rows, columns)
            new = trust[rows, columns] == 0
            field[rows[new], columns[new]] = block_values[new]
            trust[rows[new], columns[new]] = TRUST
            pending[batch[:, 0], batch[:, 1]] = False
    return field[pad:-pad, pad:-pad]


def _blocks(lost: np.ndarray, target: np.ndarray | None, origin: int) -> np.ndarray:
    """Return which blocks of the grid are extrapolated, (rows, columns) bool."""
    wanted = lost if target is None else target
    depth = cv2.distanceTransform(lost.view(np.uint8), cv2.DIST_L2, 3)
    wanted = wanted & (depth <= MAX_DEPTH)
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
    distance_weights = (DECAY ** np.hypot(axis[:, None], axis)).astype(np.float32)
    high = np.hypot(np.abs(np.fft.fftfreq(side))[:, None], np.arange(half) / side) * 2
    prior = np.clip(1 - np.sqrt(0.5) * high, 0, None) ** 2
    prior[side // 2 + 1 :, [0, side // 2]] = 0
    start = np.arange(side)[:, None] * 2 * side + np.arange(half)
    return distance_weights, prior.astype(np.float32).ravel(), start.ravel()


def _extrapolate_blocks(
    field: np.ndarray, trust: np.ndarray, corners: np.ndarray, side: int, rounds: int
) -> np.ndarray:
    """Return the middle blocks (n, BLOCK, BLOCK) of the windows that begin at `corners` (n, 2), as sums of waves.

    Each round adds the wave that reduces the weighted residual most, after multiplication by the prior, and subtracts
    it from the residual: in the spectrum, that is the shifted spectrum of the weights.
    """
    distance_weights, prior, start = _tables(side)
    count, half = len(corners), side // 2 + 1
    each = np.arange(count)
    views = (
        sliding_window_view(padded_plane, (side, side))[corners[:, 0], corners[:, 1]] for padded_plane in (field, trust)
    )
    values, weights = next(views), next(views) * distance_weights
    total = np.maximum(weights.sum((1, 2)), np.float32(1e-9))
    mean = ((values * weights).sum((1, 2)) / total)[:, None, None]
    residual = np.fft.rfft2((values - mean) * weights).astype(np.complex64).reshape(count, -1)
    shifted = np.tile(np.fft.fft2(weights).astype(np.complex64), (1, 2, 2)).ravel()
    spectrum_start = each * (4 * side * side)
    waves = np.zeros_like(residual)
    for _ in range(rounds):
        best = ((residual.real**2 + residual.imag**2) * prior).argmax(1)
        y, x = np.divmod(best, half)
        conjugate_y, conjugate_x = -y % side, -x % side
        coefficient = (STEP_SIZE * residual[each, best] / total).astype(np.complex64)
        # A wave that is its own conjugate counts once.
        conjugate = np.where((conjugate_y == y) & (conjugate_x == x), np.complex64(0), coefficient.conj())
        residual -= (
            coefficient[:, None] * shifted[start + (spectrum_start + conjugate_y * 2 * side + conjugate_x)[:, None]]
        )
        residual -= conjugate[:, None] * shifted[start + (spectrum_start + y * 2 * side + x)[:, None]]
        waves[each, best] += coefficient
        on_edge = np.flatnonzero(conjugate_x == x)
        waves[on_edge, conjugate_y[on_edge] * half + conjugate_x[on_edge]] += conjugate[on_edge]
    block_values = np.fft.irfft2(waves.reshape(count, side, half), s=(side, side)) * (side * side) + mean
    middle = slice((side - BLOCK) // 2, (side - BLOCK) // 2 + BLOCK)
    return block_values[:, middle, middle].astype(np.float32)
