"""The plugin manager: finds plugins, imports them, and registers those whose hooks keep the contract.

Plugins come from `registry.toml` (the bundles that ship), from the entry-point group `toolbox.plugins`, and from the
user's own registry. A plugin that fails is not registered and its record says why; all others work.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

import pluggy

from toolbox.errors import call_plugin, did_you_mean, named, one_line, position_in
from toolbox.hooks import registry
from toolbox.hooks.hook_faults import find_hook_faults
from toolbox.hooks.hookspecs import HOOKSPECS, PROJECT
from toolbox.hooks.isolation import PluginWarning, isolated
from toolbox.utils.shell import shell_word
from toolbox.utils.versions import DISTRIBUTION, toolbox_version

ENTRY_POINT_GROUP = "toolbox.plugins"
SLOW_SECONDS = 1.0
# The causes of plugins that are disabled for one command.
BY_ENVIRONMENT = "by TOOLBOX_DISABLE"
BY_OPTION = "by --no-plugins"

Origin = Literal["bundle", "package", "file", "registry"]
Status = Literal["ok", "failed", "disabled"]


@dataclass(kw_only=True)
class PluginRecord:
    """The state of one plugin: a line of `toolbox plugins`.

    Attributes:
        name: its name in the registry or of its entry point.
        origin: a bundle that ships, an installed package, a file that the user added, or a broken registry.
        source: the module, the value of the entry point, or the file.
        distribution: the distribution that it belongs to; empty for a file.
        version: the version of that distribution.
        status: "ok" if its components are in the catalog.
        cause: why they are not, in one line.
        seconds: the duration of its import and of its hooks.
        components: kind and name of each of its components.
        changed: the settings of the process that it changed when it was loaded; they were put back.
        has_rival: whether it can't be loaded beside another plugin, which has its name or is the same file.
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
    changed: list[str] = field(default_factory=list)
    has_rival: bool = False

    @property
    def is_slow(self) -> bool:
        """Whether its import noticeably delays every command."""
        return self.seconds > SLOW_SECONDS

    @property
    def is_moved(self) -> bool:
        """Whether it is a file that is not where it was added."""
        return self.origin == "file" and not Path(self.source).is_file()

    @property
    def note(self) -> str:
        """What it did that a plugin should not do, in one line; empty for nothing."""
        if not self.changed:
            return ""
        return f"it changed {', '.join(dict.fromkeys(self.changed))} when it was loaded, which was put back"

    @property
    def remedy(self) -> str:
        """How to disable it, as the end of a sentence; empty for a cause that names the remedy."""
        if self.origin == "registry" or self.is_moved or self.has_rival:
            return ""
        return f"; to disable it: toolbox plugin disable {self.name}"

    @property
    def how_to_load(self) -> str:
        """Why it is not loaded and how to change that, as the end of a sentence."""
        if self.status == "failed":
            return f"which was not loaded: {self.cause}; see `toolbox plugins`"
        if self.cause == BY_ENVIRONMENT:
            return "which the environment variable TOOLBOX_DISABLE disables; remove it there"
        if self.cause == BY_OPTION:
            return "which the option --no-plugins leaves out"
        return f"which is disabled: toolbox plugin enable {self.name}"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A plugin that was found and is not imported yet."""

    record: PluginRecord
    load: Callable[[], Any]


@dataclass(kw_only=True)
class Manager:
    """The pluggy manager, and a record of each plugin in the order of loading."""

    pm: pluggy.PluginManager
    records: list[PluginRecord]

    def record(self, name: str) -> PluginRecord:
        """Return the record of the registered plugin `name`."""
        return next(r for r in self.records if r.name == name and r.status == "ok")

    def mark_failed(self, name: str, cause: str) -> None:
        """Unregister the plugin `name` with all its hooks, and record the cause."""
        record = self.record(name)
        self.pm.unregister(name=name)
        record.status, record.cause, record.components = "failed", cause.rstrip("."), []


def load(*, third_party: bool = True, registries: registry.Registries | None = None) -> Manager:
    """Find, import and register every plugin that is not disabled.

    Args:
        third_party: False loads only the bundles that ship.
        registries: the registries to use; None reads them from disk.

    Returns:
        The manager, with a record of each plugin that was found, also of failed and disabled ones.
    """
    registries = registries or registry.read()
    pm = pluggy.PluginManager(PROJECT)
    pm.add_hookspecs(HOOKSPECS)
    manager = Manager(pm=pm, records=[])
    for candidate in find_candidates(registries):
        record = candidate.record
        if not third_party and record.origin == "registry":
            continue
        if record.name in registries.disabled_by_environment:
            record.status, record.cause = "disabled", BY_ENVIRONMENT
        elif not third_party and record.origin != "bundle":
            record.status, record.cause = "disabled", BY_OPTION
        elif record.name in registries.user.disabled:
            record.status, record.cause = "disabled", f"by toolbox plugin disable {record.name}"
        elif record.status == "ok" and (cause := _conflict(record, manager.records)):
            record.status, record.cause, record.has_rival = "failed", cause, True
        manager.records.append(record)
        if record.status == "ok":
            register(manager, candidate)
    names = [record.name for record in manager.records]
    for name in sorted(registries.disabled_by_environment - {*names}):
        line = f"TOOLBOX_DISABLE names '{name}', and there is no such plugin.{did_you_mean(name, names)}"
        warnings.warn(line, PluginWarning, stacklevel=2)
    return manager


def _conflict(record: PluginRecord, earlier: Sequence[PluginRecord]) -> str:
    """Return why a plugin can't be loaded beside earlier ones: one has its name, or is the same file; empty if it can.

    A file is the same whatever its path: its components would count as those of another plugin with the same names.
    """
    for other in earlier:
        if other.name == record.name:
            origin = f"{other.distribution} {other.version}".strip() or other.source
            file = next((one.source for one in (record, other) if one.origin == "file"), None)
            remedy = "uninstall one of the two"
            if other.origin == "bundle":
                remedy = f"uninstall {record.distribution}, or give its entry point another name"
            if file is not None:
                word = shell_word(file)
                remedy = f"toolbox plugin remove {record.name}, then toolbox plugin add {word} --name ANOTHER"
            return f"the plugin '{record.name}' of {origin} has the same name; {remedy}"
        is_file = other.origin == record.origin == "file" and other.status != "disabled"
        if is_file and registry.is_same_file(Path(other.source), Path(record.source)):
            return f"it is the same file as the plugin '{other.name}': toolbox plugin remove {record.name}"
    return ""


def register(manager: Manager, candidate: Candidate) -> None:
    """Import one plugin and register it; faults go into its record."""
    record = candidate.record
    started = time.perf_counter()
    faults: list[str]
    try:
        with isolated("load") as record.changed:
            plugin = call_plugin(candidate.load)
            faults = list(find_hook_faults(manager.pm, plugin))
            if not faults:
                manager.pm.register(plugin, name=record.name)
    except KeyboardInterrupt:
        raise
    except pluggy.PluginValidationError as error:
        faults = [one_line(error)]
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        faults = [_explain_import_error(error, record)]
    record.seconds = time.perf_counter() - started
    if faults:
        record.status, record.cause = "failed", "; ".join(fault.rstrip(".") for fault in faults)


def find_candidates(registries: registry.Registries) -> Iterator[Candidate]:
    """Yield every plugin in the order of loading, without importing it."""
    user, bundle_version = registries.user, toolbox_version()
    for bundle in registries.shipped.bundles:
        record = PluginRecord(
            name=bundle.name,
            origin="bundle",
            source=bundle.module,
            distribution=DISTRIBUTION,
            version=bundle_version,
        )
        if not bundle.enabled and bundle.name not in user.enabled:
            record.status, record.cause = "disabled", "registry.toml has enabled = false"
        yield Candidate(record=record, load=partial(importlib.import_module, bundle.module))
    if registries.user_fault:
        record = PluginRecord(
            name="user-registry",
            origin="registry",
            source=str(registry.user_path()),
            status="failed",
            cause=registries.user_fault,
        )
        yield Candidate(record=record, load=lambda: None)
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: (point.name, _distribution(point)[0])):
        distribution, version = _distribution(point)
        record = PluginRecord(
            name=point.name, origin="package", source=point.value, distribution=distribution, version=version
        )
        yield Candidate(record=record, load=point.load)
    for added in user.files:
        record = PluginRecord(name=added.name, origin="file", source=str(added.file))
        yield Candidate(record=record, load=file_loader(added.name, added.file))


def file_loader(name: str, path: Path) -> Callable[[], Any]:
    """Return a function that imports a plugin from a single file, whatever the file's name."""

    def load() -> Any:  # noqa: ANN401 - any module
        module_name = f"toolbox_user_plugins_{name.replace('-', '_')}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise FileNotFoundError(path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
        return module

    return load


def _distribution(point: EntryPoint) -> tuple[str, str]:
    """Return the name and version of an entry point's distribution."""
    # Without metadata, a distribution has None for both.
    return (point.dist.name or "", point.dist.version or "") if point.dist else ("", "")


def _is_installed(package: str) -> bool:
    """Return whether a package can be found: then it is one of its modules that is missing."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _explain_import_error(error: BaseException, record: PluginRecord) -> str:
    if record.is_moved:
        remedy = f"if it was moved: toolbox plugin remove {record.name}, then toolbox plugin add NEW_PATH"
        return f"there is no file {record.source}; {remedy}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.split(".")[0]
        beside = Path(record.source).with_name(package)
        if record.origin == "file" and (beside.is_dir() or beside.with_suffix(".py").is_file()):
            return (
                f"it imports '{package}', which lies beside it, and a plugin file is loaded alone: put all into one "
                "file, or make a package with `toolbox plugin new`"
            )
        if package == PROJECT:
            return f"{named(error)}{position_in(error, record.source)}: it was written for another version of toolbox"
        if not _is_installed(package):
            return f"it needs the package '{package}', which is not installed: pip install {package}"
    if isinstance(error, SystemExit):
        return f"import failed: it exits the program ({named(error)})"
    return f"import failed: {named(error)}{position_in(error, record.source)}"
