"""Save and load the state of an optimizer as tensors and JSON values, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from toolbox.distributed import fsdp


def split_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of an optimizer: tensors and JSON values.

    The tensors of a weight are named INDEX.KEY by the index of the weight, those of a group groupINDEX.KEY.
    """
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    groups: list[dict[str, Any]] = []
    for index, group in enumerate(state["param_groups"]):
        tensors |= {f"group{index}.{key}": value for key, value in group.items() if isinstance(value, Tensor)}
        groups.append({key: value for key, value in group.items() if not isinstance(value, Tensor)})
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                plain[f"{index}.{key}"] = value
    return tensors, {"groups": groups, "plain": plain}


def load_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
    """Load what `split_optimizer` returned.

    Options stay those of `optimizer`; the learning rate becomes the initial one. A value that the optimizer adds to its
    groups while it trains, such as a number of steps, is state.
    """
    values: dict[int, dict[str, Any]] = {}
    saved_groups = [dict(group) for group in rest["groups"]]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for name, value in [*tensors.items(), *rest["plain"].items()]:
        index, _, key = name.partition(".")
        if index.startswith("group"):
            saved_groups[int(index.removeprefix("group"))][key] = value
            continue
        weight = weights[int(index)]
        # Sharded here, because the device may not have room for the full tensor.
        is_like_weight = isinstance(value, Tensor) and value.shape == weight.shape
        values.setdefault(int(index), {})[key] = fsdp.shard_like(value, weight) if is_like_weight else value
    current = optimizer.state_dict()["param_groups"]
    groups = [
        {**saved, **group, "lr": group.get("initial_lr", group["lr"])}
        for saved, group in zip(saved_groups, current, strict=True)
    ]
    optimizer.load_state_dict({"state": values, "param_groups": groups})
    for index, state in values.items():
        weight = weights[index]
        for key, value in state.items():
            # torch gives every value the dtype of the weight; a number beside it may have another one.
            loaded = optimizer.state[weight][key]
            if isinstance(value, Tensor) and value.shape != weight.shape and value.dtype != loaded.dtype:
                optimizer.state[weight][key] = value.to(loaded.device)
    match_memory_layout(optimizer)


def match_memory_layout(optimizer: Optimizer) -> None:
    """Give the optimizer's state the memory layout of its weights: fused kernels read both in memory order."""
    for weight, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                values[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
