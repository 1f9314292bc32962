"""The uncertainty of a predicted colour, and the saturation that depends on it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

KNOTS = 6


def uncertainty(logits: Tensor) -> Tensor:
    """Return the entropy of the classes divided by its largest value, (B, 1, h, w), for logits (B, K, h, w)."""
    log_probabilities = logits.log_softmax(1)
    return -(log_probabilities.exp() * log_probabilities).sum(1, keepdim=True) / math.log(logits.shape[1])


def saturation_at(values: Tensor, curve: Tensor) -> Tensor:
    """Interpolate the saturation linearly in `curve` (K,), whose knots are evenly spaced over uncertainties 0 to 1."""
    if len(curve) == 1:
        return curve.expand_as(values)
    position = values.clamp(0, 1) * (len(curve) - 1)
    below = position.detach().floor().clamp_max(len(curve) - 2)
    index, fraction = below.long(), position - below
    return torch.lerp(curve[index], curve[index + 1], fraction)
