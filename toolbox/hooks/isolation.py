"""Run the code of plugins so that it does not disturb the program.

What a plugin prints goes to stderr, because stdout has the results of a command, often as JSON. What its import, its
hooks or `build` change of the process (working folder, random seeds, threads and so on) is put back and named.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from toolbox.hooks.plugin_output import stdout_to_stderr
from toolbox.hooks.process_settings import (
    LATE_MODULES,
    SETTINGS,
    STAGES,
    Setting,
    Stage,
    own_seeds,
    put_torch_random,
    torch_random,
    torch_seed,
)


class PluginWarning(UserWarning):
    """A plugin did something that it should not; the program corrected it and continues."""


@contextmanager
def isolated(stage: Stage) -> Iterator[list[str]]:
    """Run plugin code with its output on stderr, and put back what it changes of `SETTINGS`.

    Yields:
        A list; afterwards it has the names of the settings that were changed.
    """
    with stdout_to_stderr(), put_back(stage) as changed:
        yield changed


@contextmanager
def put_back(stage: Stage) -> Iterator[list[str]]:
    """Put back what plugin code changes of `SETTINGS`; in the main thread also signal handlers and the like.

    Yields:
        A list; afterwards it has the names of the settings that were changed.
    """
    changed: list[str] = []
    snapshot = Snapshot(stage)
    try:
        with snapshot.imports_watched():
            yield changed
    finally:
        changed += snapshot.restore()


class Snapshot:
    """The values of `SETTINGS` at one time, as far as plugin code of a stage must not change them.

    Attributes:
        before: the values by the names of their settings. Without those of modules that are not imported.
    """

    def __init__(self, stage: Stage) -> None:
        """Read the settings; in the main thread also signal handlers and the like."""
        is_main = threading.current_thread() is threading.main_thread()
        self._settings = _settings_of(stage, is_main)
        self.before = {setting.name: setting.get() for setting in self._settings if setting.module in sys.modules}
        self._seed = torch_seed()
        self._torch_state = torch_random() if self._seed is not None and stage != "load" else b""

    @contextmanager
    def imports_watched(self) -> Iterator[None]:
        """Read the settings of modules that are imported in this context; they have their defaults at that time."""
        if sys.modules.keys() >= LATE_MODULES:
            yield
            return
        watcher = _ImportWatcher(self._read)
        sys.meta_path.insert(0, watcher)
        try:
            yield
        finally:
            sys.meta_path.remove(watcher)

    def _read(self, module: str) -> None:
        wanted = [s for s in self._settings if s.module == module and s.name not in self.before]
        self.before.update({setting.name: setting.get() for setting in wanted})

    def restore(self, *, any_time: bool = True, only_alone: bool = True) -> dict[str, Any]:
        """Put back the settings that have changed since then; return the values that they had, by their names.

        Args:
            any_time: False leaves out the settings that can be compared while other plugin code runs.
            only_alone: False leaves out those that can't.
        """
        changed: dict[str, Any] = {}
        for setting in self._settings:
            if setting.name in self.before and (only_alone if setting.only_alone else any_time):
                value = setting.get()
                if value != self.before[setting.name]:
                    setting.put(self.before[setting.name])
                    changed[setting.name] = value
        if any_time and self._torch_state and torch_seed() not in (self._seed, *own_seeds):
            put_torch_random(self._torch_state)
            changed["torch's seed"] = None
        return changed


@cache
def _settings_of(stage: Stage, is_main: bool) -> list[Setting]:
    allowed = [setting for setting in SETTINGS if STAGES.index(stage) <= STAGES.index(setting.last)]
    return [setting for setting in allowed if is_main or not setting.main_thread_only]


class _ImportWatcher(MetaPathFinder):
    """Call `read` with the name of each of `LATE_MODULES` as soon as it has been imported."""

    def __init__(self, read: Callable[[str], None]) -> None:
        self.read = read
        self.searching = False

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders find, with a loader that calls `read` afterwards."""
        if self.searching or name not in LATE_MODULES:
            return None
        self.searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searching = False
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_read(module: ModuleType) -> None:
                load(module)
                self.read(name)

            spec.loader.exec_module = load_and_read  # type: ignore[method-assign]
        return spec
