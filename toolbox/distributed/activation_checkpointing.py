"""Activation checkpointing: recompute blocks in the backward pass to save memory, for any network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from toolbox.distributed.torch_patches import Forward, copied_running_statistics, wrap_forward


def checkpoint_activations(network: nn.Module) -> None:
    """Recompute every block of `network` in the backward pass instead of storing its activations.

    Values, gradients and running statistics do not change.

    Reference: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016; torch.utils.checkpoint.
    """
    for block in blocks(network):
        wrap_forward(block, partial(_recomputed, block))


def blocks(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks of `network`: its children that hold at least two layers with weights.

    A child that is a ModuleList or ModuleDict is replaced by its own children, since nothing calls it.
    """
    for child in network.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from blocks(child)
        elif sum(1 for module in child.modules() if list(module.parameters(recurse=False))) > 1:
            yield child


def _recomputed(block: nn.Module, forward: Forward) -> Forward:
    def contexts() -> tuple[Any, Any]:
        # The second forward pass sees the same batch again, so its update of the running statistics is dropped.
        return contextlib.nullcontext(), copied_running_statistics(block)

    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the block's own arguments and result
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)

    return call
