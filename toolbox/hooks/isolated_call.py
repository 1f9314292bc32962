"""Call a component, undo its changes of the process's state, and give one warning that names it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolation import PluginWarning, put_back

P = ParamSpec("P")
R = TypeVar("R")

# Held by the first of several calls: a second one would take the changes of the first for the original state.
_running = threading.Lock()
# The warnings that were given, and the titles of the components that have changed something.
_warned: set[str] = set()
_changing: set[str] = set()


def call_isolated(entry: Entry | None, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a component as `blame.call` does, and put back what it changes of the process.

    While another isolated call runs, in another thread or around this one, nothing is put back.
    """
    if entry is None or not _running.acquire(blocking=False):
        return blame.call(entry, function, *args, **kwargs)
    changed: list[str] = []
    try:
        with put_back("call") as changed:
            return blame.call(entry, function, *args, **kwargs)
    finally:
        _running.release()
        _warn(entry, changed)


def call_watched(
    entry: Entry | None, is_early: bool, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> R:
    """Call a component isolated if this is one of its first calls, or if it has changed something before.

    For components that are called so often that it would cost too much to watch all of them.
    """
    is_isolated = is_early or (entry is not None and blame.title(entry) in _changing)
    return (call_isolated if is_isolated else blame.call)(entry, function, *args, **kwargs)


def _warn(entry: Entry, changed: list[str]) -> None:
    if not changed:
        return
    _changing.add(blame.title(entry))
    line = f"{blame.title(entry)} changed {', '.join(changed)} in a call, which was put back"
    if line not in _warned:
        _warned.add(line)
        warnings.warn(line, PluginWarning, stacklevel=3)
