"""Tell whether a photograph is gray, toned like a sepia print, or in colour; and apply such a tone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from toolbox.color import array_cbcr, array_luma, color_differences, is_gray

# Chroma in levels of 255, at the 99th percentile of the pixels. Measured; figures in docs/restore.md.
# A gray photograph has at most this chroma: noise and JPEG leave some.
MAX_GRAY_CHROMA = 8.0
# In a toned photograph, the mean over squares of 5 pixels is at most this far from the curve of the tone.
MAX_TONE_RESIDUAL = 7.0
# No print has a stronger tone; sunsets have.
MAX_TONE_CHROMA = 50.0
# The margins that may be a mount or a frame, as a fraction of the short side.
_MARGIN = 0.1
# The fraction of the rest that marks on a print (a stain, handwriting) cover at most. Without them a print is this
# close to its tone: this many levels at the 95th percentile of larger squares, and more for a strong tone, because of
# JPEG. If it is further away, only small marks are left out. Chosen on development photographs: docs/restore.md.
_MAX_MARKS = 0.12
_MAX_REST_RESIDUAL = 1.4
_RESIDUAL_PER_CHROMA = 1 / 12
# A toned photograph that is further from its tone than this many times that has colours of its own, as a faded one has.
_MAX_PRINT_RATIO = 1.15
_MAX_SMALL_MARKS = 0.01
_MIN_REST = 0.75
_LARGE_SQUARE = 9
_BLEED = 9
_COARSE = 16
# Weaker colours are those of old paper or of the light, and not mentioned.
_MIN_MARK_DISTANCE = 16.0
_ROUNDS = 3
_PERCENTILE = 99.0
_SQUARE = 5
_WORKING_SIDE = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Toning:
    """Whether a photograph is gray, toned or in colour, and its tone.

    Attributes:
        kind: "gray", "toned" (brownish, and its colour depends on its luma alone, as in a sepia print) or "colour".
        curve: (256, 2) Cb and Cr, in levels of 255, for each luma; zeros for "gray".
        distance: how far 99 % of what counts of a toned photograph is at most from the tone, in levels of 255.
        marks: the fraction of the photograph that clearly has other colours than gray or the tone; 0 for "colour".
        has_weak_colors: whether a toned photograph has weak colours outside its marks, as a faded one in colour has.
    """

    kind: Literal["gray", "toned", "colour"]
    curve: np.ndarray
    distance: float = 0.0
    marks: float = 0.0
    has_weak_colors: bool = False


def measure_toning(rgb: np.ndarray, lost: np.ndarray | None = None) -> Toning:
    """Return the toning of (H, W, 3) uint8 RGB; pixels in `lost`, (H, W) bool, are left out.

    One that is gray or toned apart from its margins, and from marks of at most 12 % of the rest, counts as such.
    A larger photograph is measured at a reduced size, below 1,024 px a side.
    """
    if is_gray(rgb):
        return Toning(kind="gray", curve=np.zeros((256, 2)))
    step = max(1, max(rgb.shape[:2]) // _WORKING_SIDE)
    small = (cv2.blur(rgb, (step, step)) if step > 1 else rgb)[::step, ::step]
    known = _known_pixels(small.shape[:2], lost, step)
    luma, chroma = _luma_and_chroma(small)
    toning = _find_toning(luma, chroma, known)
    if toning.kind == "colour":
        return toning
    distance = np.hypot(*cv2.split(_residual(luma, chroma, known, toning.curve)))
    toning = replace(toning, marks=float((distance[known] > _MIN_MARK_DISTANCE).mean()))
    if toning.kind == "gray":
        return toning
    rest = known & _inner_pixels(known.shape) & ~_with_bleed(known & (distance > MAX_TONE_RESIDUAL))
    return replace(toning, has_weak_colors=_print_ratio(luma, chroma, rest, toning.curve) > _MAX_PRINT_RATIO)


def _find_toning(luma: np.ndarray, chroma: np.ndarray, known: np.ndarray) -> Toning:
    """Return the toning of luma (H, W) and Cb and Cr (H, W, 2); only pixels that are `known`, (H, W) bool, count."""
    toning = _classify(luma, chroma, known)
    if toning.kind == "gray":
        return toning
    # The picture alone decides, without a mount or a frame around the print, a stain, or handwriting.
    inner = known & _inner_pixels(known.shape)
    if not inner.any():
        return toning
    if toning.kind == "toned":  # or only its brown border is toned
        result = _classify(luma, chroma, inner)
        return result if result.kind == "gray" else toning
    result = _classify(luma, chroma, inner)
    if result.kind != "colour":
        return result
    for as_gray in (True, False):
        curve = np.zeros((256, 2)) if as_gray else _robust_curve(luma, chroma, inner)
        rest = _without_marks(luma, chroma, inner, curve)
        if rest.any() and (result := _classify(luma, chroma, rest)).kind != "colour":
            return result
    return toning


def _classify(luma: np.ndarray, chroma: np.ndarray, known: np.ndarray) -> Toning:
    """Return the toning of luma (H, W) and Cb and Cr (H, W, 2), of the pixels that are `known`, (H, W) bool."""
    strength = _high_chroma(chroma[known])
    if strength <= MAX_GRAY_CHROMA:
        return Toning(kind="gray", curve=np.zeros((256, 2)))
    curve = _tone_curve(luma[known], chroma[known])
    # A print has less blue and more red than gray. Fog and the sea at night have a single tone too, but a blue one.
    is_brown = bool((_mean_chroma(luma[known], curve) * (-1, 1) > 0).all())
    residual = _high_chroma(_residual(luma, chroma, known, curve)[known])
    is_toned = is_brown and strength <= MAX_TONE_CHROMA and residual <= MAX_TONE_RESIDUAL
    return Toning(kind="toned" if is_toned else "colour", curve=curve, distance=residual)


def _residual(
    luma: np.ndarray, chroma: np.ndarray, known: np.ndarray, curve: np.ndarray, square: int = _SQUARE
) -> np.ndarray:
    """Return how far the mean chroma of squares is from a tone, (H, W, 2).

    JPEG and grain move single pixels. Real colours differ from the tone over several pixels.
    """
    return cv2.blur(np.where(known[..., None], chroma - curve.astype(np.float32)[luma], 0), (square, square))


def _inner_pixels(shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of a photograph without its margins, (H, W) bool."""
    margin = round(_MARGIN * min(shape))
    inner = np.zeros(shape, bool)
    inner[margin : shape[0] - margin, margin : shape[1] - margin] = True
    return inner


def _without_marks(luma: np.ndarray, chroma: np.ndarray, inner: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Return the inner pixels, (H, W) bool, without marks of another colour than a tone; none if it is no print.

    The rest of a print is close to its tone. In a photograph of few colours, weak colours are left in the rest.
    """
    distance = np.hypot(*cv2.split(_residual(luma, chroma, inner, curve)))
    marks = inner & (distance > MAX_TONE_RESIDUAL)
    rest = inner & ~_with_bleed(marks)
    marked, total = int(marks.sum()), int(inner.sum())
    if rest.sum() < _MIN_REST * total:
        return np.zeros_like(inner)
    is_close = _print_ratio(luma, chroma, rest, curve) <= 1
    return rest if marked <= (_MAX_MARKS if is_close else _MAX_SMALL_MARKS) * total else np.zeros_like(inner)


def _with_bleed(marks: np.ndarray) -> np.ndarray:
    """Return marks, (H, W) bool, with their surroundings, into which their colour spreads."""
    return cv2.dilate(marks.astype(np.uint8), np.ones((_BLEED, _BLEED), np.uint8)) > 0


def _print_ratio(luma: np.ndarray, chroma: np.ndarray, rest: np.ndarray, curve: np.ndarray) -> float:
    """Return how far most of the pixels `rest`, (H, W) bool, are from a tone, as a multiple of the most in a print."""
    if not rest.any():
        return 0.0
    strength = np.hypot(*_mean_chroma(luma[rest], curve))
    distance = np.hypot(*cv2.split(_residual(luma, chroma, rest, curve, _LARGE_SQUARE)))[rest]
    return float(np.percentile(distance, 95) / (_MAX_REST_RESIDUAL + _RESIDUAL_PER_CHROMA * strength))


def _robust_curve(luma: np.ndarray, chroma: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the tone of most of the inner pixels, (256, 2): the median chroma of coarse luma levels, then means."""
    level, values = luma[inner] // _COARSE, chroma[inner]
    count = np.bincount(level, minlength=256 // _COARSE)
    coarse = np.flatnonzero(count > 0.002 * len(level))
    medians = np.array([np.median(values[level == index], axis=0) for index in coarse])
    middle = (coarse + 0.5) * _COARSE
    curve = np.stack([np.interp(np.arange(256), middle, medians[:, index]) for index in range(2)], axis=1)
    for _ in range(_ROUNDS):
        distance = np.hypot(*cv2.split(_residual(luma, chroma, inner, curve)))
        near = inner & (distance <= MAX_TONE_RESIDUAL)
        if near.sum() < inner.sum() / 2:
            break
        curve = _tone_curve(luma[near], chroma[near])
    return curve


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


def _mean_chroma(luma: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Return the mean Cb and Cr, (2,), that a tone gives to pixels of luma (N,)."""
    return np.bincount(luma, minlength=256) @ curve / len(luma)


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
