"""Find the faults of a plugin's hook functions before it is registered, such as hooks that would not be called."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pluggy

from toolbox.errors import did_you_mean
from toolbox.hooks.hookspecs import HOOK_API, PROJECT
from toolbox.hooks.kinds import KINDS


def find_hook_faults(pm: pluggy.PluginManager, plugin: Any) -> Iterator[str]:  # noqa: ANN401 - any object
    """Yield every fault of a plugin's hook functions."""
    api = getattr(plugin, "TOOLBOX_API", HOOK_API)
    if api != HOOK_API:
        if not isinstance(api, int):
            yield f"TOOLBOX_API is {api!r}; it must be a whole number, such as TOOLBOX_API = {HOOK_API}"
            return
        remedy = "update the plugin" if api < HOOK_API else "update toolbox"
        yield f"it was written for hook API {api}, this toolbox has {HOOK_API}: {remedy}"
        return
    hooks = sorted(kind.hook for kind in KINDS.values())
    has_hooks = False
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        options = pm.parse_hookimpl_opts(plugin, name)
        if options is None:
            if name.startswith("toolbox_") and inspect.isfunction(function):
                yield f"{name} has no @hookimpl, so it would never be called"
            continue
        has_hooks = True
        hook = options.get("specname") or name
        if hook not in hooks:
            yield f"{name} is not a hook.{_similar_hook(hook, hooks)} Hooks: {', '.join(hooks)}"
        elif options.get("hookwrapper") or options.get("wrapper"):
            yield f"{name} is a hook wrapper; toolbox calls each hook by itself and supports no wrappers"
        elif callable(function) and inspect.signature(function).parameters:
            yield f"{name}{inspect.signature(function)} takes arguments; toolbox calls it without arguments"
    if not has_hooks:
        yield "it has no hooks: no function with @hookimpl"


def _similar_hook(name: str, hooks: list[str]) -> str:
    """Return a hint with the hook that a misspelled name probably means; empty if none is similar, prefix aside."""
    prefix = f"{PROJECT}_"
    hint = did_you_mean(name.removeprefix(prefix), [hook.removeprefix(prefix) for hook in hooks], cutoff=0.75)
    return hint.replace("'", f"'{prefix}", 1)
