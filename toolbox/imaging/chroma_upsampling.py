"""Colours that were found at a small scale, brought up to a large photograph, a strip of rows at a time.

Colour edges follow those of the luma: the guided filter of He and Sun ("Fast Guided Filter", 2015) finds at the
small scale how colour depends on luma around each pixel, and that relation, which is smooth, is what is enlarged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from toolbox.imaging.color import SHARES, exact_luma

STRIP = 64
RADIUS = 1
# The square of the luma contrast, of 1, below which colour is taken to be independent of luma.
FAINT = 0.02**2

Strips = Iterable[tuple[slice, np.ndarray]]


def compose(target: np.ndarray, chroma: Strips) -> np.ndarray:
    """Return the RGB (H, W, 3) with the luma `target` (H, W), exactly, and the colours of `chroma`.

    Args:
        target: uint8 or uint16.
        chroma: strips from top to bottom: their rows, and red and blue less luma, (h, W, 2) in [-1, 1].
    """
    result = np.empty((*target.shape, 3), target.dtype)
    top = np.float32(np.iinfo(target.dtype).max)
    red, green, blue = (np.float32(share) for share in SHARES)
    for rows, away in chroma:
        luma = target[rows].astype(np.float32)
        r, b = away[..., 0] * top, away[..., 1] * top
        candidate = cv2.merge([luma + r, luma - (red * r + blue * b) / green, luma + b])
        result[rows] = exact_luma(candidate, target[rows])
    return result


def chroma(rgb: np.ndarray) -> np.ndarray:
    """Return red and blue less luma, (h, w, 2), of RGB (h, w, 3)."""
    luma = rgb @ (np.array(SHARES, np.float32) / 65536)
    return np.dstack([rgb[..., 0] - luma, rgb[..., 2] - luma])


def enlarge(small: np.ndarray, target: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield `small`, chroma (h, w, 2), at the size of the luma `target` (H, W), uint8 or uint16, for `compose`."""
    height, width = target.shape
    top = np.float32(np.iinfo(target.dtype).max)
    guide = cv2.resize(target, small.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / top
    relation = _relation(small.astype(np.float32), guide)
    for start in range(0, height, STRIP):
        rows = slice(start, min(start + STRIP, height))
        # Half a pixel is where the middle of the first one lies.
        place = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * (len(relation) / height) - 0.5
        above = np.floor(place).astype(int)
        share = (place - above)[:, None, None]
        first, second = (relation[(above + step).clip(0, len(relation) - 1)] for step in (0, 1))
        across = cv2.resize(first + share * (second - first), (width, len(place)), interpolation=cv2.INTER_LINEAR)
        luma = (target[rows].astype(np.float32) / top)[..., None]
        yield rows, across[..., :2] * luma + across[..., 2:]


def _relation(small: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Return slope and offset of each of the two coordinates by luma, (h, w, 4)."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, (2 * RADIUS + 1, 2 * RADIUS + 1), borderType=cv2.BORDER_REFLECT)

    level, color = mean(guide), mean(small)
    spread = mean(guide * guide) - level * level
    slope = (mean(small * guide[..., None]) - color * level[..., None]) / (spread + FAINT)[..., None]
    return mean(np.dstack([slope, color - slope * level[..., None]]))
