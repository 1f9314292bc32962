"""`Plan` to what trains: modules, losses, penalties, optimisers and schedules."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from toolbox.config.plan import BoundComponent, Plan
from toolbox.errors import PluginError, ToolboxError


def build_component(bound: BoundComponent, *, fresh: bool = True) -> Any:  # noqa: ANN401 - every kind of component
    """Build one component with those among its params; PluginError where its plugin fails.

    With `fresh` False, weights are about to be loaded into it, and the ones it would start from are not fetched.
    """
    children = {key: build_component(child, fresh=fresh) for key, child in bound.children.items()}
    params = bound.params
    if not fresh:
        fields = type(params).model_fields
        params = params.model_copy(update={name: fields[name].get_default() for name in bound.spec.initial})
    try:
        return bound.spec.build(params, **children)
    except (ToolboxError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise PluginError(
            f"{bound.entry.kind.capitalize()} '{bound.spec.name}' of the plugin '{bound.entry.plugin}' "
            f"can't be built: {text}"
        ) from error


def build_generator(plan: Plan, device: torch.device) -> nn.Module:
    """Build the generator alone, for weights to be loaded into it."""
    return cast(nn.Module, build_component(plan.generator, fresh=False)).to(device)
