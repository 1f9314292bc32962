"""What plugins print goes to stderr, because stdout has the results of a command, often as JSON."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolbox.utils import screen


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Redirect stdout to stderr, also for C libraries and child processes, which use the file descriptors."""
    with _descriptor_of_stdout(2), contextlib.redirect_stdout(sys.stderr):
        yield


@contextmanager
def native_stdout_discarded() -> Iterator[None]:
    """Discard what C libraries and child processes write to stdout."""
    with open(os.devnull, "w") as sink, _descriptor_of_stdout(sink.fileno()):
        yield


@contextmanager
def _descriptor_of_stdout(target: int) -> Iterator[None]:
    """Redirect the file descriptor of stdout to another one."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    try:
        saved = os.dup(1)
        os.dup2(target, 1)
    except OSError:  # one of the two is closed
        saved = None
    try:
        yield
    finally:
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


# How many calls into components are running in this thread.
calls = threading.local()


OWN_THREADS = "toolbox-"  # the names of toolbox's own threads begin so


def _is_of_plugin() -> bool:
    """Return whether the output of this thread is that of a plugin: a component is called in it, or it started it."""
    thread = threading.current_thread()
    is_own = thread is threading.main_thread() or thread.name.startswith(OWN_THREADS)
    return bool(getattr(calls, "depth", 0)) or not is_own


class PluginStdout:
    """A stand-in for sys.stdout that writes to sys.stderr what plugins print.

    A progress bar replaces sys.stderr while it is shown, so that lines are printed above it.
    """

    def __init__(self, stdout: Any) -> None:  # noqa: ANN401 - any text stream
        self.stdout = stdout

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Return the attribute of the stream that is in use."""
        return getattr(sys.stderr if _is_of_plugin() else self.stdout, name)


@contextmanager
def component_output_to_stderr() -> Iterator[None]:
    """Send to stderr what components print when they are called, for the time of a command."""
    stdout = sys.stdout
    if stdout is None:  # the program was started with a closed stdout
        yield
        return
    with _own_descriptor(stdout) as own:
        sys.stdout = PluginStdout(own)  # type: ignore[assignment]
        try:
            yield
        finally:
            sys.stdout = stdout


# The descriptor of the program's stdout while descriptor 1 is that of stderr.
_program_stdout: list[int] = []


@contextmanager
def _own_descriptor(stdout: Any) -> Iterator[Any]:  # noqa: ANN401 - any text stream
    """Yield a stream to the program's stdout with a descriptor of its own; descriptor 1 leads to stderr meanwhile.

    C libraries and child processes of components write to descriptor 1, and there their output can't be attributed to a
    call.
    """
    try:
        if stdout.fileno() != 1:
            raise OSError("not the program's stdout")
        stdout.flush()
        saved = os.dup(1)
    except (OSError, ValueError, AttributeError):  # a stream of a test or a notebook, or one that is closed
        yield stdout
        return
    is_direct = stdout.line_buffering or stdout.write_through
    own = open(saved, "w", buffering=1 if is_direct else -1, encoding=stdout.encoding, errors=stdout.errors)
    _program_stdout.append(saved)
    try:
        os.dup2(2, 1)
        yield own
    finally:
        _program_stdout.remove(saved)
        os.dup2(saved, 1)
        screen.close(own)


@contextmanager
def program_stdout() -> Iterator[None]:
    """Let descriptor 1 be the program's stdout: for a command of a plugin, whose output is a result."""
    if not _program_stdout:
        yield
        return
    sys.stdout.flush()
    os.dup2(_program_stdout[-1], 1)
    try:
        yield
    finally:
        os.dup2(2, 1)
