"""Put the layers of all references together at the target's full size, one strip of rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.color import INTEGER_LUMA_WEIGHTS
from toolbox.guidance.alignment import reduce_to_scale, scaling, warp
from toolbox.guidance.layer import Layer
from toolbox.utils.cancelling import check_cancelled

_STRIP_ROWS = 128
NO_SOURCE = -1
_WEIGHTS = np.array(INTEGER_LUMA_WEIGHTS, np.float32) / 65536


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacedLayer:
    """A layer with the reference that it shows.

    Attributes:
        layer: the layer.
        rgb: (H, W, 3) uint8 or uint16, the reference.
        source: the number of the reference.
        colored: False for a gray or toned reference, whose luma alone counts.
    """

    layer: Layer
    rgb: np.ndarray
    source: int
    colored: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Composed:
    """All layers over the target, (H, W); see `reference.ReferenceResult`."""

    differences: np.ndarray
    confidence: np.ndarray
    luma: np.ndarray
    luma_confidence: np.ndarray
    source: np.ndarray


def compose(gray: np.ndarray, lost: np.ndarray, layers: Sequence[PlacedLayer]) -> Composed:
    """Return the colours and the lost luma that the layers show; an earlier layer comes before a later one.

    Args:
        gray: (H, W) uint8 or uint16, the target.
        lost: (H, W) bool.
        layers: the layers, those with the most confidence first.
    """
    size = (gray.shape[0], gray.shape[1])
    top = np.float32(np.iinfo(gray.dtype).max)
    result = Composed(
        differences=np.zeros((*size, 2), np.float32),
        confidence=np.zeros(size, np.float32),
        luma=gray.copy(),
        luma_confidence=np.zeros(size, np.float32),
        source=np.full(size, NO_SOURCE, np.int16),
    )
    enlarged = [_EnlargedLayer.of(layer, size) for layer in layers]
    for start in range(0, size[0], _STRIP_ROWS):
        check_cancelled()
        rows = slice(start, min(start + _STRIP_ROWS, size[0]))
        strongest = np.zeros((rows.stop - rows.start, size[1]), np.float32)
        hole = lost[rows]
        luma = np.zeros_like(strongest)
        for layer, enlarged_layer in zip(layers, enlarged, strict=True):
            color_rest = (1 - result.confidence[rows]) if layer.colored else np.zeros_like(strongest)
            luma_rest = (1 - result.luma_confidence[rows]) * hole
            if not ((color_rest > 0) | (luma_rest > 0)).any():
                continue
            strip = enlarged_layer.strip(rows)
            if strip is None:
                continue
            weight = strip.confidence * color_rest
            result.differences[rows] += weight[..., None] * strip.differences
            result.confidence[rows] += weight
            luma_weight = strip.confidence * luma_rest
            luma += luma_weight * strip.luma
            result.luma_confidence[rows] += luma_weight
            share = np.maximum(weight, luma_weight)
            more = (share > strongest) & (share > 1e-3)
            result.source[rows][more] = layer.source
            strongest[more] = share[more]
        confidence = result.luma_confidence[rows]
        filled = confidence > 1e-3
        result.luma[rows][filled] = np.rint((luma[filled] / confidence[filled]).clip(0, 1) * top)
        result.differences[rows] /= np.maximum(result.confidence[rows], 1e-6)[..., None]
    return result


@dataclass(frozen=True, kw_only=True, eq=False)
class _Strip:
    confidence: np.ndarray
    differences: np.ndarray
    luma: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class _EnlargedLayer:
    """A layer at the target's full size, strip by strip."""

    layer: Layer
    rgb: np.ndarray
    homography: np.ndarray
    scale: tuple[float, float]
    width: int

    @classmethod
    def of(cls, placed: PlacedLayer, size: tuple[int, int]) -> _EnlargedLayer:
        small = placed.layer.confidence.shape
        rgb, homography = reduce_to_scale(placed.rgb, placed.layer.homography @ scaling(size, small), size)
        scale = (small[0] / size[0], small[1] / size[1])
        return cls(layer=placed.layer, rgb=rgb, homography=homography, scale=scale, width=size[1])

    def strip(self, rows: slice) -> _Strip | None:
        """Return what the layer shows in those rows; None where its confidence is 0."""
        layer = self.layer
        confidence = self._rows(layer.confidence, rows)
        if not confidence.any():
            return None
        correction = self._rows(layer.correction, rows) / np.array(self.scale[::-1], np.float32)
        warped = warp(self.rgb, self.homography, correction, rows)
        gain = self._rows(layer.gain, rows)
        colors = layer.tone.for_colors().apply(warped.rgb)
        y = colors @ _WEIGHTS
        differences = np.dstack([colors[..., 0] - y, colors[..., 2] - y]) * gain[..., None]
        luma = gain * (layer.tone.apply(warped.rgb) @ _WEIGHTS) + self._rows(layer.offset, rows)
        return _Strip(confidence=confidence * warped.valid, differences=differences, luma=luma)

    def _rows(self, field: np.ndarray, rows: slice) -> np.ndarray:
        """Return rows of a field (h, w) or (h, w, C) enlarged to the target's size."""
        down, across = self.scale
        matrix = np.array([[across, 0, (across - 1) / 2], [0, down, (rows.start + 0.5) * down - 0.5]])
        size = (self.width, rows.stop - rows.start)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(field, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
