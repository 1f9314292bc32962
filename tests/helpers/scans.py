"""Simulated scans of damaged prints: the undamaged print, the scan as a file, and the damage."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from pictures import saved

from toolbox.color import integer_luma

SEPIA = np.array([1.08, 1.0, 0.82])


@dataclass(frozen=True)
class Scan:
    """A scan as a file with its suffix, the undamaged print, and a mask of the damage."""

    file: bytes
    suffix: str
    undamaged: np.ndarray
    lost: np.ndarray


def tears(shape, random):
    """Two cracks from edge to edge, of changing width."""
    height, width = shape
    lost = np.zeros(shape, np.uint8)
    for _ in range(2):
        is_horizontal = bool(random.integers(2))
        steps = np.linspace(0, (width if is_horizontal else height) - 1, 14)
        bends = np.cumsum(random.normal(0, 0.03, 14)) + random.uniform(0.25, 0.75)
        side = bends.clip(0.02, 0.98) * (height if is_horizontal else width)
        points = np.stack([steps, side] if is_horizontal else [side, steps], axis=1).round().astype(np.int32)
        for start, stop in zip(points, points[1:], strict=False):
            cv2.line(lost, tuple(map(int, start)), tuple(map(int, stop)), 1, int(random.integers(3, 8)))
    return lost.astype(bool)


def spots(shape, random):
    """A dozen stains."""
    lost = np.zeros(shape, np.uint8)
    for _ in range(12):
        middle = (int(random.integers(shape[1])), int(random.integers(shape[0])))
        axes = tuple(map(int, random.integers(4, 18, 2)))
        cv2.ellipse(lost, middle, axes, float(random.uniform(0, 180)), 0, 360, 1, -1)
    return lost.astype(bool)


def corner(shape, random):
    """A torn-off corner."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    edge = 0.35 + np.cumsum(random.normal(0, 0.004, width))
    return y / height + x / width < edge[x.clip(0, width - 1)]


def rectangle(shape, random):
    """One flat shape, as in the competition."""
    height, width = shape
    top, left = int(random.integers(height // 2)), int(random.integers(width // 2))
    lost = np.zeros(shape, bool)
    lost[top : top + height // 4, left : left + width // 5] = True
    return lost


def printed(photo, look, random):
    """Return what a scanner sees of a gray print of a colour photograph, (H, W) or (H, W, 3) uint8."""
    gray = integer_luma(photo).astype(np.float64)
    if look in ("grain", "faded"):
        gray += cv2.GaussianBlur(random.normal(0, 12, gray.shape), (0, 0), 1.0)
    if look == "faded":
        y, x = np.mgrid[: gray.shape[0], : gray.shape[1]]
        gray = 50 + 0.6 * gray + 15 * np.hypot(y / gray.shape[0] - 0.5, x / gray.shape[1] - 0.5)
    gray = gray.clip(16, 238)  # paper is not pure white, and ink not pure black
    if look == "sepia":
        return np.rint(gray[..., None] * SEPIA).clip(0, 250).astype(np.uint8)
    return np.rint(gray).astype(np.uint8)


def scanned(undamaged, lost, level, file_format):
    """Return the scan as a file: "png", "jpeg" of quality 90, or "cut", a PNG whose lost region is transparent."""
    damaged = undamaged.copy()
    damaged[lost] = level
    if file_format == "jpeg":
        return Scan(saved(damaged, "JPEG", quality=90), ".jpg", undamaged, lost)
    if file_format == "cut":
        alpha = np.where(lost, 0, 255).astype(np.uint8)
        rgb = damaged if damaged.ndim == 3 else np.repeat(damaged[..., None], 3, axis=2)
        return Scan(saved(np.dstack([rgb, alpha]), "PNG"), ".png", undamaged, lost)
    return Scan(saved(damaged, "PNG"), ".png", undamaged, lost)
