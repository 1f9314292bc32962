"""The even-odd rule by which polygons that cross themselves are filled, for batches on a device."""

from __future__ import annotations

import torch
from torch import Tensor


def crosses(y: Tensor, x: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]) -> Tensor:
    """Return whether a horizontal ray from the points (y, x) crosses an edge; `start` and `end` are (y, x).

    A point lies in a polygon if the ray crosses an odd number of its edges.
    """
    (y0, x0), (y1, x1) = start, end
    height = torch.where(y1 == y0, torch.ones_like(y0), y1 - y0)
    return ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / height + x0)
