"""Holes that are drawn by a seed, and the figures of a filled hole."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw
from toolbox_plugins.default.lost_region import damage

AROUND = 64
WINDOW = 7


def shape(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Return one of the competition's shapes, (H, W) bool."""
    return damage(np.zeros((*size, 3), np.uint8), random)[1]


def brush(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Return one to three strokes of a brush, (H, W) bool, a fortieth to a fourteenth of the short side wide."""
    short = min(size)
    canvas = Image.new("L", size[::-1])
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(random.integers(1, 4))):
        width = int(random.integers(max(3, short // 40), max(4, short // 14)))
        steps = random.uniform(short / 16, short / 6, int(random.integers(3, 7)))
        _stroke(draw, _walk(size, steps, 0.8, random), width)
    mask = np.asarray(canvas) > 0
    return mask if mask.any() else brush(size, random)


def scratch(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Return two to five long scratches, (H, W) bool, 2 to 12 pixels wide."""
    canvas = Image.new("L", size[::-1])
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(random.integers(2, 6))):
        length = random.uniform(min(size) / 4, min(size))
        _stroke(draw, _walk(size, np.full(12, length / 12), 0.06, random), int(random.integers(2, 13)))
    mask = np.asarray(canvas) > 0
    return mask if mask.any() else scratch(size, random)


KINDS = {"shape": shape, "brush": brush, "scratch": scratch}


def _walk(
    size: tuple[int, int], steps: np.ndarray, turn: float, random: np.random.Generator
) -> list[tuple[float, float]]:
    x, y = random.uniform(0, size[1]), random.uniform(0, size[0])
    angle = random.uniform(0, 2 * math.pi)
    points = [(x, y)]
    for step in steps:
        angle += random.normal(0, turn)
        x, y = x + step * math.cos(angle), y + step * math.sin(angle)
        points.append((x, y))
    return points


def _stroke(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], width: int) -> None:
    draw.line(points, fill=1, width=width, joint="curve")
    for x, y in (points[0], points[-1]):
        draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=1)


def photo(path: Path, most: int = 512) -> np.ndarray:
    """Return the middle of a photograph, at most `most` pixels a side, (H, W, 3) uint8 RGB."""
    with Image.open(path) as image:
        width, height = image.size
        across, down = min(width, most), min(height, most)
        left, top = (width - across) // 2, (height - down) // 2
        return np.array(image.convert("RGB").crop((left, top, left + across, top + down)))


def luma(picture: np.ndarray) -> np.ndarray:
    """Return the luma (H, W) uint8 of RGB (H, W, 3) as Pillow computes it."""
    return np.array(Image.fromarray(picture).convert("L"))


def around(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of the lost region with AROUND pixels around."""
    rows, columns = np.nonzero(mask)
    return tuple(
        slice(max(0, int(each.min()) - AROUND), min(length, int(each.max()) + 1 + AROUND))
        for each, length in zip((rows, columns), mask.shape, strict=True)
    )  # type: ignore[return-value]


def lost_structure(filled: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float | None:
    """Return M of two lumas (H, W) uint8 with a data range of 255: SSIM along the lost pixels in raster order."""
    if np.count_nonzero(mask) < WINDOW:
        return None
    one, other = (
        np.lib.stride_tricks.sliding_window_view(each[mask].astype(np.float64), WINDOW) for each in (filled, truth)
    )
    mean, means = one.mean(1), other.mean(1)
    shared = ((one - mean[:, None]) * (other - means[:, None])).sum(1) / (WINDOW - 1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean * means + c1) * (2 * shared + c2)
    below = (mean**2 + means**2 + c1) * (one.var(1, ddof=1) + other.var(1, ddof=1) + c2)
    return float((above / below).mean())


def seam(filled: np.ndarray, mask: np.ndarray) -> float | None:
    """Return the mean step across the border of the lost region, over that between known pixels of the crop."""
    box = around(mask)
    values, lost = filled[box].astype(np.float32), mask[box]
    across, along = [], []
    for axis in (0, 1):
        step = np.abs(np.diff(values, axis=axis))
        first, second = (np.delete(lost, end, axis=axis) for end in (-1, 0))
        across.append(step[first != second])
        along.append(step[~first & ~second])
    at_border, elsewhere = np.concatenate(across), np.concatenate(along)
    if not at_border.size or not elsewhere.size or not elsewhere.mean():
        return None
    return float(at_border.mean() / elsewhere.mean())


def contact(path: Path, rows: list[list[np.ndarray]]) -> None:
    """Write pictures (h, w) uint8, row by row, into one PNG, each at its own size."""
    lines = []
    for row in rows:
        height = max(one.shape[0] for one in row)
        lines.append(np.hstack([np.pad(one, ((0, height - one.shape[0] + 4), (0, 4))) for one in row]))
    width = max(line.shape[1] for line in lines)
    whole = np.vstack([np.pad(line, ((0, 0), (0, width - line.shape[1]))) for line in lines])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), whole):
        raise OSError(f"{path} could not be written.")
