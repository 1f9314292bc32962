"""The batch that the loader yields and the training step takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from toolbox.distributed.batch_slice import BatchSlice
from toolbox.hooks.record_names import require_term_name


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

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name: `image`, `mask`, `truth`, and `labels` if there are some."""
        tensors = {"image": self.image, "mask": self.mask, "truth": self.truth}
        return tensors if self.labels is None else tensors | {"labels": self.labels}

    def part(self, start: int, stop: int) -> Batch:
        """Return the pictures from `start` to before `stop`, with their share of the weight in the full batch."""
        rows, position = slice(start, stop), self.position
        weight = position.weight * (stop - start) / len(self.image)
        return replace(
            self,
            **{name: tensor[rows] for name, tensor in self.tensors.items()},  # type: ignore[arg-type]
            names=self.names[rows],
            batch_slice=BatchSlice(start=position.start + start, total=position.total, weight=weight),
        )


def add_term(terms: dict[str, Tensor], name: str, value: Tensor, batch: Batch) -> None:
    """Add a mean over `batch` to the terms of a step, weighted by its share.

    Raises:
        TypeError: it is not a tensor, or its name is not a text.
        ValueError: it can't have this name, or is no scalar.
    """
    require_term_name(name)
    if not isinstance(value, Tensor):
        raise TypeError(
            f"the term '{name}' is a {type(value).__name__}; record a tensor, without .item() or float(), so that the "
            "step need not wait for the device"
        )
    if value.dim():
        raise ValueError(f"the term '{name}' is a tensor {list(value.shape)}, not a scalar; take its mean")
    weight = batch.position.weight
    value = value.detach() if weight == 1 else value.detach() * weight
    terms[name] = terms[name] + value if name in terms else value
