"""Finds plugins, imports them, and registers those that keep the contract.

Plugins come from `registry.toml` (the bundles that ship), from the entry-point group `toolbox.plugins`, and
from the user's own registry. One that breaks is set aside with its cause; everything else works.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

import pluggy

from toolbox.errors import did_you_mean
from toolbox.hooks import hookspecs, registry
from toolbox.utils.versions import DISTRIBUTION, toolbox_version

GROUP = "toolbox.plugins"
SLOW_SECONDS = 1.0

Origin = Literal["bundle", "package", "file", "registry"]
Status = Literal["ok", "failed", "disabled"]


@dataclass(kw_only=True)
class PluginRecord:
    """What became of one plugin: the line that `toolbox plugins` shows.

    Attributes:
        name: the plugin's name: in the registry, or of its entry point.
        origin: a bundle that ships, an installed package, a file that the user added, or a registry.
        source: the module, entry-point value or file.
        distribution: the distribution that brought it, empty for a file.
        version: that distribution's version.
        status: whether its components are in the catalog.
        cause: why not, in one line.
        seconds: the time its import and its hooks took.
        components: kind and name of everything that it brought.
    """

    name: str
    origin: Origin
    source: str
    distribution: str = ""
    version: str = ""
    status: Status = "ok"
    cause: str = ""
    seconds: float = 0.0
    components: list[tuple[str, str]] = field(default_factory=list)

    @property
    def slow(self) -> bool:
        """Whether its import holds up every command."""
        return self.seconds > SLOW_SECONDS

    @property
    def remedy(self) -> str:
        """How to disable it, as the end of a sentence; nothing for a registry, whose cause says how to mend it."""
        return "" if self.origin == "registry" else f"; to disable it: toolbox plugin disable {self.name}"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A plugin that was found and not yet imported."""

    record: PluginRecord
    load: Callable[[], Any]


@dataclass(kw_only=True)
class Manager:
    """The pluggy manager with a record a plugin, in the order of loading."""

    pm: pluggy.PluginManager
    records: list[PluginRecord]

    def record(self, name: str) -> PluginRecord:
        """Return the record of the registered plugin `name`."""
        return next(r for r in self.records if r.name == name and r.status == "ok")

    def set_aside(self, name: str, cause: str) -> None:
        """Unregister the plugin `name` as a whole and note why."""
        record = self.record(name)
        self.pm.unregister(name=name)
        record.status, record.cause, record.components = "failed", cause, []


def file_loader(name: str, path: Path) -> Callable[[], Any]:
    """Return a function that imports a loose plugin file, whatever its name."""

    def load() -> Any:  # noqa: ANN401 - any module
        module_name = f"toolbox_user_plugins_{name.replace('-', '_')}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise FileNotFoundError(f"no Python file {path}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
        return module

    return load


def find(registries: registry.Registries, third_party: bool) -> Iterator[Candidate]:
    """Yield every plugin that there is, in the order of loading; none is imported yet."""
    own = toolbox_version()
    user = registries.user
    for bundle in registries.shipped.bundles:
        record = PluginRecord(
            name=bundle.name, origin="bundle", source=bundle.module, distribution=DISTRIBUTION, version=own
        )
        if not bundle.enabled and bundle.name not in user.enabled:
            record.status, record.cause = "disabled", "registry.toml has enabled = false"
        yield Candidate(record=record, load=partial(importlib.import_module, bundle.module))
    if not third_party:
        return
    if registries.user_fault:
        yield Candidate(
            record=PluginRecord(
                name="user-registry",
                origin="registry",
                source=str(registry.user_path()),
                status="failed",
                cause=registries.user_fault,
            ),
            load=lambda: None,
        )
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _distribution(point)[0]))
    for point in points:
        name, number = _distribution(point)
        yield Candidate(
            record=PluginRecord(
                name=point.name, origin="package", source=point.value, distribution=name, version=number
            ),
            load=point.load,
        )
    for added in user.files:
        yield Candidate(
            record=PluginRecord(name=added.name, origin="file", source=str(added.file)),
            load=file_loader(added.name, added.file),
        )


def _distribution(point: EntryPoint) -> tuple[str, str]:
    # A distribution whose metadata are gone has None for both.
    return (point.dist.name or "", point.dist.version or "") if point.dist else ("", "")


def _explain(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.split(".")[0]
        return f"it needs the package '{package}', which is not installed: pip install {package}"
    text = " ".join(str(error).split())
    kind = "it ends the program (SystemExit)" if isinstance(error, SystemExit) else type(error).__name__
    return f"import failed: {kind}: {text}" if text else f"import failed: {kind}"


def _contract_faults(pm: pluggy.PluginManager, plugin: Any) -> Iterator[str]:  # noqa: ANN401 - any object
    """Yield what is wrong with a plugin's hooks, all of it."""
    api = getattr(plugin, "TOOLBOX_API", hookspecs.HOOK_API)
    if api != hookspecs.HOOK_API:
        older = isinstance(api, int) and api < hookspecs.HOOK_API
        remedy = "update the plugin" if older else "update toolbox"
        yield f"it was made for hook API {api}, this toolbox has {hookspecs.HOOK_API}: {remedy}"
        return
    known = [name for name in vars(hookspecs) if name.startswith("toolbox_")]
    found = False
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        options = pm.parse_hookimpl_opts(plugin, name)
        if options is None:
            if name.startswith("toolbox_") and inspect.isfunction(function):
                yield f"{name} has no @hookimpl, so it would never be called"
            continue
        found = True
        hook = options.get("specname") or name
        if hook not in known:
            yield f"{name} is not a hook.{did_you_mean(hook, known)} Hooks: {', '.join(sorted(known))}"
        elif options.get("hookwrapper") or options.get("wrapper"):
            yield f"{name} is a hook wrapper; toolbox calls each plugin's hook by itself and takes no wrappers"
        elif callable(function) and inspect.signature(function).parameters:
            yield f"{name}{inspect.signature(function)} takes arguments; toolbox calls it with none"
    if not found:
        yield "it has no hooks: no function marked with @hookimpl"


def register(manager: Manager, candidate: Candidate) -> None:
    """Import one plugin and register it; what is wrong with it is noted in its record."""
    record = candidate.record
    started = time.perf_counter()
    faults: list[str]
    try:
        plugin = candidate.load()
        faults = list(_contract_faults(manager.pm, plugin))
        if not faults:
            manager.pm.register(plugin, name=record.name)
    except KeyboardInterrupt:
        raise
    except pluggy.PluginValidationError as error:
        faults = [" ".join(str(error).split())]
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        faults = [_explain(error)]
    record.seconds = time.perf_counter() - started
    if faults:
        record.status, record.cause = "failed", "; ".join(faults)


def load(*, third_party: bool = True, registries: registry.Registries | None = None) -> Manager:
    """Find, import and register every plugin that is not disabled.

    Args:
        third_party: False loads only the bundles that ship.
        registries: the registries to use, those on disk if None.

    Returns:
        The manager, with a record for each plugin that was found, broken and disabled ones included.
    """
    registries = registries or registry.read()
    pm = pluggy.PluginManager(hookspecs.PROJECT)
    pm.add_hookspecs(hookspecs)
    manager = Manager(pm=pm, records=[])
    for candidate in find(registries, third_party):
        record = candidate.record
        earlier = next((r for r in manager.records if r.name == record.name), None)
        if record.name in registries.disabled_by_environment:
            record.status, record.cause = "disabled", "by TOOLBOX_DISABLE"
        elif record.name in registries.user.disabled:
            record.status, record.cause = "disabled", f"by toolbox plugin disable {record.name}"
        elif record.status == "ok" and earlier is not None:
            record.status = "failed"
            record.cause = f"its name is taken by {_where(earlier)}; uninstall one of the two"
        manager.records.append(record)
        if record.status == "ok":
            register(manager, candidate)
    return manager


def _where(record: PluginRecord) -> str:
    origin = f"{record.distribution} {record.version}".strip() or record.source
    return f"the plugin '{record.name}' of {origin}"
