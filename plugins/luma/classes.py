"""The colour plane in classes: where their centres lie, and how a colour is shared out among them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RINGS = (0.015, 0.03, 0.05, 0.08, 0.12, 0.17, 0.24, 0.34)
HUES = 16
COUNT = 1 + len(RINGS) * HUES

# Colours near gray are common and told apart well, vivid ones rare: distances are measured on a plane that is
# linear up to about this chroma and logarithmic beyond.
KNEE = 0.03

# The deviation, on that plane, by which a colour belongs to the classes around it.
SOFTNESS = 0.3


def centres() -> Tensor:
    """Return the (COUNT, 2) centres (Cb, Cr): gray, then each ring's hues, every other ring turned by half a step."""
    rows = [(0.0, 0.0)]
    for ring, radius in enumerate(RINGS):
        for hue in range(HUES):
            angle = 2 * math.pi * (hue + 0.5 * (ring % 2)) / HUES
            rows.append((radius * math.cos(angle), radius * math.sin(angle)))
    return torch.tensor(rows)


def shares(chroma: Tensor) -> Tensor:
    """Return how a colour belongs to each class, (B, COUNT, H, W) summing to 1, of (Cb, Cr) (B, 2, H, W)."""
    places = companded(centres().to(chroma))
    points = companded(chroma.movedim(1, -1))
    apart = (points.square().sum(-1, keepdim=True) + places.square().sum(-1) - 2 * points @ places.T).movedim(-1, 1)
    return torch.softmax(apart / (-2 * SOFTNESS**2), dim=1)


def companded(chroma: Tensor) -> Tensor:
    """Return colours (..., 2) with their chroma r brought to asinh(r / KNEE)."""
    radius = chroma.square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
    return chroma * (torch.asinh(radius / KNEE) / radius)
