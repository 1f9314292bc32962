"""The checks of every component, whatever its kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from toolbox.config.binding import bind_component
from toolbox.config.recipe import dump, parse
from toolbox.hooks.isolation import PluginWarning
from toolbox.models.autograd_graph import kept_weights, outside_weights
from toolbox.testing.checks import Note, global_random_state, require, same_values
from toolbox.testing.subject import Subject, join_names

R = TypeVar("R")


def check_description(subject: Subject) -> str:
    """Every param has a description, which `toolbox show` prints."""
    fields = subject.spec.params.model_fields
    missing = [name for name, field in fields.items() if not (field.description or "").strip()]
    require(not missing, f"params without a description: {', '.join(missing)}; write Field(…, description=…)")
    return f"{len(fields)} params, each with a description" if fields else "no params"


def check_reference(subject: Subject) -> str:
    """The spec names a reference."""
    return subject.spec.reference or Note("no reference; name the paper, standard or library that it follows")


def check_toml_round_trip(subject: Subject) -> str:
    """Params that are written to the recipe of a run folder are read back unchanged."""
    bound = subject.bound
    raw = bound.params.model_dump(mode="json", exclude_none=True)
    again = bind_component(subject.catalog, bound.entry.kind, bound.spec.name, parse(dump(raw), "the params"))
    changed = [
        name for name in bound.spec.params.model_fields if getattr(again.params, name) != getattr(bound.params, name)
    ]
    require(not changed, f"{', '.join(changed)} come back from TOML changed; use plain types, and None only as default")
    return "read back unchanged"


def check_spec_check(subject: Subject) -> str:
    """The spec's own `check` accepts these params."""
    if subject.spec.check is None:
        return "the spec has no check"
    subject.spec.check(subject.bound.params)
    return "accepts these params"


def check_independent_builds(subject: Subject) -> str:
    """Two built components share nothing that training changes."""
    first, second = subject.component, subject.build()
    if not isinstance(first, nn.Module):
        has_state = bool(getattr(first, "__dict__", None))
        require(first is not second or not has_state, "build returns the same object twice; create it in build")
        return "independent"
    require(first is not second, "build returns the same module twice; create it in build")
    shared = {tensor.data_ptr() for tensor in _state(first)} & {tensor.data_ptr() for tensor in _state(second)}
    require(not shared, "two builds share weights or buffers; create them in build, not at import")
    return "independent"


def check_process_settings(subject: Subject) -> str:
    """`build` changes no setting of the whole process: seeds, threads, the default dtype, the working folder."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PluginWarning)
        subject.build()
    lines = [str(warning.message) for warning in caught if issubclass(warning.category, PluginWarning)]
    require(not lines, f"{'; '.join(lines)}; remove that")
    return "none changed"


def require_deterministic(build: Callable[[], Any], call: Callable[[Any], list[Tensor]]) -> str:
    """Require that a loss in eval mode gives the same value whatever the global seed, and never seeds."""
    values = []
    require_unseeded(partial(call, build()))
    for seed in (1, 2):
        component = build()
        if isinstance(component, nn.Module):
            component.eval()
        result = require_unseeded(partial(call, component), seed)
        values.append([value.detach() for value in result])
    require(
        all(same_values(*pair) for pair in zip(*values, strict=True)),
        "it returns another value for the same inputs, so that validations could not be compared; draw random numbers "
        "only in a Module in train mode",
    )
    return "the same value twice"


def require_unseeded(call: Callable[[], R], seed: int = 1) -> R:
    """Return the result of a call with torch's seed `seed`; fail if it seeds, or draws NumPy's or Python's numbers."""
    torch.manual_seed(seed)
    _, *others = global_random_state()
    result = call()
    is_unseeded = torch.initial_seed() == seed and others == [*global_random_state()[1:]]
    require(is_unseeded, "it seeds the global random numbers or draws NumPy's or Python's; use torch's, unseeded")
    return result


def check_seeded_weights(subject: Subject) -> str:
    """The initial weights depend only on torch's seed, so that a run can be repeated."""
    first, second = (subject.build().state_dict() for _ in range(2))
    different = [name for name, value in first.items() if not same_values(value, second[name])]
    require(
        not different,
        f"{join_names(different)} differ between two builds with the same seed; draw weights with torch's functions",
    )
    return "the same seed gives the same weights"


def _state(module: nn.Module) -> list[Tensor]:
    """Return what training changes: trainable weights and buffers."""
    trainable = [weight for weight in module.parameters() if weight.requires_grad]
    return [value for value in (*trainable, *module.buffers()) if value.numel()]


def require_own_weights(function: object, call: Callable[[], Iterable[Tensor]], inputs: Sequence[Tensor]) -> None:
    """Fail if the values of a call have weights in their graph that neither `inputs` nor the component's module have.

    A tensor in which a component differentiates is such a leaf too, but a new one in each call.
    """
    first, second = ([weight for value in call() for weight in outside_weights(function, value, inputs)] for _ in "12")
    require(
        not kept_weights(first, second),
        "it has weights outside of a torch.nn.Module, which nothing trains and no checkpoint has; make it a Module "
        "that has them, or call requires_grad_(False)",
    )
