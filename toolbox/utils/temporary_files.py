"""Temporary files and folders beside a target, and those that processes left when they were killed.

Their names are ``.NAME.HOST-PID.tmp``, so that another process can tell whether the process that made them still runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY_NAME = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)\.tmp")
_MAX_NAME_BYTES = 255
# Several machines may write to one folder, and a process ID identifies a process on its own machine only.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_DAY_SECONDS = 86_400
# The temporary paths that this process uses now. Its process ID alone is not enough to recognise them: after a
# restart in a container, a new process can have the ID of the old one.
_in_use: set[Path] = set()


def temporary_path(path: Path, host: str = _HOST, pid: int | None = None) -> Path:
    """Return the temporary path beside `path` for a process of a machine, by default this process."""
    tail = f".{host}-{os.getpid() if pid is None else pid}.tmp"
    name = path.name
    if len(os.fsencode(name)) + len(tail) + 1 > _MAX_NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = os.fsencode(name)[:180].decode("utf-8", "ignore") + digest
    return path.parent / f".{name}{tail}"


@contextlib.contextmanager
def use_temporary(path: Path) -> Iterator[None]:
    """Mark `path` as in use, and remove it before and after."""
    _remove(path)
    _in_use.add(path)
    try:
        yield
    finally:
        _remove(path)
        _in_use.discard(path)


def remove_stale(folder: str | Path) -> list[Path]:
    """Delete temporary files in `folder` whose processes have ended.

    Those of other machines are deleted when they are older than a day.

    Returns:
        The deleted paths, sorted; an empty list if `folder` does not exist.
    """
    stale = find_stale(folder)
    for path in stale:
        _remove(path)
    return stale


def find_stale(folder: str | Path) -> list[Path]:
    """Return the temporary files that `remove_stale` deletes, sorted."""
    try:
        candidates = sorted(Path(folder).glob(".*.tmp"))
    except OSError:  # a path that is too long was never written to
        return []
    matches = [(path, _TEMPORARY_NAME.fullmatch(path.name)) for path in candidates if path not in _in_use]
    return [path for path, match in matches if match and not _may_be_active(match[1], int(match[2]), path)]


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _may_be_active(host: str, pid: int, temporary: Path) -> bool:
    """Return whether the process that owns a temporary path may still be writing to it."""
    if (host, pid) == (_HOST, os.getpid()):
        return False
    # Processes of another machine can't be queried, and on Windows signal 0 would interrupt the process. No write
    # takes a day.
    if host != _HOST or os.name == "nt":
        with contextlib.suppress(OSError):
            return time.time() - temporary.stat().st_mtime < _DAY_SECONDS
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
