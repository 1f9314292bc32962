"""The position of some pictures in the batch of a training step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BatchSlice:
    """The position of some pictures in the batch of a step, which several processes may share.

    Attributes:
        start: the index of the first picture in the full batch, from 0.
        total: the number of pictures in the full batch.
        weight: the weight of these pictures in means over the full batch, from 0 to 1.
    """

    start: int
    total: int
    weight: float
