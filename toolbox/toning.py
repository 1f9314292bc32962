"""Is a photograph gray, toned like a sepia print, or in colour? And the tone, to give it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from toolbox import images

# In steps of 255: how far, at the 99th of a hundred pixels, the colour of a gray photograph may lie from gray, and
# that of a toned one from the curve of its tone. Figures in docs/restore.md.
NEAR = 8.0
SHARE = 99.0

SIDE = 512
LEVELS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Toning:
    """What a photograph's colours are.

    Attributes:
        kind: "gray", "toned" (brown, and its colour follows from its luma alone, as in a sepia print) or "colour".
        curve: (256, 2) Cb and Cr, in steps of 255, of each luma; zeros if it is gray.
    """

    kind: Literal["gray", "toned", "colour"]
    curve: np.ndarray


def judge(rgb: np.ndarray, lost: np.ndarray | None = None) -> Toning:
    """Judge (H, W, 3) uint8 RGB by what is not `lost`, (H, W) bool, looked at no larger than 512 px a side."""
    if np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2]):
        return Toning(kind="gray", curve=np.zeros((256, 2)))
    known = np.ones(rgb.shape[:2], bool) if lost is None or lost.all() else ~lost
    # Every n-th pixel: a mean over several would hide the noise that JPEG leaves, which is to be judged as well.
    step = max(1, max(rgb.shape[:2]) // SIDE)
    small = cv2.blur(rgb, (step, step))[::step, ::step] if step > 1 else rgb
    pixels = small[known[::step, ::step]].astype(np.float32).reshape(-1, 3)
    if not len(pixels):
        pixels = small.astype(np.float32).reshape(-1, 3)
    luma, chroma = _parted(pixels)
    if _far(chroma) <= NEAR:
        return Toning(kind="gray", curve=np.zeros((256, 2)))
    curve = _curve(luma, chroma)
    # Brown: less blue and more red than gray. A blue fog or a sea by night have one tone by nature.
    warm = bool((curve[luma].mean(axis=0) * (-1, 1) > 0).all())
    return Toning(kind="toned" if warm and _far(chroma - curve[luma]) <= NEAR else "colour", curve=curve)


def toned(gray: np.ndarray, toning: Toning) -> np.ndarray:
    """Return (H, W) uint8 gray as (H, W, 3) uint8 RGB in a photograph's tone."""
    table = np.arange(256, dtype=np.float32)
    cb, cr = toning.curve[:, 0], toning.curve[:, 1]
    red, blue = table + 1.402 * cr, table + 1.772 * cb
    green = table - (0.299 * 1.402 * cr + 0.114 * 1.772 * cb) / 0.587
    colours = np.clip(np.rint(np.stack([red, green, blue], axis=1)), 0, 255).astype(np.uint8)
    return colours[gray]


def gray_of(rgb: np.ndarray) -> np.ndarray:
    """Return the luma of (H, W, 3) uint8 or uint16 RGB, (H, W) of the same type."""
    from toolbox.color import integer_luma

    return images.luma(rgb) if rgb.dtype == np.uint8 else integer_luma(rgb)


def _parted(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    chroma = np.stack([(pixels[:, 2] - luma) / 1.772, (pixels[:, 0] - luma) / 1.402], axis=1)
    return np.clip(np.rint(luma), 0, 255).astype(np.intp), chroma


def _far(chroma: np.ndarray) -> float:
    return float(np.percentile(np.hypot(chroma[:, 0], chroma[:, 1]), SHARE))


def _curve(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Return the mean colour of each luma, (256, 2): means over 32 levels, straight lines between."""
    level = luma * LEVELS // 256
    count = np.bincount(level, minlength=LEVELS)
    there = count > 0
    centres = (np.bincount(level, luma, LEVELS)[there]) / count[there]
    means = [np.bincount(level, chroma[:, index], LEVELS)[there] / count[there] for index in range(2)]
    return np.stack([np.interp(np.arange(256), centres, mean) for mean in means], axis=1)
