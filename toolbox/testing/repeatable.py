"""Call a component again and again under the same conditions: its state, and the global random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from torch import nn

from toolbox.testing.checks import seed_everything

P = ParamSpec("P")
R = TypeVar("R")


def with_fixed_state(component: object, function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` so that each call starts with the same state of `component`, and the same random numbers.

    The state is that of now, buffers and attributes; the component has it after each call too.
    """
    modules = list(component.modules()) if isinstance(component, nn.Module) else []
    owners: list[object] = [*modules] or [component]
    buffers = [
        (module, name, value.clone()) for module in modules for name, value in module.named_buffers(recurse=False)
    ]
    # torch keeps parameters, buffers and hooks in attributes that begin with "_".
    attributes = [
        (owner, {name: value for name, value in vars(owner).items() if not name.startswith("_")})
        for owner in owners
        if isinstance(getattr(owner, "__dict__", None), dict)
    ]

    def restore() -> None:
        for module, name, value in buffers:
            setattr(module, name, value.clone())
        for owner, values in attributes:
            vars(owner).update(values)

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        restore()
        seed_everything()
        try:
            return function(*args, **kwargs)
        finally:
            restore()

    return call
