"""Build the components of a bound recipe."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, cast

import torch
from torch import nn

from toolbox.config.plan import BoundComponent, Plan
from toolbox.distributed.torch_patches import wrap_forward
from toolbox.errors import PluginError, named, one_line
from toolbox.hooks import blame
from toolbox.hooks.code_position import is_raised_on_purpose
from toolbox.hooks.isolation import PluginWarning, isolated
from toolbox.models import component_calls, component_watch
from toolbox.models.component_calls import call_loss
from toolbox.models.component_watch import WatchedComponent
from toolbox.models.module_methods import require_loadable_state, require_usable_methods
from toolbox.models.module_state import (
    UNSAVED,
    differing_value,
    give_own_memory,
    require_usable_state,
    unsaved_values,
)
from toolbox.models.weight_file import unsaved_prefixes
from toolbox.utils.memory import is_out_of_memory

# What `build` must return, for the kinds that are classes of torch, and its name.
RESULTS: dict[str, tuple[type, str]] = {
    "generator": (nn.Module, "torch.nn.Module"),
    "discriminator": (nn.Module, "torch.nn.Module"),
    "optimizer": (torch.optim.Optimizer, "torch.optim.Optimizer"),
    "schedule": (torch.optim.lr_scheduler.LRScheduler, "LRScheduler of torch"),
}
# The attributes that these classes of torch set in `__init__`, and their types. A wrapper may have them as properties.
ATTRIBUTES: dict[str, dict[str, type]] = {
    "optimizer": {"param_groups": list, "state": Mapping},
    "schedule": {"optimizer": torch.optim.Optimizer},
}
# The kinds whose components are called themselves, except for adversarial losses, which have two methods.
CALLED = frozenset(("loss", "penalty", "degradation", "detector", "filler", "postprocessor", "step", "metric"))


def build_component(bound: BoundComponent, *inputs: object, fresh: bool = True) -> Any:  # noqa: ANN401 - every kind of component
    """Build a component and the components among its params.

    Args:
        bound: the component with its params.
        inputs: what `build` gets besides the params: an optimizer its weights, a schedule its optimizer.
        fresh: False if weights will be loaded into it; then the weights that it starts from are not fetched.

    Raises:
        PluginError: its plugin fails, or returns what is no network, optimizer or schedule. Errors of toolbox, and
            those that memory ran out, are raised unchanged.
    """
    children = {key: _build_child(child, fresh) for key, child in bound.children.items()}
    params = bound.params
    if not fresh:
        fields = type(params).model_fields
        params = params.model_copy(update={name: fields[name].get_default() for name in bound.spec.initial})
    try:
        with isolated("build") as changed:
            component = blame.call(bound.entry, bound.spec.build, params, *inputs, **children)
    except Exception as error:
        if is_out_of_memory(error) or blame.is_for_user(error, bound.entry):
            raise
        # A ValueError that the plugin raises is about the params; any other error is a mistake in the plugin.
        text = one_line(error)
        if not (isinstance(error, ValueError) and text and is_raised_on_purpose(error, bound.entry)):
            where = blame.position(error, bound.entry)
            text = f"{named(error)} ({where}). Expected: {blame.contract(bound.entry)}.{blame.hint()}"
        raise PluginError(f"{blame.title(bound.entry)} can't be built: {text}") from error
    if changed:
        line = f"{blame.title(bound.entry)} changed {', '.join(changed)} when it was built, which was put back"
        warnings.warn(line, PluginWarning, stacklevel=2)
    blame.remember(bound.entry)
    _require_result(component, bound)
    if isinstance(component, nn.Module):
        require_usable_methods(component, bound.entry)
        require_usable_state(component, bound.entry)
        give_own_memory(component)
        require_loadable_state(component, bound.entry)
        component_watch.attach(component, bound.entry)
    return component


def _build_child(bound: BoundComponent, fresh: bool) -> Any:  # noqa: ANN401 - every kind of component
    """Build a component that is a param of another one. Calls of a loss are checked as those of others."""
    component = build_component(bound, fresh=fresh)
    is_module = isinstance(component, nn.Module) and not isinstance(component, torch.jit.ScriptModule)
    if bound.entry.kind != "loss" or not (is_module or isinstance(component, FunctionType)):
        return component  # another object may have attributes that the outer component uses
    watch = WatchedComponent(entry=bound.entry, trains=not bound.detach_param)

    def watched(loss: Callable[..., Any]) -> Callable[..., Any]:
        def call(*inputs: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the outer component gives it
            is_usual = len(inputs) == 3 and not named
            return call_loss(watch, loss, *inputs) if is_usual else blame.call(watch.entry, loss, *inputs, **named)

        return call

    if not is_module:
        return watched(component)
    wrap_forward(component, watched)
    return component


def build_twice(bound: BoundComponent, *, fresh: bool = True) -> Any:  # noqa: ANN401 - every kind of component
    """Build a component as `build_component` does, and again with another seed if checkpoints lack a part of it.

    That part must be the same in each build; otherwise saved weights would belong to another network.

    Raises:
        WrongResultError: what ``checkpoint = False`` keeps out of checkpoints is not the same. For other tensors that
            are not saved, a warning is given: they may be without a meaning before the first call.
    """
    component = build_component(bound, fresh=fresh)
    values = unsaved_values(component) if isinstance(component, nn.Module) else {}
    if not values:
        return component
    random = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(torch.initial_seed() + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PluginWarning)  # they have been given
            second = build_component(bound, fresh=fresh)
    finally:
        torch.set_rng_state(random)
    name = differing_value(values, unsaved_values(second))
    if name and name.startswith(unsaved_prefixes(component)):
        fault = f"gets other values in {name}, which {UNSAVED}, each time it is built; load fixed values in build, or "
        raise blame.wrong_result(bound.entry, bound.spec.build, fault + "remove that line")
    if name:
        line = f"{blame.title(bound.entry)} gets other values in {name}, which is not saved, each time it is built; "
        line += "make it a persistent buffer or a part of the module, or give it the same values in each build"
        warnings.warn(line, PluginWarning, stacklevel=2)
    return component


def _require_result(component: object, bound: BoundComponent) -> None:
    """Raise WrongResultError if what `build` returned is no component of its kind."""
    fault, entry = "", bound.entry
    expected, name = RESULTS.get(entry.kind, (object, ""))
    if component is None:
        fault = "returned None from build; return the component"
    elif isinstance(component, type):
        fault = f"returned the class {component.__name__} from build; return an instance: {component.__name__}(…)"
    elif not isinstance(component, expected):
        fault = f"returned {component_calls.describe(component)} from build, not a {name}"
    elif entry.kind in CALLED and getattr(entry.spec, "role", "") != "adversarial" and not callable(component):
        fault = f"returned {component_calls.describe(component)} from build, which can't be called"
    elif entry.kind in ATTRIBUTES:
        fault = _attribute_fault(component, entry.kind)
    if fault:
        raise blame.wrong_result(entry, bound.spec.build, fault)


def _attribute_fault(component: object, kind: str) -> str:
    """Return which attribute of torch's class an optimizer or a schedule lacks or hides, and what to do."""
    for name, expected in ATTRIBUTES[kind].items():
        if not hasattr(component, name):
            return f"is a {type(component).__name__} whose __init__ does not call super().__init__(); call it first"
        if not isinstance(getattr(component, name), expected):
            return f"has an attribute `{name}`, which hides that of {RESULTS[kind][1]}; rename it"
    return ""


def build_generator(plan: Plan, device: torch.device) -> nn.Module:
    """Build the generator of a plan, for weights to be loaded into it."""
    return cast(nn.Module, build_component(plan.generator, fresh=False)).to(device)
