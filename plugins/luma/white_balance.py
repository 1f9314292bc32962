"""Change the white balance of the truth but not its luma, so that the gray input still matches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolbox import Degradation, Sample
from toolbox.color import array_luma


def white_balance(red: float, blue: float, spread: float) -> Degradation:
    """Return the degradation that multiplies the truth's red and blue by random gains around `red` and `blue`.

    The gains are red exp(`spread` n1) and blue exp(`spread` n2), with n1 and n2 from the standard normal distribution.
    The luma of a pixel changes by at most one of 255 levels. Colours that would leave the range lose saturation.
    """

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        factors = np.exp(spread * random.standard_normal(2))
        gains = np.array([red * factors[0], 1, blue * factors[1]], np.float32)
        return replace(sample, truth=balanced(sample.truth, gains))

    return degrade


def balanced(picture: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Return RGB (H, W, 3) uint8 with its channels multiplied by `gains` (3,), at the luma of `picture`."""
    rgb = picture.astype(np.float32)
    luma, scaled = array_luma(rgb)[..., None], rgb * gains
    scaled_luma = np.maximum(array_luma(scaled)[..., None], 1e-6)
    offset = scaled * (luma / scaled_luma) - luma
    highest, lowest = offset.max(-1, keepdims=True).clip(1e-6), (-offset.min(-1, keepdims=True)).clip(1e-6)
    saturation = np.minimum((255 - luma) / highest, luma / lowest).clip(0, 1)
    return np.rint(luma + saturation * offset).clip(0, 255).astype(np.uint8)
