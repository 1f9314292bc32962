"""Atomic writing for everything the project writes: a file is there whole, or not at all.

Everything is written aside in the same folder (``.NAME.HOST-PID.tmp``), flushed to the disk, and renamed. A
process that is killed leaves at most such an aside, which `remove_stale` takes away at the next start.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from toolbox.errors import DataError, OutputError

_ASIDE = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)\.tmp")
_LONGEST_NAME = 255
# Several machines may write to one folder, and a PID says something on its own machine alone.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_DAY = 86_400
# What this process has in hand right now: after a restart in a container the same PID means nothing.
_in_hand: set[Path] = set()


def shown(path: str | Path) -> str:
    """Return `path` as text that fits in one line and can be printed: line breaks, stray bytes escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(path))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all.

    Raises:
        OutputError: it can't be written; what was there before is untouched.
    """
    with _aside_file(Path(path)) as stream:
        stream.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with its line ends as they are; raises OutputError."""
    # A file name may hold bytes that are no Unicode; escaped so, they are valid in JSON as well.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, obj: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Write `obj` to `path` as JSON, keys in the order given; NaN, which JSON lacks, is an OutputError."""
    try:
        text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OutputError(f"{shown(path)} can't be written as JSON: {error}") from error
    write_text(path, text + "\n")


def write_folder(path: str | Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a temporary folder beside `path`, then rename it to `path`.

    Args:
        path: the folder to make; it must not exist yet.
        fill: called with the temporary folder.

    Raises:
        OutputError: `path` exists or can't be written. Whatever `fill` raises comes through, OSError as
            OutputError; in every case nothing is left behind.
    """
    path = Path(path)
    aside = _aside_of(path)
    with _explained(path), _held(aside):
        if os.path.lexists(path):
            raise OutputError(f"{shown(path)} exists already: remove it or choose another name")
        aside.mkdir()
        fill(aside)
        for folder, _, names in os.walk(aside):
            for name in names:
                with open(os.path.join(folder, name), "rb+") as stream:
                    os.fsync(stream.fileno())
            _sync_folder(Path(folder))
        os.rename(aside, path)
        _sync_folder(path.parent)


def ensure_folder(path: str | Path) -> Path:
    """Make the folder `path` with its parents, and see that it can be written; raises OutputError."""
    path = Path(path)
    probe = _aside_of(path / "probe")
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)
        # Permissions alone don't tell: root passes them all, and a read-only mount has them set.
        with _held(probe):
            probe.touch()
    return path


def remove_stale(folder: str | Path) -> list[Path]:
    """Remove from `folder` what dead processes left aside there, those of other machines after a day.

    Returns:
        What was removed, sorted. A folder that is not there holds nothing stale.
    """
    removed = []
    try:
        found = sorted(Path(folder).glob(".*.tmp"))
    except OSError:  # a path that is too long: nothing was ever written there
        return []
    for path in found:
        match = _ASIDE.fullmatch(path.name)
        if match and path not in _in_hand and not _may_be_at_work(match[1], int(match[2]), path):
            _remove(path)
            removed.append(path)
    return removed


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of the file in hexadecimal digits; raises DataError if it can't be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{shown(path)} can't be read: {error.strerror or error}") from error


def zip_flat(path: str | Path, files: Sequence[tuple[str, bytes | Path]]) -> None:
    """Write a zip without folders, the same byte for byte whenever the names and contents are the same.

    Args:
        path: the zip to write.
        files: name in the zip and content (or the file that has it), in the order wanted. Stored, not
            deflated: what goes in is PNG, and stored bytes don't depend on the version of zlib.

    Raises:
        OutputError: a name with a folder in it, a name twice, a link in place of a file, or a failed write.
    """
    names = [name for name, _ in files]
    for name in names:
        if name in ("", ".", "..") or re.search(r"[/\\:\0]", name):
            raise OutputError(f"{shown(path)}: '{shown(name)}' can't be a name in a flat zip")
    if len({name.casefold() for name in names}) < len(names):
        twice = next(n for n in names if sum(n.casefold() == m.casefold() for m in names) > 1)
        raise OutputError(f"{shown(path)}: two files would have the name '{shown(twice)}' in the zip")
    with _aside_file(Path(path)) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            if isinstance(content, Path):
                if content.is_symlink() or not content.is_file():
                    raise OutputError(f"{shown(content)} is not a plain file, so it isn't put in a zip")
                content = content.read_bytes()
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)


@contextlib.contextmanager
def _aside_file(path: Path) -> Iterator[IO[bytes]]:
    aside = _aside_of(path)
    with _explained(path), _held(aside):
        with open(aside, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
        _sync_folder(path.parent)


def _aside_of(path: Path, host: str = _HOST, pid: int | None = None) -> Path:
    tail = f".{host}-{os.getpid() if pid is None else pid}.tmp"
    name = path.name
    if len(os.fsencode(name)) + len(tail) + 1 > _LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = os.fsencode(name)[:180].decode("utf-8", "ignore") + digest
    return path.parent / f".{name}{tail}"


@contextlib.contextmanager
def _held(aside: Path) -> Iterator[None]:
    _remove(aside)
    _in_hand.add(aside)
    try:
        yield
    finally:
        _remove(aside)
        _in_hand.discard(aside)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(_explain(path, error)) from error


def _explain(path: Path, error: OSError) -> str:
    name = shown(path)
    other = "choose another folder with --out"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"No space left on the disk that holds {name}: free some or {other}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{name} can't be written: no permission; change it or {other}"
    if error.errno == errno.EROFS:
        return f"{name} can't be written: the disk is mounted read-only; {other}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{name} can't be written: a part of its path is a file, not a folder; {other}"
    if error.errno == errno.ENOENT:
        return f"{name} can't be written: the folder {shown(path.parent)} is not there; make it or {other}"
    if error.errno == errno.EISDIR:
        return f"{name} can't be written: a folder has that name; {other}"
    return f"{name} can't be written: {shown(error.strerror or str(error))}; {other}"


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    # A rename survives a power cut only once the folder is on the disk too; not every system lets it.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _may_be_at_work(host: str, pid: int, aside: Path) -> bool:
    if (host, pid) == (_HOST, os.getpid()):
        return False
    # Of another machine's processes nothing is known, and on Windows signal 0 would not ask but interrupt; a day is
    # longer than any write.
    if host != _HOST or os.name == "nt":
        with contextlib.suppress(OSError):
            return time.time() - aside.stat().st_mtime < _DAY
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
