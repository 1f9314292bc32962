"""Colours that are likely at a point of a gray photograph, for people who colour it by strokes.

A generator can offer them if it predicts classes of colours, see `color_classes`. For other generators the colours of
the restored photograph are offered. Reference: the suggestions of Zhang et al., "Real-Time User-Guided Image
Colorization with Learned Deep Priors", SIGGRAPH 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from toolbox.color import add_differences, array_cbcr, array_luma, color_differences
from toolbox.inference.color_classes import ColorClasses, compand, read_classes, shrink_to
from toolbox.inference.photo_view import make_view
from toolbox.inference.restorer import Restorer

MAX_COLORS = 8
# Colours nearer to each other than this, on the plane of `compand`, look the same.
_MIN_DISTANCE = 1.1
# Probabilities are averaged over the point and this many pixels of the grid on each side of it.
_RADIUS = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ColorField(ColorClasses):
    """How likely each of K colours is over a photograph, and its luma.

    Attributes:
        luma: (h, w) float32 in [0, 1].
    """

    luma: np.ndarray

    def at(self, x: float, y: float) -> list[str]:
        """Return the likeliest colours at a point as "#rrggbb", all with the luma there.

        The first is the expected colour; the others are far enough from each other to look different.

        Args:
            x: from the left border, as a fraction of the width in [0, 1].
            y: from the upper border, as a fraction of the height.
        """
        height, width = self.luma.shape
        row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
        box = (slice(max(0, row - _RADIUS), row + _RADIUS + 1), slice(max(0, column - _RADIUS), column + _RADIUS + 1))
        weights = self.probabilities[(slice(None), *box)].mean((1, 2))
        chosen = [weights @ self.centres]
        for index in np.argsort(-weights, kind="stable"):
            distances = np.linalg.norm(compand(np.array(chosen)) - compand(self.centres[index]), axis=1)
            if len(chosen) < MAX_COLORS and weights[index] > 0 and distances.min() > _MIN_DISTANCE:
                chosen.append(self.centres[index])
        # In black and in white all colours are the same.
        return list(dict.fromkeys(_hex(color, float(self.luma[row, column])) for color in chosen))


def color_field(restorer: Restorer, gray: np.ndarray, mask: np.ndarray) -> ColorField:
    """Return the likely colours of a gray photograph.

    Args:
        restorer: whose network predicts colours.
        gray: (H, W) uint8.
        mask: (H, W) bool, the lost region.
    """
    outputs, (height, width) = restorer.color_predictor.run(make_view(gray, mask))
    rgb = outputs["restored"][0].permute(1, 2, 0).float().cpu().numpy()[:height, :width].clip(0, 1)
    luma = array_luma(rgb)
    classes = read_classes(restorer.network, outputs, (height, width))
    if classes is None:
        return _field_of_colors(rgb, luma)
    small = shrink_to(luma, classes.probabilities.shape[1:])
    return ColorField(centres=classes.centres, probabilities=classes.probabilities, luma=small)


def _field_of_colors(rgb: np.ndarray, luma: np.ndarray) -> ColorField:
    """Return a field of the colours (h, w, 3) of a photograph: at each point its own, then those of like luma."""
    side = 4
    size = tuple(max(1, length // side) for length in luma.shape)
    colors = cv2.resize(array_cbcr(rgb, luma), size[::-1], interpolation=cv2.INTER_AREA)
    tones = cv2.resize(luma, size[::-1], interpolation=cv2.INTER_AREA)
    samples = np.linspace(0, tones.size - 1, min(64, tones.size)).round().astype(int)
    centres, centre_tones = colors.reshape(-1, 2)[samples], tones.ravel()[samples]
    own = np.linalg.norm(colors[None] - centres[:, None, None], axis=-1)
    like = np.abs(tones[None] - centre_tones[:, None, None])
    weights = np.exp(-20 * own - 5 * like).astype(np.float32)
    return ColorField(centres=centres, probabilities=weights / weights.sum(0), luma=tones)


def _hex(color: np.ndarray, luma: float) -> str:
    differences = torch.tensor(color_differences(float(color[0]), float(color[1]))).view(1, 3, 1, 1)
    rgb = add_differences(torch.tensor(luma).view(1, 1, 1, 1), differences)[0, :, 0, 0]
    return "#" + bytes(round(255 * min(1.0, max(0.0, value))) for value in rgb.tolist()).hex()
