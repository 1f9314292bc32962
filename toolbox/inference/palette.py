"""Colours from a photograph of another scene: each part of the target gets those of a similar part.

The network's classes of colours define what is similar: two skies have similar distributions, a sky and a lawn do not.
They also say which colours are possible. So a part without a good match, or whose match has a colour that the network
does not expect there, keeps the network's colour. Welsh et al. ("Transferring Color to Greyscale Images", 2002) match
by luma and texture alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from toolbox.color import array_cbcr, array_luma, color_differences, integer_luma
from toolbox.guidance.color_layer import ColorLayer
from toolbox.guidance.fields import ramp
from toolbox.guidance.guide import PaletteLayer
from toolbox.imaging.chroma_upsampling import linear_relation
from toolbox.imaging.pixels import as_rgb, to_8bit
from toolbox.inference.color_classes import ColorClasses, shrink_to

# Predicts the classes of a gray photograph (H, W) uint8, as `ColorPredictor`; None: the network has none.
Predict = Callable[[np.ndarray], ColorClasses | None]

# Chosen on the development photographs of benchmarks/photo_split.csv; docs/guidance.md has the figures.
# Similarity is that of the distributions (Bhattacharyya, up to 1), minus this factor times the difference of luma.
_TONE = 0.1
_TEMPERATURE = 0.01
# The weight of the likelihood of a colour; that of the similarity is 1.
_LIKELIHOOD = 0.5
# Confidence is 0 at the first and 1 at the second: of the best similarity, and of the likelihood of the colour relative
# to the one that the network expects for its own colours.
_SIMILAR = (0.98, 0.997)
_LIKELY = (0.15, 0.6)
# How many points of the target are compared with the palette at a time.
_POINTS = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Palette:
    """The points of a photograph that gives its colours, M of them.

    Attributes:
        features: (M, K) float32, the square roots of the probabilities of the classes.
        luma: (M,) float32 in [0, 1].
        colors: (M, 2) float32, Cb and Cr.
        shares: (M, K) float32, the colours as classes.
    """

    features: np.ndarray
    luma: np.ndarray
    colors: np.ndarray
    shares: np.ndarray

    def match(self, probabilities: np.ndarray, luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the colour Cb, Cr (N, 2) for each point of a target, and the confidence in it, (N,) in [0, 1].

        Args:
            probabilities: (N, K), of the classes.
            luma: (N,) in [0, 1].
        """
        similarity = np.sqrt(probabilities) @ self.features.T - _TONE * np.abs(luma[:, None] - self.luma)
        likelihood = probabilities @ self.shares.T / (probabilities**2).sum(1, keepdims=True)
        weights = similarity / _TEMPERATURE + _LIKELIHOOD * np.log(likelihood + 1e-4)
        weights = np.exp(weights - weights.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        confidence = ramp(similarity.max(1), *_SIMILAR) * ramp((weights * likelihood).sum(1), *_LIKELY)
        return weights @ self.colors, confidence

    def layer(self, luma: np.ndarray, predict: Predict) -> ColorLayer:
        """Return the colours for a photograph of the luma (H, W) uint8 or uint16, without lost pixels."""
        gray = luma if luma.dtype == np.uint8 else (luma >> 8).astype(np.uint8)
        classes = _require_classes(predict(gray))
        count, *size = classes.probabilities.shape
        points = classes.probabilities.reshape(count, -1).T
        tones = shrink_to(gray, tuple(size)).astype(np.float32).ravel() / 255
        blocks = [slice(start, start + _POINTS) for start in range(0, len(points), _POINTS)]
        matches = [self.match(points[block], tones[block]) for block in blocks]
        colors, confidence = (np.concatenate(values).reshape(*size, -1) for values in zip(*matches, strict=True))
        red, _, blue = color_differences(colors[..., 0], colors[..., 1])
        values = np.dstack([red, blue, np.ones_like(red)]) * confidence
        return ColorLayer(luma=luma, relation=linear_relation(values, luma))


def palette_layer(photo: np.ndarray, predict: Predict) -> PaletteLayer:
    """Return a function that gives the colours of a photograph to other photographs.

    Args:
        photo: (H, W, 3) uint8 or uint16, in colour, of any size.
        predict: the network, which sees the luma of the photograph.

    Raises:
        ValueError: an array of another type or shape; the photograph has no colours; the network predicts no classes.
    """
    return partial(make_palette(photo, predict).layer, predict=predict)


def make_palette(photo: np.ndarray, predict: Predict) -> Palette:
    """Return the palette of a photograph; see `palette_layer`."""
    if photo.dtype not in (np.uint8, np.uint16) or photo.shape[2:] not in ((), (3,)) or not photo.size:
        raise ValueError(f"A palette is (H, W, 3) of uint8 or uint16, not {photo.shape} {photo.dtype}.")
    rgb = as_rgb(to_8bit(photo))
    if (rgb == rgb[..., :1]).all():
        raise ValueError("A palette needs colours, and this photograph is gray; choose one in colour.")
    classes = _require_classes(predict(integer_luma(rgb)))
    # Neighbouring points are similar, so a quarter of them is enough.
    pooled = avg_pool2d(torch.from_numpy(classes.probabilities)[None], 2, ceil_mode=True)[0].numpy()
    probabilities = pooled.reshape(len(pooled), -1).T
    small = shrink_to(rgb, pooled.shape[1:]).astype(np.float32) / 255
    luma = array_luma(small)
    colors = array_cbcr(small, luma).reshape(-1, 2)
    return Palette(features=np.sqrt(probabilities), luma=luma.ravel(), colors=colors, shares=classes.shares(colors))


def _require_classes(classes: ColorClasses | None) -> ColorClasses:
    if classes is None:
        raise ValueError("A palette needs weights that predict classes of colours, as luma does; these have none.")
    return classes
