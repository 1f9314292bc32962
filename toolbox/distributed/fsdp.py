"""A generator that is spread over the processes, each with its part of every weight (FSDP, `training.shard`).

Before a block is called its weights are gathered from all processes, and afterwards they are let go of; gradients are
summed over the processes and scattered in the backward pass. What else reads such a weight asks here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import get_total_norm
from torch.overrides import TorchFunctionMode

from toolbox.distributed import collectives
from toolbox.distributed.activation_checkpointing import blocks
from toolbox.errors import UsageError


def shard(network: nn.Module, device: torch.device) -> None:
    """Spread the weights of `network` over all processes and move it to `device`, block by block, in place.

    The blocks are those of `activation_checkpointing.blocks`, and the network itself for the weights in none of them.
    Gradients come out as sums over the processes, as `collectives.all_reduce_sum` gives them, and each process holds
    its part of them.

    Reference: Zhao et al., "PyTorch FSDP", 2023; torch.distributed.fsdp.fully_shard.
    """
    from torch.distributed.fsdp import fully_shard  # takes up to two seconds

    mesh = DeviceMesh.from_group(cast(dist.ProcessGroup, dist.group.WORLD), device.type)
    for module in (*blocks(network), network):
        try:
            spread = fully_shard(module, mesh=mesh, reshard_after_forward=True)
        except (ValueError, NotImplementedError) as error:
            text = " ".join(str(error).split())
            raise collectives.same_error_on_every_rank(
                UsageError(f"The generator can't be spread over the processes: {text}. Set training.shard=false.")
            ) from error
        # Losses count by their share of the batch already; gloo knows no other reduction than a sum.
        spread.set_gradient_divide_factor(1.0)
        spread.set_force_sum_reduction_for_comms(True)


def is_sharded(network: nn.Module) -> bool:
    """Return whether a network is spread over the processes."""
    return any(isinstance(weight, DTensor) for weight in network.parameters())


def local_shards(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return tensors, of those that are spread over the processes this one's part, in the same memory."""
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]


class LocalShards(TorchFunctionMode):
    """Has fused optimisers step through each process's own part: torch spreads not all of their kernels (SGD's)."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        if getattr(function, "__name__", "").startswith("_fused_"):
            args = [local_shards(one) if isinstance(one, list) else one for one in args]
        return function(*args, **(kwargs or {}))


def total_norm(tensors: list[Tensor]) -> Tensor:
    """Return the 2-norm of the values of all tensors together, with all processes' parts of those that are spread."""
    if not any(isinstance(tensor, DTensor) for tensor in tensors):
        return get_total_norm(tensors)
    # In float64, since the square of a norm overflows long before the norm does.
    square = get_total_norm(local_shards(tensors)).double().square()
    collectives.all_reduce_sum([square])()
    return square.sqrt()


def full_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gather what is spread over the processes onto the first one's CPU, one tensor after the other.

    All processes call it. What the others get in place of such a tensor is their own part of it.
    """
    found = dict(state)
    for name, value in state.items():
        if isinstance(value, DTensor):
            full = value.full_tensor()
            if collectives.is_main_process():
                found[name] = full.cpu()
    return found


def shard_like(value: Tensor, model: Tensor) -> Tensor:
    """Return a whole tensor that all processes have as `model` is: spread over them like it, or as it is."""
    if not isinstance(model, DTensor):
        return value
    return distribute_tensor(value.to(model.dtype), model.device_mesh, model.placements, src_data_rank=None)
