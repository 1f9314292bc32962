"""The batch that the loader yields and the training step takes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from toolbox.distributed.batch_slice import BatchSlice


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some pictures on the device.

    Attributes:
        image: the damaged pictures, (B, 3, H, W) in [0, 1].
        mask: 1 where a picture is lost, (B, 1, H, W).
        truth: the undamaged pictures, (B, 3, H, W) in [0, 1].
        names: the names of the photographs.
        labels: 1 where there is damage of a kind, (B, K, H, W); None if a picture of the batch has no labels.
        kinds: the K kinds of damage.
        batch_slice: the position of these pictures in a larger batch; None if this is the full batch.
    """

    image: Tensor
    mask: Tensor
    truth: Tensor
    names: tuple[str, ...]
    labels: Tensor | None = None
    kinds: tuple[str, ...] = ()
    batch_slice: BatchSlice | None = None

    @property
    def position(self) -> BatchSlice:
        """The position of the pictures in the full batch of the step."""
        return self.batch_slice or BatchSlice(start=0, total=len(self.image), weight=1.0)
