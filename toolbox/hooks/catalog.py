"""Every component that plugins supply, with the plugin, distribution and version that it came from."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from dataclasses import dataclass

from toolbox.errors import UsageError, unknown_name
from toolbox.hooks import manager as managers
from toolbox.hooks.manager import Manager, PluginRecord
from toolbox.hooks.specs import KINDS, AnySpec, RecipeSpec, Spec, plural


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One component and where it came from."""

    kind: str
    spec: AnySpec
    plugin: str
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        """The distribution with its version, or nothing for a loose file."""
        return f"{self.distribution} {self.version}".strip()


class PluginFault(Exception):
    """A plugin's hook does not keep the contract."""


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The components by kind and name, and the record of every plugin."""

    components: dict[str, dict[str, Entry]]
    plugins: tuple[PluginRecord, ...]

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return the entries of a kind, or all, in the order of kinds and then of names."""
        kinds = [kind] if kind else list(KINDS)
        return [self.components[k][name] for k in kinds for name in sorted(self.components[k])]

    def names(self, kind: str) -> list[str]:
        """Return the sorted names of a kind."""
        return sorted(self.components[kind])

    def find(self, kind: str, name: str) -> Entry:
        """Return the entry; UsageError with the choices and the nearest name if there is none."""
        try:
            return self.components[kind][name]
        except KeyError:
            message = unknown_name(kind, name, self.components[kind], f"toolbox list {plural(kind)}")
            raise UsageError(message) from None

    def spec(self, kind: str, name: str) -> Spec:
        """Return a component's spec (not a recipe's)."""
        spec = self.find(kind, name).spec
        assert isinstance(spec, Spec)
        return spec

    def recipe(self, name: str) -> RecipeSpec:
        """Return a recipe's spec."""
        spec = self.find("recipe", name).spec
        assert isinstance(spec, RecipeSpec)
        return spec


def load(*, third_party: bool = True) -> Catalog:
    """Load every plugin and return the catalog of what they bring."""
    return build(managers.load(third_party=third_party))


def build(manager: Manager) -> Catalog:
    """Call each plugin's hooks and collect its components: all of a plugin's, or none.

    A hook call through pluggy could not say who returned what, nor name the plugin that raised; so each
    implementation is called by itself.
    """
    components: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
    for record in [r for r in manager.records if r.status == "ok"]:
        started = time.perf_counter()
        try:
            entries = list(_collect(manager, record, components))
        except PluginFault as fault:
            manager.set_aside(record.name, str(fault))
            continue
        finally:
            record.seconds += time.perf_counter() - started
        for entry in entries:
            components[entry.kind][entry.spec.name] = entry
            record.components.append((entry.kind, entry.spec.name))
    return Catalog(components=components, plugins=tuple(manager.records))


def _collect(manager: Manager, record: PluginRecord, taken: dict[str, dict[str, Entry]]) -> Iterator[Entry]:
    seen: set[tuple[str, str]] = set()
    for kind, spec_type in KINDS.items():
        hook = f"toolbox_{plural(kind)}"
        for implementation in getattr(manager.pm.hook, hook).get_hookimpls():
            if implementation.plugin_name != record.name:
                continue
            for spec in _call(hook, implementation.function, spec_type):
                if (kind, spec.name) in seen:
                    raise PluginFault(f"{hook} brings {kind} '{spec.name}' twice")
                other = taken[kind].get(spec.name)
                if other is not None:
                    raise PluginFault(
                        f"{kind} '{spec.name}' is already brought by the plugin '{other.plugin}'"
                        f"{f' ({other.origin})' if other.origin else ''}; rename one of the two"
                    )
                seen.add((kind, spec.name))
                yield Entry(
                    kind=kind,
                    spec=spec,
                    plugin=record.name,
                    distribution=record.distribution,
                    version=record.version,
                )


def _call(hook: str, function: object, spec_type: type) -> list[AnySpec]:
    assert callable(function)
    if inspect.isgeneratorfunction(function):
        raise PluginFault(f"{hook} is a generator function; return a list")
    try:
        result = function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        text = " ".join(str(error).split())
        raise PluginFault(f"{hook} raised {type(error).__name__}: {text}") from error
    if not isinstance(result, list):
        raise PluginFault(f"{hook} returned {type(result).__name__}, not a list of {spec_type.__name__}")
    for item in result:
        if not isinstance(item, spec_type):
            raise PluginFault(f"{hook} returned a list with {type(item).__name__}, not {spec_type.__name__}")
    return result
