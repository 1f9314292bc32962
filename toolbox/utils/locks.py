"""Locks between processes, so that two of them don't change the same files at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from toolbox.errors import OutputError
from toolbox.utils import files


class BusyError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def hold_lock(path: Path, *, wait_seconds: float = 0.0, remove: bool = False) -> Iterator[None]:
    """Hold the lock file `path` in a folder that exists; the system releases it when the process ends.

    A file system that has no locks is used without one.

    Args:
        path: the lock file.
        wait_seconds: how long to wait for another process.
        remove: whether the lock file is deleted at the end, for a folder in which users look at the files.

    Raises:
        BusyError: another process still holds it after `wait_seconds`.
        OutputError: the lock file can't be created.
    """
    from filelock import FileLock, Timeout  # takes a moment, and few commands need it

    lock = FileLock(path, timeout=wait_seconds)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError from None
    except NotImplementedError:
        yield
        return
    except OSError as error:
        raise OutputError(f"{files.printable(path)} can't be locked: {error.strerror or error}") from error
    try:
        yield
    finally:
        if remove:
            with contextlib.suppress(OSError):  # Windows can't delete an open file
                path.unlink()
        lock.release()
