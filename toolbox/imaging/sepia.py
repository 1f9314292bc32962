"""Is a photograph gray, toned like a sepia print, or in colour? And the tone, to give it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

# In steps of 255, at the 99th of a hundred pixels: how far the colour of a gray photograph may lie from gray, and how
# far, meant over squares of 5 pixels, that of a toned one from the curve of its tone; and the strongest tone, which no
# print reaches and sunsets go beyond. Figures in docs/restore.md.
NEAR = 8.0
TONED = 7.0
STRONGEST = 50.0
SHARE = 99.0
SQUARE = 5

SIDE = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Toning:
    """What a photograph's colours are.

    Attributes:
        kind: "gray", "toned" (brown, and its colour follows from its luma alone, as in a sepia print) or "colour".
        curve: (256, 2) Cb and Cr, in steps of 255, of each luma; zeros if it is gray.
    """

    kind: Literal["gray", "toned", "colour"]
    curve: np.ndarray


def measure_toning(rgb: np.ndarray, lost: np.ndarray | None = None) -> Toning:
    """Judge (H, W, 3) uint8 RGB by what is not `lost`, (H, W) bool, looked at no larger than 1,024 px a side."""
    gray = Toning(kind="gray", curve=np.zeros((256, 2)))
    if np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2]):
        return gray
    step = max(1, max(rgb.shape[:2]) // SIDE)
    small = (cv2.blur(rgb, (step, step)) if step > 1 else rgb)[::step, ::step]
    known = np.ones(small.shape[:2], bool)
    if lost is not None and not lost.all():
        # What the means have taken in of what is lost does not count either.
        known = cv2.dilate(lost.astype(np.uint8), np.ones((step, step), np.uint8))[::step, ::step] == 0
    if not known.any():
        known[:] = True
    luma, chroma = _parted(small)
    strength = _far(chroma[known])
    if strength <= NEAR:
        return gray
    curve = _curve(luma[known], chroma[known])
    # Brown: less blue and more red than gray. A blue fog or a sea by night have one tone by nature.
    warm = bool((curve[luma[known]].mean(axis=0) * (-1, 1) > 0).all())
    # JPEG and grain shake single pixels; colours of its own stand out over several.
    rest = cv2.blur(np.where(known[..., None], chroma - curve[luma], 0), (SQUARE, SQUARE))
    print_ = warm and strength <= STRONGEST and _far(rest[known]) <= TONED
    return Toning(kind="toned" if print_ else "colour", curve=curve)


def apply_toning(gray: np.ndarray, toning: Toning) -> np.ndarray:
    """Return (H, W) gray, uint8 or uint16, as (H, W, 3) RGB of the same type in a photograph's tone."""
    top = int(np.iinfo(gray.dtype).max)
    table = np.linspace(0, 255, top + 1)
    cb, cr = (np.interp(table, np.arange(256), toning.curve[:, index]) for index in range(2))
    red, blue = table + 1.402 * cr, table + 1.772 * cb
    green = table - (0.299 * 1.402 * cr + 0.114 * 1.772 * cb) / 0.587
    colours = np.rint(np.stack([red, green, blue], axis=1) * (top / 255))
    return colours.clip(0, top).astype(gray.dtype)[gray]


def _parted(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return luma (H, W) in whole steps and Cb and Cr (H, W, 2) of (H, W, 3) RGB, ITU-R BT.601 in full range."""
    values = pixels.astype(np.float32)
    luma = values @ np.array([0.299, 0.587, 0.114], np.float32)
    chroma = np.stack([(values[..., 2] - luma) / 1.772, (values[..., 0] - luma) / 1.402], axis=-1)
    return np.clip(np.rint(luma), 0, 255).astype(np.intp), chroma


def _far(chroma: np.ndarray) -> float:
    return float(np.percentile(np.hypot(chroma[:, 0], chroma[:, 1]), SHARE))


def _curve(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Return the mean colour of each luma, (256, 2), of (N,) and (N, 2): of its neighbours as well, weighed by bells.

    Fine enough for a tone that bends where a channel is full; straight lines where there is no such luma.
    """
    count = np.bincount(luma, minlength=256)
    sums = np.stack([count, *(np.bincount(luma, chroma[:, index], 256) for index in range(2))], axis=1)
    near = cv2.GaussianBlur(sums.astype(np.float64), (1, 7), 1.0, borderType=cv2.BORDER_CONSTANT)
    there = np.flatnonzero(near[:, 0] > 1e-3)
    return np.stack([np.interp(np.arange(256), there, near[there, index] / near[there, 0]) for index in (1, 2)], axis=1)
