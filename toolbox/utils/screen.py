"""Print lines on stdout and stderr so that an error of the terminal never ends the work.

The reader of a pipe may have closed it, the disk of a redirected output may be full, its encoding may lack a letter.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

import click

# The first failure of stdout or stderr in this process.
_failures: list[OSError] = []


def echo(text: str, *, err: bool = False) -> None:
    """Print a line on stdout, or on stderr. If that fails, this stream stays silent; `take_failure` returns why."""
    try:
        click.echo(text, err=err)
    except OSError as error:
        add_failure(error, err=err)


def add_failure(error: OSError, *, err: bool = False) -> None:
    """Record that stdout, or stderr, could not be written, and discard what is written to it from now on."""
    _failures.append(error)
    _silence(sys.stderr if err else sys.stdout)


def is_of_output(error: OSError) -> bool:
    """Return whether `click.echo` has raised an error, which then is about stdout or stderr, not about a file."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_code is click.echo.__code__


def open_missing_streams() -> None:
    """Open the null device for each standard stream that the program was started without, as by ``2>&-``.

    Otherwise the next file that is opened would get the descriptor, and what libraries print would land in it.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, closefd=False))


def end_stdout() -> None:
    """Write what is buffered of the program's stdout; what plugins print from now on, as it ends, goes to stderr."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        sys.stdout = sys.stderr


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal. A program that was started with a closed stream has None in its place."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it was closed since
        return False


def escape_unprintable() -> None:
    """Have stdout and stderr write the hexadecimal code of a character that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def close(stream: TextIO) -> None:
    """Write what is buffered and close the stream; `take_failure` returns why that failed."""
    try:
        stream.flush()
    except OSError as error:
        _failures.append(error)
        _silence(stream)
    with contextlib.suppress(OSError, ValueError):
        stream.close()


def take_failure() -> OSError | None:
    """Return the first failure of stdout or stderr since the last call, or None. What is buffered is written before."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            _failures.append(error)
            _silence(stream)
        except (AttributeError, ValueError):  # there is no such stream, or it was closed
            continue
    first = _failures[0] if _failures else None
    _failures.clear()
    return first


def _silence(stream: object) -> None:
    """Discard what is written to a stream, so that Python does not fail on it at exit either."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())  # type: ignore[attr-defined]
        os.close(descriptor)
