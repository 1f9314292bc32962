"""Where a person reads a message: at the command line, in the page of `toolbox serve`, or in a Python program.

Each place has controls of its own. A message that says what to do names those of the place in which it is read, so
code that more than one of them reaches takes such words from `words`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Surface = Literal["command", "page", "python"]

_current: ContextVar[Surface | None] = ContextVar("_current", default=None)
# What holds in threads and tasks without a surface of their own.
_of_process: list[Surface] = ["python"]


@contextmanager
def shown_in(surface: Surface) -> Iterator[None]:
    """Let `words` return the words for `surface`, in this thread or task."""
    token = _current.set(surface)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def command_line() -> Iterator[None]:
    """Let `words` return the words for the command line, in all threads that have no surface of their own."""
    _of_process.append("command")
    try:
        yield
    finally:
        _of_process.pop()


def current() -> Surface:
    """Return where messages are read."""
    return _current.get() or _of_process[-1]


def option(name: str, *, page: str = "") -> str:
    """Return what an option such as "held-out" is called where the message is read.

    At the command line ``--held-out``, in a Python program the parameter ``held_out``, in the page `page`.
    """
    return words(command=f"--{name}", python=name.replace("-", "_"), page=page)


def words(*, command: str, python: str, page: str = "") -> str:
    """Return the words for the place in which the message is read.

    Args:
        command: names options and commands.
        python: names parameters and functions.
        page: names the controls of the page, as `toolbox/web/static/texts/en.json` calls them; "" for a message that is
            not shown there, or that needs no more words there.
    """
    return {"command": command, "python": python, "page": page}[current()]
