"""The hooks of pluggy: one per kind, named in `toolbox.hooks.kinds`, without arguments, returning a list of specs.

A plugin is a module or an object with functions of these names, each marked with `hookimpl`. It is found through the
entry-point group `toolbox.plugins`, through `registry.toml`, or because the user added its file.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from toolbox.hooks.kinds import KINDS, Kind
from toolbox.hooks.specs import Spec

PROJECT = "toolbox"

# Increased when a hook or a protocol changes so that existing plugins would break. A plugin gives the number that it
# was written for as TOOLBOX_API.
HOOK_API = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


def _make_hookspec(kind: Kind) -> Callable[[], list[Spec]]:
    def hook() -> list[Spec]:
        raise NotImplementedError  # pluggy never calls a hookspec

    hook.__name__ = kind.hook
    hook.__doc__ = f"Return the {kind.plural} of this plugin, a list of {kind.spec.__name__}."
    return hookspec(hook)


# The namespace that pluggy reads the hooks from.
HOOKSPECS = type("Hookspecs", (), {kind.hook: _make_hookspec(kind) for kind in KINDS.values()})
