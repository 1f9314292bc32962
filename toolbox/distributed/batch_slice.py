"""Photographs in, batches out: damaged pairs, colour photographs alone, or the package's sample.

Every random choice comes from (seed, epoch, index), so any sample can be made again and a run can go on in
the middle of an epoch with the very batches that it would have had.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BatchSlice:
    """Where some pictures stand in the batch of a step, which several processes may share out.

    Attributes:
        start: the index of the first of them in the whole batch, from 0.
        total: how many pictures the whole batch has.
        weight: their weight in means over the whole batch, from 0 to 1.
    """

    start: int
    total: int
    weight: float
