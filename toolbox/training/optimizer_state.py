"""What moves a network's weights, as a checkpoint holds it: its optimiser's state and its schedule's place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from toolbox.distributed import collectives, fsdp
from toolbox.errors import UsageError
from toolbox.training.state import NetworkState

OPTION_KINDS = {"betas", "momentum"}  # one is an option of optimisers that remember one thing, one of others


def split_state(side: NetworkState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Part what moves a network into tensors, named INDEX.KEY, and what JSON can hold."""
    state = side.optimizer.state_dict()
    tensors, plain = {}, {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                plain[f"{index}.{key}"] = value
    optimizer = {"groups": state["param_groups"], "plain": plain}
    return tensors, {"optimizer": optimizer, "schedule": side.schedule.state_dict()}


def load_optimizer_state(side: NetworkState, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
    """Load what `split` gave: the optimiser's tensors and the schedule's place; options stay the recipe's.

    Raises:
        UsageError: it is of an optimiser that remembers other things.
    """
    groups = side.optimizer.state_dict()["param_groups"]
    saved = rest["optimizer"]["groups"]
    if [set(group) & OPTION_KINDS for group in saved] != [set(group) & OPTION_KINDS for group in groups]:
        fault = UsageError(
            "What the checkpoint's optimizer remembers is of no use to the recipe's: from adam or adamw to sgd or back "
            "a run can't go on. Leave optimizer.name as it was, or begin a new run."
        )
        raise collectives.same_error_on_every_rank(fault)
    values: dict[int, dict[str, Any]] = {}
    weights = [weight for group in side.optimizer.param_groups for weight in group["params"]]
    for place, value in [*tensors.items(), *rest["optimizer"]["plain"].items()]:
        index, _, key = place.partition(".")
        weight = weights[int(index)]
        # Before it goes to the device, where the whole of it may have no room.
        as_is = not isinstance(value, Tensor) or value.shape != weight.shape
        values.setdefault(int(index), {})[key] = value if as_is else fsdp.shard_like(value, weight)
    groups = [group | {"lr": group["initial_lr"]} for group in groups]
    side.optimizer.load_state_dict({"state": values, "param_groups": groups})
    _match_memory_layout(side.optimizer)
    _advance_schedule(side.schedule, rest["schedule"])


def _advance_schedule(schedule: LRScheduler, saved: Mapping[str, Any]) -> None:
    """Bring a schedule, its optimiser at the initial rates, to the place of a saved one.

    Step by step, as a run goes: a rate computed at once is another in its last bits.
    """
    start = {"last_epoch": 0, "_last_lr": list(schedule.base_lrs)}
    # A count of 1 has torch warn of a schedule that moves before its optimiser.
    schedule.load_state_dict(schedule.state_dict() | start | {"_step_count": 2})
    for _ in range(saved["last_epoch"]):
        schedule.step()
    schedule.load_state_dict(schedule.state_dict() | {"_step_count": saved["_step_count"]})


def _match_memory_layout(optimizer: Optimizer) -> None:
    """Bring the loaded state into its weights' memory layout: the fused kernels step through both as they lie."""
    for weight, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                values[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
