"""Photographs in, batches out: damaged pairs, colour photographs alone, or the package's sample.

Every random choice comes from (seed, epoch, index), so any sample can be made again and a run can go on in
the middle of an epoch with the very batches that it would have had.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from toolbox.distributed.batch_slice import BatchSlice


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch on the device: `image`, `truth` (B, 3, H, W) in [0, 1], `mask` (B, 1, H, W); where from.

    `batch_slice` says which part of a larger batch it is, if it is one.
    """

    image: Tensor
    mask: Tensor
    truth: Tensor
    names: tuple[str, ...]
    batch_slice: BatchSlice | None = None

    @property
    def position(self) -> BatchSlice:
        """Where the pictures stand in the batch of the step."""
        return self.batch_slice or BatchSlice(start=0, total=len(self.image), weight=1.0)
