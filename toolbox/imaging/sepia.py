"""Tell whether a photograph is gray, toned like a sepia print, or in colour; and apply such a tone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from toolbox.color import array_cbcr, array_luma, color_differences

# Chroma in levels of 255, at the 99th percentile of the pixels. Measured; figures in docs/restore.md.
# A gray photograph has at most this chroma: noise and JPEG leave some.
MAX_GRAY_CHROMA = 8.0
# In a toned photograph, the mean over squares of 5 pixels is at most this far from the curve of the tone.
MAX_TONE_RESIDUAL = 7.0
# No print has a stronger tone; sunsets have.
MAX_TONE_CHROMA = 50.0
# The margins that may be a mount or a frame, as a fraction of the short side; the least fraction of the picture that is
# left without spots. Figures in docs/restore.md.
_MARGIN = 0.08
_MIN_WITHOUT_SPOTS = 0.95
_SPOT_ROUNDS = 3
_PERCENTILE = 99.0
_SQUARE = 5
_WORKING_SIDE = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Toning:
    """What the colours of a photograph are.

    Attributes:
        kind: "gray", "toned" (brownish, and its colour depends on its luma alone, as in a sepia print) or "colour".
        curve: (256, 2) Cb and Cr, in levels of 255, for each luma; zeros for "gray".
    """

    kind: Literal["gray", "toned", "colour"]
    curve: np.ndarray


def measure_toning(rgb: np.ndarray, lost: np.ndarray | None = None) -> Toning:
    """Return the toning of (H, W, 3) uint8 RGB; pixels in `lost`, (H, W) bool, are left out.

    One that is gray or toned apart from its margins, and from spots of at most 5 % of the rest, counts as such.
    A larger photograph is measured at a reduced size, below 1,024 px a side.
    """
    if np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2]):
        return Toning(kind="gray", curve=np.zeros((256, 2)))
    step = max(1, max(rgb.shape[:2]) // _WORKING_SIDE)
    small = (cv2.blur(rgb, (step, step)) if step > 1 else rgb)[::step, ::step]
    known = _known_pixels(small.shape[:2], lost, step)
    luma, chroma = _luma_and_chroma(small)
    toning = _classify(luma, chroma, known)
    if toning.kind == "gray":
        return toning
    # A mount or a frame around the print, a stain, handwriting: the picture decides, without them.
    inner = known & _inner_pixels(known.shape)
    if not inner.any():
        return toning
    if toning.kind == "toned":  # or only its brown border is
        found = _classify(luma, chroma, inner)
        return found if found.kind == "gray" else toning
    for known in (inner, _without_spots(luma, chroma, inner)):
        found = _classify(luma, chroma, known)
        if found.kind != "colour":
            return found
    return toning


def _classify(luma: np.ndarray, chroma: np.ndarray, known: np.ndarray) -> Toning:
    """Return the toning of luma (H, W) and Cb and Cr (H, W, 2), of the pixels that are `known`, (H, W) bool."""
    strength = _high_chroma(chroma[known])
    if strength <= MAX_GRAY_CHROMA:
        return Toning(kind="gray", curve=np.zeros((256, 2)))
    curve = _tone_curve(luma[known], chroma[known])
    # Less blue and more red than gray. Fog and the sea at night have a single tone too, but a blue one.
    is_brown = bool((curve[luma[known]].mean(axis=0) * (-1, 1) > 0).all())
    residual = _high_chroma(_residual(luma, chroma, known, curve)[known])
    is_toned = is_brown and strength <= MAX_TONE_CHROMA and residual <= MAX_TONE_RESIDUAL
    return Toning(kind="toned" if is_toned else "colour", curve=curve)


def _residual(luma: np.ndarray, chroma: np.ndarray, known: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Return how far the mean chroma of squares is from a tone, (H, W, 2).

    JPEG and grain move single pixels. Real colours differ from the tone over several pixels.
    """
    return cv2.blur(np.where(known[..., None], chroma - curve[luma], 0), (_SQUARE, _SQUARE))


def _inner_pixels(shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of a photograph without its margins, (H, W) bool."""
    margin = round(_MARGIN * min(shape))
    inner = np.zeros(shape, bool)
    inner[margin : shape[0] - margin, margin : shape[1] - margin] = True
    return inner


def _without_spots(luma: np.ndarray, chroma: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the known pixels, (H, W) bool, without spots of another colour; all of them if the spots are too large."""
    kept = known
    for _ in range(_SPOT_ROUNDS):
        curve = _tone_curve(luma[kept], chroma[kept])
        residual = np.hypot(*cv2.split(_residual(luma, chroma, known, curve)))
        kept = known & (residual <= MAX_TONE_RESIDUAL)
        if kept.sum() < _MIN_WITHOUT_SPOTS * known.sum() / 2:
            return known
    if kept.sum() < _MIN_WITHOUT_SPOTS * known.sum():
        return known
    # The colour of a spot bleeds into its surroundings.
    spots = cv2.dilate((known & ~kept).astype(np.uint8), np.ones((_SQUARE, _SQUARE), np.uint8)) > 0
    return known & ~spots


def tone_table(toning: Toning, luma: np.ndarray) -> np.ndarray:
    """Return R - Y, G - Y and B - Y of a tone, (N, 3), for luma (N,); all in levels of 0 to 255."""
    cb, cr = (np.interp(luma, np.arange(256), toning.curve[:, index]) for index in range(2))
    return np.stack(color_differences(cb, cr), axis=1)


def apply_toning(gray: np.ndarray, toning: Toning) -> np.ndarray:
    """Return (H, W) gray, uint8 or uint16, as (H, W, 3) RGB of the same type with a photograph's tone."""
    highest = int(np.iinfo(gray.dtype).max)
    luma = np.linspace(0, 255, highest + 1)
    table = luma[:, None] + tone_table(toning, luma)
    return np.rint(table * (highest / 255)).clip(0, highest).astype(gray.dtype)[gray]


def _known_pixels(shape: tuple[int, ...], lost: np.ndarray | None, step: int) -> np.ndarray:
    """Return which pixels of the reduced photograph count, `shape` bool: all of them if nothing is known."""
    known = np.ones(shape, bool)
    if lost is not None and not lost.all():
        # A mean that covers a lost pixel does not count either.
        known = cv2.dilate(lost.astype(np.uint8), np.ones((step, step), np.uint8))[::step, ::step] == 0
    return known if known.any() else np.ones(shape, bool)


def _luma_and_chroma(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the luma (H, W) in whole levels, and Cb and Cr (H, W, 2), of (H, W, 3) RGB."""
    values = pixels.astype(np.float32)
    luma = array_luma(values)
    return np.clip(np.rint(luma), 0, 255).astype(np.intp), array_cbcr(values, luma)


def _high_chroma(chroma: np.ndarray) -> float:
    return float(np.percentile(np.hypot(chroma[:, 0], chroma[:, 1]), _PERCENTILE))


def _tone_curve(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Return the mean chroma of each luma, (256, 2), from pixels (N,) and (N, 2), with a Gaussian over the luma.

    It is fine enough for a tone that bends where a channel saturates. It is linear where no pixel has the luma.
    """
    count = np.bincount(luma, minlength=256)
    sums = np.stack([count, *(np.bincount(luma, chroma[:, index], 256) for index in range(2))], axis=1)
    smooth = cv2.GaussianBlur(sums.astype(np.float64), (1, 7), 1.0, borderType=cv2.BORDER_CONSTANT)
    levels = np.flatnonzero(smooth[:, 0] > 1e-3)
    means = smooth[levels, 1:] / smooth[levels, :1]
    return np.stack([np.interp(np.arange(256), levels, means[:, index]) for index in range(2)], axis=1)
