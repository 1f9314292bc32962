"""What moves a network's weights, as a checkpoint holds it: its optimiser's state and its schedule's place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from toolbox import sharding
from toolbox.parts import Side


def split(side: Side) -> tuple[dict[str, Tensor], dict[str, Any]]:
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


def load(side: Side, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
    """Load what `split` gave."""
    values: dict[int, dict[str, Any]] = {}
    weights = [weight for group in side.optimizer.param_groups for weight in group["params"]]
    for place, value in [*tensors.items(), *rest["optimizer"]["plain"].items()]:
        index, _, key = place.partition(".")
        weight = weights[int(index)]
        # Before it goes to the device, where the whole of it may have no room.
        as_is = not isinstance(value, Tensor) or value.shape != weight.shape
        values.setdefault(int(index), {})[key] = value if as_is else sharding.like(value, weight)
    side.optimizer.load_state_dict({"state": values, "param_groups": rest["optimizer"]["groups"]})
    _lay_out(side.optimizer)
    side.schedule.load_state_dict(rest["schedule"])


def _lay_out(optimizer: Optimizer) -> None:
    """Bring the loaded state into its weights' memory layout: the fused kernels step through both as they lie."""
    for weight, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                values[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
