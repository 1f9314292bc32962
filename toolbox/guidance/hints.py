"""Strokes of colour, spread over the area of similar tone and texture around them, up to its edges.

Edges are found in the luma. A stroke's strength spreads from pixel to pixel, less across an edge, and fades with the
distance; its colour spreads in the same way. The strength at a pixel decides how much of the colour it gets.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.guidance.color_layer import ColorLayer
from toolbox.guidance.diffusion import solve
from toolbox.guidance.fields import ramp
from toolbox.imaging.chroma_upsampling import linear_relation, red_blue_differences

# Colours are spread at this size at most; the luma at full size then gives them their edges.
WORKING_PIXELS = 100_000
# Of the luma of neighbours: the step that counts as an edge, as a multiple of the median step, and its limits.
_EDGE_STEPS = 2.0
_EDGE = (2 / 255, 6 / 255)
_SMOOTHING = 1.2  # pixels: so that grain is no edge
_LEAK = 1e-5  # the link across the strongest edge
_PULL = 2.0  # to no hint, of all pixels together: how fast strength fades with the distance
_HOLD = 3.0  # to the stroke's colour, on a stroke
# Difference of luma from that under the strokes: no hint at the first, the hint alone at the second.
_TONE = (0.25, 0.12)
_SAME_COLOR = 2 / 255  # colours that differ by less than this are the same
_STRENGTH = (0.05, 0.25)  # of the spread strength: below, no hint; above, the hint alone


@dataclass(frozen=True, kw_only=True, eq=False)
class Strokes:
    """Strokes of colour at the size at which they are spread.

    Attributes:
        color: (h, w, 2) float32, R - Y and B - Y of the strokes; 0 elsewhere.
        coverage: (h, w) float32, the fraction of a pixel that strokes cover.
    """

    color: np.ndarray
    coverage: np.ndarray


def spread_strokes(luma: np.ndarray, strokes: Strokes) -> ColorLayer:
    """Return the colours of strokes, spread over a photograph.

    Args:
        luma: (H, W) uint8 or uint16, of the photograph, or of a smaller copy of at least the size of the strokes.
        strokes: see `find_strokes`.
    """
    color, coverage = strokes.color, strokes.coverage
    size = coverage.shape[::-1]
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.iinfo(luma.dtype).max
    right, down = _links(small)
    pull = np.float32(_PULL / coverage.size) + np.float32(_HOLD) * coverage
    single = _single_color(strokes)
    colors = color.transpose(2, 0, 1) if single is None else ()
    source = np.stack([np.ones_like(coverage), small, *colors]) * (np.float32(_HOLD) * coverage)
    strength, *spread = solve(pull, right, down, source)
    tone, *differences = np.stack(spread) / np.maximum(strength, 1e-6)
    weight = ramp(strength, *_STRENGTH) * ramp(np.abs(small - tone), *_TONE)
    # The solution is approximate; no colour is stronger than the strokes'.
    limit = np.abs(color).max()
    spread_color = single if single is not None else np.dstack(differences).clip(-limit, limit)
    values = np.dstack([spread_color * weight[..., None], weight])
    return ColorLayer(luma=luma, relation=linear_relation(values, luma))


def _single_color(strokes: Strokes) -> np.ndarray | None:
    """Return the colour of strokes that all have the same, (2,); it need not be spread. None: there are several."""
    weight = strokes.coverage[..., None]
    mean = (strokes.color * weight).sum((0, 1)) / weight.sum()
    is_single = (np.abs(strokes.color - mean) * weight).max() < _SAME_COLOR
    return mean if is_single else None


def check_hints(hints: np.ndarray, size: tuple[int, int]) -> None:
    """Raise ValueError unless hints are (H, W, 4) uint8 or uint16 of the photograph's size, with a stroke."""
    if hints.shape != (*size, 4) or hints.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"Hints are RGBA (H, W, 4) of the photograph's size {size}, not {hints.shape} {hints.dtype}.")
    if not opaque(hints).any():
        raise ValueError("Hints need a stroke that is at least half opaque.")


def opaque(hints: np.ndarray) -> np.ndarray:
    """Return where strokes are, (H, W) bool: at least half opaque. A soft brush counts by its inner part."""
    return hints[..., 3] >= (np.iinfo(hints.dtype).max + 1) // 2


def working_size(size: tuple[int, ...]) -> tuple[int, int]:
    """Return the height and width at which strokes in a photograph of that height and width are spread."""
    scale = min(1.0, (WORKING_PIXELS / (size[0] * size[1])) ** 0.5)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def find_strokes(hints: np.ndarray) -> Strokes:
    """Return the strokes of a layer of hints (H, W, 4) RGBA, uint8 or uint16; see `check_hints`."""
    strokes = opaque(hints)
    values = np.zeros((*strokes.shape, 3), np.float32)
    values[strokes, :2] = _differences(hints[strokes])
    values[strokes, 2] = 1
    small = cv2.resize(values, working_size(strokes.shape)[::-1], interpolation=cv2.INTER_AREA)
    coverage = small[..., 2]
    return Strokes(color=small[..., :2] / np.maximum(coverage, 1e-6)[..., None], coverage=coverage)


def find_soft_strokes(layer: np.ndarray) -> Strokes:
    """Return the strokes of a layer (h, w, 4) RGBA, uint8 or uint16, that has the size at which they are spread.

    Its alpha is the fraction of a pixel that they cover.
    """
    coverage = layer[..., 3] / np.float32(np.iinfo(layer.dtype).max)
    color = np.zeros((*coverage.shape, 2), np.float32)
    color[coverage > 0] = _differences(layer[coverage > 0])
    return Strokes(color=color, coverage=coverage)


def _differences(pixels: np.ndarray) -> np.ndarray:
    """Return R - Y and B - Y, (N, 2), of pixels (N, 4) RGBA, uint8 or uint16."""
    top = np.float32(np.iinfo(pixels.dtype).max)
    return red_blue_differences(pixels[None, :, :3] / top)[0]


def _links(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the links to the right neighbour (h, w - 1) and to the one below (h - 1, w): near 1 without an edge."""
    smooth = cv2.GaussianBlur(luma, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REFLECT)
    across, along = _steps(smooth), _steps(smooth.T).T
    steps = np.concatenate([across.ravel(), along.ravel()])
    edge = np.float32(np.clip(_EDGE_STEPS * np.median(steps) if len(steps) else 0, *_EDGE))
    return _link(across, edge), _link(along, edge)


def _steps(values: np.ndarray) -> np.ndarray:
    """Return the step from each pixel to its right neighbour, (h, w - 1), measured from one pixel before to one after.

    An edge of a photograph is two to three pixels wide: between neighbours alone it looks like several small steps.
    """
    wide = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    return np.abs(wide[:, 3:] - wide[:, :-3])


def _link(steps: np.ndarray, edge: np.float32) -> np.ndarray:
    return np.exp(-((steps / edge) ** 2) / 2) + np.float32(_LEAK)
