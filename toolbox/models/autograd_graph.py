"""Look into the autograd graph of a value: the weights that it has, and whether it depends on some tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

# The nodes that raise an error instead of computing a gradient: behind a function that is marked with
# `once_differentiable`, and behind one without a derivative in torch. A backward pass for some `inputs` skips the
# former without an error.
FAILING_NODES = frozenset(("torch::autograd::Error", "torch::autograd::NotImplemented"))


def accumulating_nodes(tensor: Tensor) -> Iterator[Any]:
    """Yield the nodes in a tensor's graph that add to the gradient of a weight."""
    return (node for node in _nodes(tensor) if hasattr(node, "variable"))


def weights_of(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the weights in the graphs of some tensors: the leaves that get a gradient."""
    return [node.variable for tensor in tensors for node in accumulating_nodes(tensor)]


def has_failing_node(tensor: Tensor) -> bool:
    """Return whether a gradient in a tensor's graph can't be computed; see `FAILING_NODES`."""
    return any(node.name() in FAILING_NODES for node in _nodes(tensor))


def has_custom_function(tensor: Tensor) -> bool:
    """Return whether a tensor's graph has an autograd function that is written in Python."""
    return any(isinstance(node, BackwardCFunction) for node in _nodes(tensor))


def depends_on(value: Tensor, inputs: Sequence[Tensor]) -> bool:
    """Return whether a value has a gradient for at least one of `inputs`."""
    if any(value is tensor for tensor in inputs):
        return value.requires_grad
    leaves = {id(tensor) for tensor in inputs if tensor.is_leaf}
    inner = {tensor.grad_fn for tensor in inputs if tensor.grad_fn is not None}
    return any(node in inner or id(getattr(node, "variable", None)) in leaves for node in _nodes(value))


def outside_weights(function: object, value: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the weights in the graph of a value that neither its inputs nor the module of `function` have."""
    module = getattr(function, "__self__", function)
    own = list(module.parameters()) if isinstance(module, nn.Module) else []
    known = {id(tensor) for tensor in [*inputs, *own, *weights_of(inputs)]}
    return [weight for weight in weights_of([value]) if id(weight) not in known]


def kept_weights(outside: Sequence[Tensor], of_next_call: Sequence[Tensor]) -> list[Tensor]:
    """Return which of the `outside_weights` of a call are weights: parameters, and tensors that the next call has too.

    Others are points at which a component differentiates, which are new tensors in each call.
    """
    later = {id(weight) for weight in of_next_call}
    return [weight for weight in outside if isinstance(weight, nn.Parameter) or id(weight) in later]


def _nodes(tensor: Tensor) -> Iterator[Any]:
    """Yield the nodes of a tensor's graph."""
    seen: set[object] = set()
    stack = [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack += [following for following, _ in node.next_functions]
