"""Another white balance of the truth, at the same luma, so that the gray input still fits it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolbox import Degradation, Sample
from toolbox.color import array_luma


def white_balance(red: float, blue: float, spread: float) -> Degradation:
    """Return the degradation that multiplies the truth's red and blue by gains around `red` and `blue`.

    A gain is the given one times exp(`spread` * n), n drawn from a normal distribution, of its own for each channel.
    Every pixel keeps its luma to a level of 255; colours that would leave the range lose saturation.
    """

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        drawn = np.exp(spread * random.standard_normal(2))
        gains = np.array([red * drawn[0], 1, blue * drawn[1]], np.float32)
        return replace(sample, truth=balanced(sample.truth, gains))

    return degrade


def balanced(picture: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Return RGB (H, W, 3) uint8 with its channels multiplied by `gains` (3,) and brought back to its own luma."""
    rgb = picture.astype(np.float32)
    luma, moved = array_luma(rgb)[..., None], rgb * gains
    there = np.maximum(array_luma(moved)[..., None], 1e-6)
    away = moved * (luma / there) - luma
    top, bottom = away.max(-1, keepdims=True).clip(1e-6), (-away.min(-1, keepdims=True)).clip(1e-6)
    share = np.minimum((255 - luma) / top, luma / bottom).clip(0, 1)
    return np.rint(luma + share * away).clip(0, 255).astype(np.uint8)
