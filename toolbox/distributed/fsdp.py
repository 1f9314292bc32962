"""A generator whose weights are sharded over the processes (FSDP, the setting `training.shard`).

The weights of a block are gathered from all processes before the block is called and freed afterwards. In the
backward pass the gradients are summed over the processes and scattered. Code outside of the network reads sharded
weights through this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import get_total_norm

from toolbox.distributed import collectives
from toolbox.distributed.activation_checkpointing import blocks
from toolbox.distributed.shards import has_shards
from toolbox.distributed.torch_patches import local_fused_optimizers
from toolbox.errors import UsageError, one_line


def shard(network: nn.Module, device: torch.device) -> None:
    """Shard the weights of `network` over all processes and move it to `device`, block by block, in place.

    The units are `activation_checkpointing.blocks` and the network itself, which holds the remaining weights.
    Gradients are sums over the processes, as from `collectives.all_reduce_sum`; each process holds its shard of them.

    Raises:
        UsageError: torch can't shard this network.

    Reference: Zhao et al., "PyTorch FSDP", 2023; torch.distributed.fsdp.fully_shard.
    """
    from torch.distributed.fsdp import fully_shard  # takes up to two seconds

    mesh = DeviceMesh.from_group(cast(dist.ProcessGroup, dist.group.WORLD), device.type)
    for module in (*blocks(network), network):
        try:
            sharded = fully_shard(module, mesh=mesh, reshard_after_forward=True)
        except (ValueError, NotImplementedError) as error:
            reason = one_line(error).rstrip(".")
            raise collectives.same_error_on_every_rank(
                UsageError(f"The generator can't be sharded over the processes: {reason}. Set training.shard=false.")
            ) from error
        # Losses are already weighted by the share of the batch, and gloo can only sum.
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)


def local_shards(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return this process's shard of each sharded tensor, in the same memory, and the other tensors as they are."""
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]


def fused_steps_on_shards() -> AbstractContextManager[object]:
    """Return a context in which fused optimizers update this process's shards."""
    return local_fused_optimizers(local_shards)


def total_norm(tensors: list[Tensor]) -> Tensor:
    """Return the 2-norm of the values of all tensors together, with every shard of the sharded ones."""
    if not has_shards(tensors):
        return get_total_norm(tensors)
    # In float64, because the square of a norm overflows long before the norm does.
    square = get_total_norm(local_shards(tensors)).double().square()
    collectives.all_reduce_sum([square])()
    return square.sqrt()


def full_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gather the sharded tensors of `state` onto the CPU of the main process, one after the other.

    All processes call it. The other processes keep their shard of such a tensor in its place.
    """
    gathered = dict(state)
    for name, value in state.items():
        if isinstance(value, DTensor):
            full = value.full_tensor()
            if collectives.is_main_process():
                gathered[name] = full.cpu()
    return gathered


def shard_like(value: Tensor, target: Tensor) -> Tensor:
    """Return `value`, which every process has in full, sharded as `target` is; unchanged if `target` is not sharded."""
    if not isinstance(target, DTensor):
        return value
    return distribute_tensor(value.to(target.dtype), target.device_mesh, target.placements, src_data_rank=None)
