"""Call a component, undo its changes of the process's state, and give one warning that names it."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolation import PluginWarning, Snapshot
from toolbox.utils.versions import DISTRIBUTION

P = ParamSpec("P")
R = TypeVar("R")

# The calls of a component that ships with toolbox in which its changes are looked for. Of others it is all calls; each
# takes some 0.2 ms more, and a training step has about ten calls.
SHIPPED_CALLS = 16


@dataclass(kw_only=True, eq=False)
class RunningCall:
    """A call of a component that runs.

    Attributes:
        entry: the component's entry.
        snapshot: the settings of the process before the call.
        others: the entries of the components that ran in other threads meanwhile.
        thread: the thread of the call.
    """

    entry: Entry
    snapshot: Snapshot
    others: list[Entry] = field(default_factory=list)
    thread: int = field(default_factory=threading.get_ident)


_lock = threading.Lock()  # held while a call begins or ends
_running: list[RunningCall] = []
# A call that overlapped with others: the settings that can't be compared meanwhile are compared when no call runs.
_undecided: list[RunningCall] = []
_warned: set[str] = set()  # the warnings that were given
_shipped_calls: Counter[tuple[str, str]] = Counter()  # by kind and name


def call_isolated(entry: Entry | None, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a component as `blame.call` does, put back what it changes of the process, and name it in a warning."""
    if entry is None or not _is_watched(entry):
        return blame.call(entry, function, *args, **kwargs)
    with changes_put_back(entry):
        return blame.call(entry, function, *args, **kwargs)


def _is_watched(entry: Entry) -> bool:
    if entry.distribution != DISTRIBUTION:
        return True
    key = (entry.kind, entry.spec.name)
    _shipped_calls[key] += 1
    return _shipped_calls[key] <= SHIPPED_CALLS


@contextmanager
def changes_put_back(entry: Entry) -> Iterator[None]:
    """Put back what a component changes of the process in this context, and name it in a warning.

    The components that ran in other threads meanwhile are named too: nobody can know which of them it was.
    """
    call = _begin(entry)
    try:
        with call.snapshot.imports_watched():
            yield
    finally:
        _end(call)


def _begin(entry: Entry) -> RunningCall:
    with _lock:
        ended, changed = _decide()
        call = RunningCall(entry=entry, snapshot=Snapshot("call"))
        for other in _running:
            if other.thread != call.thread:
                other.others.append(entry)
                call.others.append(other.entry)
        _running.append(call)
    if ended is not None:
        _warn(ended, changed)
    return call


def _decide() -> tuple[RunningCall | None, list[str]]:
    """Compare what could not be compared when an earlier call ended; return that call, and what it changed."""
    if _running or not _undecided or threading.current_thread() is not threading.main_thread():
        return None, []
    call = _undecided.pop()
    return call, [*call.snapshot.restore(any_time=False)]


def _end(call: RunningCall) -> None:
    with _lock:
        _running.remove(call)
        changed = call.snapshot.restore(only_alone=not call.others)
        for other in _running:
            if other.thread != call.thread:  # it began after the change, which it must not take for the original value
                for name, value in changed.items():
                    if name in other.snapshot.before and other.snapshot.before[name] == value:
                        other.snapshot.before[name] = call.snapshot.before[name]
        if call.others and _undecided:
            _undecided[0].others += [call.entry, *call.others]
        elif call.others and threading.current_thread() is threading.main_thread():
            _undecided.append(call)
    _warn(call, [*changed])


def _warn(call: RunningCall, changed: Sequence[str]) -> None:
    if not changed:
        return
    entries = [call.entry, *call.others]
    # Components that ship with toolbox are only named if there are no others.
    suspects = [entry for entry in entries if entry.distribution != DISTRIBUTION] or entries
    titles = list(dict.fromkeys(blame.title(entry) for entry in suspects))
    who = titles[0] if len(titles) == 1 else f"One of these, which ran at the same time: {'; '.join(titles)}:"
    line = f"{who} changed {', '.join(changed)} in a call, which was put back"
    if line not in _warned:
        _warned.add(line)
        warnings.warn(line, PluginWarning, stacklevel=4)
