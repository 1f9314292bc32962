"""Check the methods of `torch.nn.Module` that a component overrides: a run calls them as torch defines them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from toolbox.errors import named
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.models.weight_file import saved_state

NETWORKS = frozenset(("generator", "discriminator"))
# The methods by which torch saves and loads the state of a module and of the modules inside it.
STATE_METHODS = ("state_dict", "load_state_dict", "_save_to_state_dict", "_load_from_state_dict")


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of `torch.nn.Module`, and a call of it as in a run.

    Attributes:
        name: its name.
        definition: its parameters, for messages.
        result: what it returns, for messages.
        is_result: whether a result is that; it gets the module and the result.
        arguments: those of the call.
        keywords: the arguments of the call by name.
        inner: the methods of the modules inside the module that it calls.
        of_networks: whether a run calls it for generators and discriminators only.
    """

    name: str
    definition: str
    result: str
    is_result: Callable[[nn.Module, Any], bool]
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    inner: tuple[str, ...] = ()
    of_networks: bool = False


def _returns_self(name: str, definition: str, **facts: Any) -> Method:  # noqa: ANN401
    return Method(name=name, definition=definition, result="self", is_result=lambda module, got: got is module, **facts)


def _returns(kind: type, name: str, definition: str, result: str = "an iterator", **facts: Any) -> Method:  # noqa: ANN401
    is_result = lambda module, got: isinstance(got, kind)  # noqa: E731
    return Method(name=name, definition=definition, result=result, is_result=is_result, **facts)


NAMED = "(self, prefix='', recurse=True, remove_duplicate=True)"
METHODS = (
    _returns_self("train", "(self, mode=True)", arguments=(True,), inner=("train",), of_networks=True),
    _returns_self("eval", "(self)", of_networks=True),
    _returns_self("to", "(self, *args, **kwargs)", keywords={"device": None, "dtype": None}, inner=("_apply",)),
    _returns(object, "zero_grad", "(self, set_to_none=True)", "None", keywords={"set_to_none": True}, of_networks=True),
    _returns(Iterator, "parameters", "(self, recurse=True)", of_networks=True),
    _returns(Iterable, "buffers", "(self, recurse=True)", keywords={"recurse": False}),
    _returns(Iterable, "named_parameters", NAMED, keywords={"recurse": False}),
    _returns(Iterable, "named_buffers", NAMED, keywords={"recurse": False}),
    _returns(Iterable, "modules", "(self)"),
    _returns(Iterable, "named_modules", "(self, memo=None, prefix='', remove_duplicate=True)"),
    _returns(Iterable, "children", "(self)"),
    _returns(Mapping, "state_dict", "(self, *args, **kwargs)", "a dict"),
)


def require_usable_methods(module: nn.Module, entry: Entry) -> None:
    """Raise WrongResultError if a module overrides a method that a run calls so that the call fails.

    Only overridden methods are called. The modes of the modules are the same afterwards.
    """
    if not hasattr(module, "_parameters"):  # `require_usable_state` names that
        return
    methods = [method for method in METHODS if not method.of_networks or entry.kind in NETWORKS]
    for method in methods:
        if not callable(getattr(module, method.name)):
            fault = f"has an attribute `{method.name}`, which hides {method.name}() of torch.nn.Module; rename it"
            raise blame.wrong_result(entry, module, fault)
    for method in methods:
        _require_usable(module, method, entry)


def require_loadable_state(module: nn.Module, entry: Entry) -> None:
    """Raise WrongResultError if a module saves or loads its state in its own way, and does not load what it saves."""
    changed = [name for inner in nn.Module.modules(module) for name in STATE_METHODS if _is_overridden(inner, name)]
    fault = _loading_fault(module) if changed else ""
    if fault:
        raise blame.wrong_result(entry, getattr(module, changed[0]), fault)


def _is_overridden(module: nn.Module, name: str) -> bool:
    """Return whether a module has another method, or another attribute, of this name than those of torch."""
    function = getattr(getattr(module, name), "__func__", None)
    return not getattr(function, "__module__", "").startswith("torch.")


def _require_usable(module: nn.Module, method: Method, entry: Entry) -> None:
    """Call a method of a module as a run does, if it is overridden there or in a module inside."""
    inner = [(part, name) for part in nn.Module.modules(module) for name in method.inner if _is_overridden(part, name)]
    overridden = [(module, method.name)] if _is_overridden(module, method.name) else inner
    if not overridden:
        return
    part, name = overridden[0]
    modes = [(each, each.training) for each in nn.Module.modules(module)]
    cause: Exception | None = None
    try:
        result = getattr(module, method.name)(*method.arguments, **method.keywords)
    except Exception as error:
        if blame.is_of_the_machine(error):
            raise
        outcome, cause = f"{method.name}() raises {named(error)}", error
    else:
        if method.is_result(module, result):
            return
        outcome = f"{method.name}() returns {'None' if result is None else f'a {type(result).__name__}'}"
    finally:
        for each, training in modes:
            each.training = training
    where = "" if part is module else f" of its {type(part).__name__}"
    remedy = f"write `def {method.name}{method.definition}` and return {method.result}"
    if name != method.name:
        remedy = f"write `def {name}(self, fn, recurse=True)` and return self"
    fault = f"overrides {name}(){where} so that {outcome}; {remedy}"
    raise blame.wrong_result(entry, getattr(part, name), fault) from cause


@torch.no_grad()
def _loading_fault(module: nn.Module) -> str:
    """Load other values into a module, and its own again; return what goes wrong, or ""."""
    saved = {name: value.clone() for name, value in saved_state(module).items()}
    others = {name: (value == 0).to(value.dtype) for name, value in saved.items()}
    remedy = "write `def load_state_dict(self, state_dict, strict=True, assign=False)`, which takes those names"
    try:
        module.load_state_dict(others, strict=False)
        lost = [name for name, value in saved_state(module).items() if name in others and not others[name].equal(value)]
        module.load_state_dict(saved, strict=False)
    except Exception as error:
        if blame.is_of_the_machine(error):
            raise
        return f"can't load what it saves: {named(error)}; {remedy}"
    return (
        f"does not load {lost[0]}, which its state_dict() saves, so no run could be continued; {remedy}" if lost else ""
    )
