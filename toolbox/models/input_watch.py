"""Find out what a component did to the tensors that it was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from toolbox.models.autograd_graph import accumulating_nodes


class InputWatch:
    """The inputs of a call, as they were before it."""

    def __init__(self, inputs: Mapping[str, Tensor], *, compare: bool) -> None:
        """Record the inputs, by their names.

        Args:
            inputs: the tensors.
            compare: whether to compare their values too, which costs time: a write through NumPy or `.data` leaves no
                other trace.
        """
        self._inputs = inputs
        self._versions = [version(value) for value in inputs.values()]
        self._flags = [value.requires_grad for value in inputs.values()]
        self._copies = [value.detach().clone() if compare else None for value in inputs.values()]

    def write_fault(self) -> str:
        """Return into which input the call wrote; empty for none."""
        for (name, value), before, copy in zip(self._inputs.items(), self._versions, self._copies, strict=True):
            if version(value) != before or (copy is not None and not _are_equal(value, copy)):
                return f"writes into `{name}`, its input; work on a copy"
        return ""

    def fault(self) -> str:
        """Return what the call did to its inputs and must not do; empty for nothing."""
        if fault := self.write_fault():
            return fault
        for (name, value), flag in zip(self._inputs.items(), self._flags, strict=True):
            if value.requires_grad != flag:
                return (
                    f"sets requires_grad of `{name}`, its input, which other components get too; write "
                    f"{name}.detach().requires_grad_() and use the result"
                )
        return ""


def gradient_versions(weights: Iterable[Tensor]) -> list[tuple[int, int | None]]:
    """Return which gradients weights have, and the versions of these: a backward pass changes one of the two."""
    gradients = [weight.grad for weight in weights]
    return [(id(gradient), None if gradient is None else version(gradient)) for gradient in gradients]


@contextmanager
def backward_passes(tensors: Iterable[Tensor]) -> Iterator[list[bool]]:
    """Yield a list that gets an entry for each backward pass through the graphs of `tensors` to a weight.

    `torch.autograd.grad`, which changes no gradients, adds none.
    """
    passes: list[bool] = []
    nodes = [next(accumulating_nodes(tensor), None) for tensor in tensors]
    handles = [node.register_prehook(lambda _: passes.append(True)) for node in nodes if node is not None]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()


def version(value: Tensor) -> int | None:
    """Return the version of a tensor, which a write in place increases; None if it was made in inference mode."""
    return None if value.is_inference() else value._version


def _are_equal(value: Tensor, copy: Tensor) -> bool:
    return torch.allclose(value.detach(), copy, rtol=0, atol=0, equal_nan=True)
