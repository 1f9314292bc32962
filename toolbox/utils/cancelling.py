"""Cancel long work from another thread, between its steps. Plugins use `toolbox.check_cancelled`.

Code that runs for a long time calls `check_cancelled` between its steps. Outside a `cancellable` block, this does
nothing. The page of `toolbox serve` restores inside such a block, so that a person can cancel a restoration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from toolbox.errors import CancelledError

_current: ContextVar[Callable[[], bool] | None] = ContextVar("_current", default=None)


@contextmanager
def cancellable(is_cancelled: Callable[[], bool]) -> Iterator[None]:
    """Let `check_cancelled` raise, in this thread, once `is_cancelled` returns True."""
    token = _current.set(is_cancelled)
    try:
        yield
    finally:
        _current.reset(token)


def check_cancelled() -> None:
    """Raise CancelledError if the current work is cancelled. A call takes less than a microsecond."""
    is_cancelled = _current.get()
    if is_cancelled is not None and is_cancelled():
        raise CancelledError("The work was cancelled.")
