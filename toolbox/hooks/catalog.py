"""The catalog: every spec that plugins supply, with the plugin, distribution and version that it came from."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from dataclasses import dataclass

from toolbox.errors import UsageError, named, position_in, unknown_name
from toolbox.hooks import manager as managers
from toolbox.hooks.command_spec import CORE_COMMANDS, CommandSpec
from toolbox.hooks.file_specs import RecipeSpec
from toolbox.hooks.isolation import isolated
from toolbox.hooks.kinds import KINDS, Kind
from toolbox.hooks.manager import Manager, PluginRecord
from toolbox.hooks.specs import ComponentSpec, Spec


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One spec and where it came from: the plugin, its distribution and version, and the module with its hooks.

    An object that a Python program has given, such as an observer, has no plugin; `module` is the name of its type.
    """

    kind: str
    spec: Spec
    plugin: str
    distribution: str
    version: str
    module: str = ""

    @property
    def origin(self) -> str:
        """The distribution with its version; empty for a plugin that is a single file."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def key(self) -> str:
        """The key in the catalog: the name, or ``PLUGIN/NAME`` for a kind whose names are unique only in a plugin."""
        return f"{self.plugin}/{self.spec.name}" if KINDS[self.kind].per_plugin else self.spec.name


class PluginFault(Exception):
    """A hook that breaks its contract; the message says what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All entries by kind and name, and the records of all plugins."""

    components: dict[str, dict[str, Entry]]
    plugins: tuple[PluginRecord, ...]

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return the entries of a kind, or all of them, ordered by kind and then by name."""
        kinds = [kind] if kind else list(KINDS)
        return [self.components[k][name] for k in kinds for name in sorted(self.components[k])]

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, sorted."""
        return sorted(self.components[kind])

    def find(self, kind: str, name: str, *, hint: bool = True) -> Entry:
        """Return an entry; UsageError with the choices and the most similar name if there is none.

        With `hint`, the message names the plugins that are disabled.
        """
        try:
            return self.components[kind][name]
        except KeyError:
            see = f"toolbox list {KINDS[kind].plural}"
            message = unknown_name(kind, name, self.components[kind], see)
            raise UsageError(message + (self.disabled_plugins() if hint else "")) from None

    def disabled_plugins(self) -> str:
        """Return a sentence for each plugin that is disabled, which may have what was not found."""
        return "".join(
            f" It may be in the plugin '{record.name}', {record.how_to_load}."
            for record in self.plugins
            if record.status == "disabled"
        )

    def spec(self, kind: str, name: str) -> ComponentSpec:
        """Return the spec of a component; raises UsageError."""
        spec = self.find(kind, name).spec
        assert isinstance(spec, ComponentSpec)
        return spec

    def recipe(self, name: str) -> RecipeSpec:
        """Return the spec of a recipe; raises UsageError."""
        spec = self.find("recipe", name).spec
        assert isinstance(spec, RecipeSpec)
        return spec


def load(*, third_party: bool = True) -> Catalog:
    """Load all plugins and return their catalog; without `third_party` only the bundles that ship."""
    return build(managers.load(third_party=third_party))


def build(manager: Manager) -> Catalog:
    """Call the hooks of every plugin and return the catalog.

    A plugin whose hooks break the contract is marked as failed, and none of its specs are in the catalog. Each hook is
    called by itself: a call through pluggy would not say which plugin returned what, or which one raised an error.
    """
    components: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
    for record in [r for r in manager.records if r.status == "ok"]:
        started = time.perf_counter()
        try:
            with isolated("load") as changed:
                entries = list(_collect(manager, record, components))
            record.changed += changed
        except PluginFault as fault:
            manager.mark_failed(record.name, str(fault))
            continue
        finally:
            record.seconds += time.perf_counter() - started
        for entry in entries:
            components[entry.kind][entry.key] = entry
            record.components.append((entry.kind, entry.key))
    return Catalog(components=components, plugins=tuple(manager.records))


def _collect(manager: Manager, record: PluginRecord, existing: dict[str, dict[str, Entry]]) -> Iterator[Entry]:
    """Yield the entries of one plugin; PluginFault if a hook breaks the contract or a name exists already."""
    seen: set[tuple[str, str]] = set()
    for kind in KINDS.values():
        for implementation in getattr(manager.pm.hook, kind.hook).get_hookimpls():
            if implementation.plugin_name != record.name:
                continue
            for spec in _call_hook(kind, implementation.function):
                entry = Entry(
                    kind=kind.name,
                    spec=spec,
                    plugin=record.name,
                    distribution=record.distribution,
                    version=record.version,
                    module=str(getattr(implementation.function, "__module__", "")),
                )
                if (kind.name, spec.name) in seen:
                    raise PluginFault(f"{kind.hook} returns {kind.name} '{spec.name}' twice")
                if isinstance(spec, CommandSpec) and record.name in CORE_COMMANDS:
                    raise PluginFault(
                        f"{kind.hook}: `toolbox {record.name}` is a command of toolbox; rename the plugin"
                    )
                earlier = existing[kind.name].get(entry.key)
                if earlier is not None:
                    origin = f" ({earlier.origin})" if earlier.origin else ""
                    raise PluginFault(
                        f"{kind.name} '{spec.name}' exists already in the plugin '{earlier.plugin}'{origin}; "
                        "rename one of the two"
                    )
                seen.add((kind.name, spec.name))
                yield entry


def _call_hook(kind: Kind, function: object) -> list[Spec]:
    """Call one hook implementation and return its specs; PluginFault if it breaks the contract."""
    assert callable(function)
    if inspect.isgeneratorfunction(function):
        raise PluginFault(f"{kind.hook} is a generator function; return a list")
    if inspect.iscoroutinefunction(function):
        raise PluginFault(f"{kind.hook} is an async function; return a list from a plain one")
    try:
        result = function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        code = getattr(inspect.unwrap(function), "__code__", None)
        position = "" if code is None else position_in(error, code.co_filename)
        raise PluginFault(f"{kind.hook} raised {named(error)}{position}") from error
    if not isinstance(result, list):
        raise PluginFault(f"{kind.hook} returned {type(result).__name__}, not a list of {kind.spec.__name__}")
    for item in result:
        if not isinstance(item, kind.spec):
            raise PluginFault(f"{kind.hook} returned a list with {type(item).__name__}, not {kind.spec.__name__}")
    return result
