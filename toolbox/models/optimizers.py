"""Check an optimizer and its schedule; save and load the optimizer's state without pickle."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from toolbox.distributed import fsdp
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolation import PluginWarning
from toolbox.hooks.specs import ComponentSpec


def check_optimizer(optimizer: Optimizer, weights: Sequence[Tensor], entry: Entry) -> None:
    """Raise WrongResultError if an optimizer does not train `weights`; warn if it trains only a part of them."""
    has = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    given = {id(weight) for weight in weights}
    fault = ""
    if any("lr" not in group for group in optimizer.param_groups):
        fault = "has a group without 'lr', which schedules change; give each group an 'lr'"
    elif not has & given:
        fault = "has none of the weights that it was given, so nothing is trained; build it on `weights`"
    elif has - given:
        fault = "has weights that it was not given, which get no gradients; build it on `weights` only"
    else:
        fault = rate_fault(optimizer)
    if fault:
        raise blame.wrong_result(entry, cast(ComponentSpec, entry.spec).build, fault)
    if missing := len(given - has):
        warnings.warn(
            f"{blame.title(entry)} trains {len(given) - missing} of the {len(given)} weights that it was given; the "
            "others keep their initial values. If this is not on purpose, give it all of `weights`",
            PluginWarning,
            stacklevel=2,
        )


def check_schedule(optimizer: Optimizer, schedule: LRScheduler, entry: Entry) -> None:
    """Raise WrongResultError if a schedule is of another optimizer, `step` needs an argument, or a rate is wrong."""
    if fault := schedule_fault(optimizer, schedule):
        raise blame.wrong_result(entry, cast(ComponentSpec, entry.spec).build, fault)


def schedule_fault(optimizer: Optimizer, schedule: LRScheduler) -> str:
    """Return what is wrong with a schedule that was built for `optimizer`, and what to do; "" if nothing is."""
    if getattr(schedule, "optimizer", None) is not optimizer:
        return "was built on another optimizer, so the learning rate never changes; build it on the one that it gets"
    try:
        inspect.signature(schedule.step).bind()
    except TypeError as error:
        name = type(schedule).__name__
        return f"returned {name}, and toolbox calls step() without arguments ({error}); use another schedule"
    return rate_fault(optimizer)


def rate_fault(optimizer: Optimizer) -> str:
    """Return which learning rate of an optimizer can't be used, and what to do; "" if all can."""
    for group in optimizer.param_groups:
        rate = group.get("lr", 0.0)
        try:
            is_usable = 0 <= float(rate) < math.inf
        except (TypeError, ValueError, RuntimeError):  # complex, as a fractional power of a negative number; text; maps
            is_usable = False
        if not is_usable:
            return f"gives the learning rate {rate}; return real numbers that are finite and at least 0"
    return ""


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

    Options and learning rates stay those of `optimizer`. A value that the optimizer adds to its groups while it trains,
    such as a number of steps, is state.
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
    groups = [{**saved, **group} for saved, group in zip(saved_groups, current, strict=True)]
    optimizer.load_state_dict({"state": values, "param_groups": groups})
    for index, state in values.items():
        weight = weights[index]
        for key, value in state.items():
            # torch gives every value the dtype of the weight; a number beside it may have another one.
            loaded = optimizer.state[weight][key]
            if isinstance(value, Tensor) and value.shape != weight.shape and value.dtype != loaded.dtype:
                optimizer.state[weight][key] = value.to(loaded.device)
            elif isinstance(value, str):  # torch makes the text of a generator object of it
                optimizer.state[weight][key] = value
    match_memory_layout(optimizer)


def match_memory_layout(optimizer: Optimizer) -> None:
    """Give the optimizer's state the memory layout of its weights: fused kernels read both in memory order."""
    for weight, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                values[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
