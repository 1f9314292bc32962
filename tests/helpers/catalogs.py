"""Plugins and catalogs made in memory, a fresh manager each."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from toolbox.hooks import catalog, manager
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.hookspecs import hookimpl
from toolbox.hooks.registry import Bundle, Registries, Registry, UserRegistry

DEFAULT = Bundle(name="default", module="toolbox_plugins.default.plugin")


def registries(*bundles: Bundle, user: UserRegistry | None = None) -> Registries:
    """Return registries with these bundles and nobody's own additions."""
    return Registries(shipped=Registry(bundles=list(bundles)), user=user or UserRegistry())


def default_catalog() -> Catalog:
    """Return the catalog of the default bundle alone."""
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT)))


def plugin(name: str = "stranger", **hooks: Callable[[], Any]) -> types.ModuleType:
    """Return a module with each function marked as a hook implementation."""
    module = types.ModuleType(name)
    for hook, function in hooks.items():
        function.__name__ = hook
        setattr(module, hook, hookimpl(function))
    return module
