"""Where a person reads a message: at the command line, or in the page of `toolbox serve`.

Each place has controls of its own. A message that says what to do names those of the place in which it is read, so
code that the page reaches takes such words from `words`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Surface = Literal["command", "page"]

_current: ContextVar[Surface] = ContextVar("_current", default="command")


@contextmanager
def shown_in(surface: Surface) -> Iterator[None]:
    """Let `words` return the words for `surface`, in this thread or task."""
    token = _current.set(surface)
    try:
        yield
    finally:
        _current.reset(token)


def is_page() -> bool:
    """Return whether messages are read in the page."""
    return _current.get() == "page"


def words(*, command: str, page: str) -> str:
    """Return the words for the place in which the message is read.

    Args:
        command: names options and commands.
        page: names the controls of the page, as `toolbox/web/static/texts/en.json` calls them.
    """
    return page if is_page() else command
