"""Activation checkpointing: less memory for a second forward pass, for any network, block by block."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(network: nn.Module) -> None:
    """Have every block of `network` computed again in the backward pass instead of being kept for it.

    The blocks are the largest modules that a network's forward calls one after the other: the network's own
    children, and where a child is only a list of modules, those. Values and gradients stay the same.

    Reference: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016; torch.utils.checkpoint.
    """
    for block in blocks(network):
        block.forward = _again(block, block.forward)  # type: ignore[method-assign]


def blocks(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks of `network`, those that hold at least two layers with weights."""
    for child in network.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from blocks(child)
        elif sum(1 for module in child.modules() if list(module.parameters(recurse=False))) > 1:
            yield child


def _again(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    norms = [module for module in block.modules() if isinstance(module, _NormBase) and module.track_running_stats]

    def contexts() -> tuple[Any, Any]:
        return contextlib.nullcontext(), _unchanged(norms)

    def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the block takes and gives
        if not torch.is_grad_enabled():
            return forward(*arguments, **named)
        return checkpoint(forward, *arguments, use_reentrant=False, context_fn=contexts, **named)

    return call


@contextlib.contextmanager
def _unchanged(norms: list[_NormBase]) -> Iterator[None]:
    """Keep running statistics from counting a batch twice: what is computed again moves copies of them."""
    kept = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        norm._buffers.update({name: value.clone() for name, value in buffers.items() if value is not None})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
