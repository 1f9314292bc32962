"""Simulated prints for tests: a scene with texture, faded, with a cast, with a vignette, or on a table."""

from __future__ import annotations

import cv2
import numpy as np

from toolbox.color import integer_luma


def picture(height=120, width=160, seed=0):
    """Return a scene with all brightnesses and several colours, (height, width, 3) uint8."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(height, width, 3)).astype(np.float32)
    rough = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1, 3, 9))
    gray = rough.mean(axis=2, keepdims=True)
    low, high = np.percentile(gray, (1, 99))
    level = np.clip((gray - low) / (high - low), 0, 1)
    # Shadows and lights have little colour.
    color = 0.35 * (rough - gray) / (high - low) * 4 * level * (1 - level)
    return np.rint(np.clip(level + color, 0, 1) * 235 + 10).astype(np.uint8)


def fade(pixels, low=(90, 70, 55), high=(205, 190, 150)):
    """Return pixels with each channel's range of 0 to 255 pressed between `low` and `high`."""
    low, high = np.array(low), np.array(high)
    return np.rint(low + pixels / 255 * (high - low)).astype(np.uint8)


def yellowed(pixels):
    """Return the luma of pixels as a faded gray print on yellow paper, (H, W, 3)."""
    return np.rint((integer_luma(pixels)[..., None] * 0.4 + 100) * (1, 0.95, 0.75)).astype(np.uint8)


def vignette(pixels, corner=0.45):
    """Return pixels darkened towards the corners by this factor."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    squared = (y**2 * height**2 + x**2 * width**2) / (height**2 + width**2)
    factor = corner**squared
    return np.rint(pixels * (factor if pixels.ndim == 2 else factor[..., None])).astype(pixels.dtype)


def on_table(pixels, size=(360, 480), corners=((90, 60), (400, 80), (390, 310), (80, 290))):
    """Return a photograph of a print on a brown, grained table, and the corners of the print."""
    random = np.random.default_rng(7)
    grain = cv2.GaussianBlur(random.normal(0, 30, size).astype(np.float32), (0, 0), sigmaX=20, sigmaY=1)
    table = np.array([120, 85, 60]) + grain[..., None] * 4
    height, width = pixels.shape[:2]
    outline = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    matrix = cv2.getPerspectiveTransform(outline, np.float32(corners))
    flags = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    sheet = cv2.warpPerspective(pixels.astype(np.float32), matrix, size[::-1], **flags)
    share = cv2.warpPerspective(np.ones((height, width), np.float32), matrix, size[::-1])[..., None]
    return np.rint(np.clip(table * (1 - share) + sheet * share, 0, 255)).astype(np.uint8), np.float32(corners)
