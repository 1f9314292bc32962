"""Save and restore the state of optimizers and learning rate schedules, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from toolbox.distributed import collectives, fsdp
from toolbox.distributed.torch_patches import replay_schedule
from toolbox.errors import UsageError
from toolbox.training.state import NetworkState

# Adam and AdamW have the option "betas", SGD has "momentum": their states are of different kinds.
STATE_OPTIONS = {"betas", "momentum"}


def split_state(trained: NetworkState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of a network's optimizer and schedule: tensors, named INDEX.KEY, and JSON values."""
    state = trained.optimizer.state_dict()
    tensors, plain = {}, {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                plain[f"{index}.{key}"] = value
    optimizer = {"groups": state["param_groups"], "plain": plain}
    return tensors, {"optimizer": optimizer, "schedule": trained.schedule.state_dict()}


def load_optimizer_state(trained: NetworkState, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
    """Load what `split_state` returned: the optimizer's state and the epoch of the schedule. Options don't change.

    Raises:
        UsageError: the state belongs to another kind of optimizer.
    """
    groups = trained.optimizer.state_dict()["param_groups"]
    saved = rest["optimizer"]["groups"]
    if [set(group) & STATE_OPTIONS for group in saved] != [set(group) & STATE_OPTIONS for group in groups]:
        error = UsageError(
            "The optimizer state in the checkpoint doesn't match this optimizer: a run can't change between adam or "
            "adamw and sgd. Set optimizer.name back, or start a new run."
        )
        raise collectives.same_error_on_every_rank(error)
    values: dict[int, dict[str, Any]] = {}
    weights = [weight for group in trained.optimizer.param_groups for weight in group["params"]]
    for name, value in [*tensors.items(), *rest["optimizer"]["plain"].items()]:
        index, _, key = name.partition(".")
        weight = weights[int(index)]
        # Sharded here, because the device may not have room for the full tensor.
        is_like_weight = isinstance(value, Tensor) and value.shape == weight.shape
        values.setdefault(int(index), {})[key] = fsdp.shard_like(value, weight) if is_like_weight else value
    groups = [group | {"lr": group["initial_lr"]} for group in groups]
    trained.optimizer.load_state_dict({"state": values, "param_groups": groups})
    match_memory_layout(trained.optimizer)
    replay_schedule(trained.schedule, rest["schedule"]["last_epoch"], rest["schedule"]["_step_count"])


def match_memory_layout(optimizer: Optimizer) -> None:
    """Give the optimizer's state the memory layout of its weights: fused kernels read both in memory order."""
    for weight, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                values[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
