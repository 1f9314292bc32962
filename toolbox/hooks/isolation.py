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
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Literal

from toolbox.hooks.plugin_output import stdout_to_stderr
from toolbox.hooks.process_settings import LATE_MODULES, SETTINGS, Setting, put_torch_random, torch_random


class PluginWarning(UserWarning):
    """A plugin did something that it should not; the program corrected it and continues."""


@contextmanager
def isolated(stage: Literal["load", "build"]) -> Iterator[list[str]]:
    """Run plugin code with its output on stderr, and put back what it changes of `SETTINGS`.

    Yields:
        A list; afterwards it has the names of the settings that were changed.
    """
    with stdout_to_stderr(), put_back(stage) as changed:
        yield changed


@contextmanager
def put_back(stage: Literal["load", "build", "call"]) -> Iterator[list[str]]:
    """Put back what plugin code changes of `SETTINGS`; in the main thread also random numbers and signal handlers.

    Yields:
        A list; afterwards it has the names of the settings that were changed.
    """
    changed: list[str] = []
    is_main = threading.current_thread() is threading.main_thread()
    settings = [s for s in SETTINGS if _applies(s, stage) and (is_main or not s.main_thread_only)]
    before: dict[str, Any] = {}
    seed = _torch_seed() if is_main else None
    torch_state = torch_random() if seed is not None and stage != "load" else b""

    def read(module: str) -> None:
        # A module that the plugin imports has its defaults when its import ends.
        before.update({s.name: s.get() for s in settings if s.module == module and s.name not in before})

    for name in {setting.module for setting in settings} & sys.modules.keys():
        read(name)
    watcher = _ImportWatcher(read)
    sys.meta_path.insert(0, watcher)
    try:
        yield changed
    finally:
        sys.meta_path.remove(watcher)
        for setting in settings:
            if setting.name in before and setting.get() != before[setting.name]:
                setting.put(before[setting.name])
                changed.append(setting.name)
        if torch_state and _torch_seed() != seed:
            put_torch_random(torch_state)
            changed.append("torch's seed")


def _applies(setting: Setting, stage: Literal["load", "build", "call"]) -> bool:
    return stage == "load" or (setting.at_build and (stage == "build" or setting.at_call))


def _torch_seed() -> int | None:
    return int(sys.modules["torch"].initial_seed()) if "torch" in sys.modules else None


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
