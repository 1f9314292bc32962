"""The colour classes: their centres in the plane of Cb and Cr, and the soft assignment of a colour to classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RINGS = (0.015, 0.03, 0.05, 0.08, 0.12, 0.17, 0.24, 0.34)
HUES = 16
COUNT = 1 + len(RINGS) * HUES

# Colours near gray are common, and small differences between them are visible. Vivid colours are rare. So distances
# are measured on a plane that is linear up to about this chroma and logarithmic beyond it.
KNEE = 0.03

# Standard deviation, on that plane, of the Gaussian that assigns a colour to the classes near it.
SOFTNESS = 0.3


def centres() -> Tensor:
    """Return the centres (Cb, Cr), (COUNT, 2): gray, then the hues of each ring; odd rings turn by half a step."""
    rows = [(0.0, 0.0)]
    for ring, radius in enumerate(RINGS):
        for hue in range(HUES):
            angle = 2 * math.pi * (hue + 0.5 * (ring % 2)) / HUES
            rows.append((radius * math.cos(angle), radius * math.sin(angle)))
    return torch.tensor(rows)


def shares(chroma: Tensor) -> Tensor:
    """Return the soft assignment to classes, (B, COUNT, H, W), for (Cb, Cr) (B, 2, H, W); it sums to 1 over COUNT."""
    class_points = companded(centres().to(chroma))
    points = companded(chroma.movedim(1, -1))
    squares = points.square().sum(-1, keepdim=True) + class_points.square().sum(-1)
    squared_distance = (squares - 2 * points @ class_points.T).movedim(-1, 1)
    return torch.softmax(squared_distance / (-2 * SOFTNESS**2), dim=1)


def companded(chroma: Tensor) -> Tensor:
    """Return colours (..., 2) with their chroma r replaced by asinh(r / KNEE); the hue stays the same."""
    radius = chroma.square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
    return chroma * (torch.asinh(radius / KNEE) / radius)
