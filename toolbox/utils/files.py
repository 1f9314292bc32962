"""Atomic writing of files and folders: a result is either complete or absent.

Data is written to a temporary file or folder beside the target (``.NAME.HOST-PID.tmp``), flushed to the disk, and then
renamed to the target. A killed process leaves at most such a temporary file, which
`toolbox.utils.temporary_files.remove_stale` deletes later.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import IO, Any

from toolbox.errors import DataError, OutputError, UsageError, one_line
from toolbox.utils import surface
from toolbox.utils.temporary_files import temporary_path, use_temporary

ARCHIVES = frozenset((".zip", ".tar", ".tgz", ".gz", ".7z", ".rar"))


def printable(path: str | Path) -> str:
    """Return `path` as printable text in one line: line breaks and invalid bytes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(path))


def describe_os_error(error: OSError) -> str:
    """Return one line about an error of the system: the path, if the error has one, and the cause."""
    cause = printable(error.strerror or str(error) or type(error).__name__)
    if isinstance(error, PermissionError):
        cause = "no permission"
    path = printable(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes | Path) else ""
    return f"{path} can't be used: {cause}" if path else cause


def require_path(path: object, name: str) -> str | os.PathLike[str]:
    """Return a path that Python code gave; an empty one would be the working folder.

    Raises:
        TypeError: it is no path.
        UsageError: it is empty.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} is a path, not a {type(path).__name__}")
    if path == "":
        raise UsageError(f"{name}: the path is empty.")
    return path


def require_readable(path: Path, option: str = "", kind: str = "file or folder") -> None:
    """Raise UsageError if a file or folder that the user named does not exist or can't be accessed.

    Args:
        path: the file or folder.
        option: the option or argument that named it, such as "--mask"; empty for none.
        kind: what it should be, for the message.
    """
    name = f"{option} {printable(path)}".strip()
    try:
        os.stat(path)
    except PermissionError as error:
        raise UsageError(f"{name} can't be read: no permission.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{name}: there is no such {kind}.") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{name}: there is no such {kind}.") from error
        raise UsageError(f"{name} can't be read: {printable(error.strerror or str(error))}.") from error
    except ValueError as error:  # a zero byte in the path
        raise UsageError(f"{name} is not a path: {error}.") from error


def require_no_pipe(path: str | Path) -> None:
    """Raise DataError if a path is a pipe or a device: reading it may never end."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise DataError(f"{printable(path)} is not a plain file")


def folder_name(folder: Path) -> str:
    """Return the printable name of a folder; for ``.`` and for a link, the name of the real folder."""
    return printable(os.path.basename(os.path.realpath(folder)))


def require_folder(path: Path, option: str = "") -> None:
    """Raise UsageError if a folder that the user named does not exist or can't be accessed; see `require_readable`."""
    require_readable(path, option, "folder")
    if not os.path.isdir(path):
        remedy = "unpack it, and name" if path.suffix.lower() in ARCHIVES else "name"
        raise UsageError(f"{option} {printable(path)} is a file; {remedy} a folder.".strip())


def require_file(path: Path, option: str = "") -> None:
    """Raise UsageError if a file that the user named does not exist or can't be accessed; see `require_readable`."""
    require_readable(path, option, "file")
    if os.path.isdir(path):
        raise UsageError(f"{option} {printable(path)} is a folder; name a file.".strip())


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, printable, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def printable_line(text: object) -> str:
    """Return an error, or any text, as printable text in one line, with single spaces."""
    return printable(one_line(text))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically.

    Raises:
        OutputError: the file can't be written; a file that was there before is unchanged.
    """
    with _open_atomic(Path(path)) as stream:
        stream.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, line ends unchanged; raises OutputError."""
    # A file name can contain bytes that are not valid Unicode. This escape is also valid in JSON.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, obj: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Write `obj` to `path` as JSON, keys in their order; raises OutputError, also for NaN, which is not valid JSON."""
    try:
        text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OutputError(f"{printable(path)} can't be written as JSON: {error}") from error
    write_text(path, text + "\n")


def write_folder(path: str | Path, fill: Callable[[Path], None]) -> None:
    """Write a folder atomically: let `fill` write into a temporary folder, then rename it to `path`.

    Args:
        path: the folder to write; it must not exist.
        fill: called with the temporary folder.

    Raises:
        OutputError: `path` exists or can't be written, or `fill` raised OSError. Other errors of `fill` are raised
            as they are. After any error, no temporary folder is left.
    """
    path = Path(path)
    temporary = temporary_path(path)
    with _os_error_as_output_error(path), use_temporary(temporary):
        if os.path.lexists(path):
            raise OutputError(f"{printable(path)} exists already: remove it or choose another name")
        temporary.mkdir()
        fill(temporary)
        for folder, _, names in os.walk(temporary):
            for name in names:
                with open(os.path.join(folder, name), "rb+") as stream:
                    os.fsync(stream.fileno())
            _sync_folder(Path(folder))
        os.rename(temporary, path)
        _sync_folder(path.parent)


def ensure_folder(path: str | Path) -> Path:
    """Create the folder `path` and its parents if missing, and return it; OutputError if it is not writable."""
    path = Path(path)
    probe = temporary_path(path / "probe")
    with _os_error_as_output_error(path):
        path.mkdir(parents=True, exist_ok=True)
        # The permission bits are not enough: root ignores them, and a read-only mount does not change them.
        with use_temporary(probe):
            probe.touch()
    return path


def require_writable(path: str | Path) -> None:
    """Raise OutputError if a file can't be written at `path`: before long work, of which the result would be lost."""
    path = Path(path)
    probe = temporary_path(path)
    with _os_error_as_output_error(path), use_temporary(probe):
        probe.touch()


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; DataError if the file can't be read, or is a pipe or a device."""
    try:
        if not S_ISREG(os.stat(path).st_mode):  # reading a pipe would wait for a writer
            raise DataError(f"{printable(path)} is not a plain file")
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{printable(path)} can't be read: {error.strerror or error}") from error


def is_flat_name(name: str) -> bool:
    """Return whether a name can be that of a file in a zip without folders, on every system."""
    return name not in ("", ".", "..") and not re.search(r"[/\\:\0]", name)


def write_flat_zip(path: str | Path, files: Sequence[tuple[str, bytes | Path]]) -> None:
    """Write a zip without folders. The same names and contents give the same bytes.

    Args:
        path: the zip to write.
        files: the name in the zip, and the content or the file that has it, in the order of the zip. They are stored
            without compression: PNG files are compressed already, and the result does not depend on zlib's version.

    Raises:
        OutputError: a name contains a folder or occurs twice, a file is a link, or the zip can't be written.
    """
    names = [name for name, _ in files]
    for name in names:
        if not is_flat_name(name):
            raise OutputError(
                f"{printable(path)}: '{printable(name)}' can't be a name in a flat zip; use a file name without folders"
            )
    if len({name.casefold() for name in names}) < len(names):
        duplicate = next(n for n in names if sum(n.casefold() == m.casefold() for m in names) > 1)
        raise OutputError(f"{printable(path)}: two files would have the name '{printable(duplicate)}' in the zip")
    with _open_atomic(Path(path)) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            if isinstance(content, Path):
                if content.is_symlink() or not content.is_file():
                    missing = None if os.path.lexists(content) else FileNotFoundError(content)
                    fault = "is not a regular file" if missing is None else "does not exist"
                    raise OutputError(f"{printable(content)} {fault}, so it can't be added to a zip") from missing
                content = content.read_bytes()
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, on every system, so that the bytes are the same
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)


@contextlib.contextmanager
def _open_atomic(path: Path) -> Iterator[IO[bytes]]:
    temporary = temporary_path(path)
    with _os_error_as_output_error(path), use_temporary(temporary):
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)


@contextlib.contextmanager
def _os_error_as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(_explain(path, error)) from error


def _explain(path: Path, error: OSError) -> str:
    if surface.current() == "page":
        return _explain_in_page(error)
    name = printable(path)
    remedy = "choose another folder"
    if _is_full(error):
        return f"No space left on the disk that holds {name}: free some or {remedy}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{name} can't be written: no permission; change the permissions or {remedy}"
    if error.errno == errno.EROFS:
        return f"{name} can't be written: the disk is mounted read-only; {remedy}"
    link = next((part for part in (path, *path.parents) if part.is_symlink() and not os.path.exists(part)), None)
    if link is not None:
        return f"{name} can't be written: {printable(link)} is a link that leads nowhere; {remedy}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{name} can't be written: a part of its path is a file, not a folder; {remedy}"
    if error.errno == errno.ENOENT:
        parent = Path(error.filename or path).parent
        if parent.is_dir():  # as in /proc
            return f"{name} can't be written: the folder {printable(parent)} takes no new files or folders; {remedy}"
        return f"{name} can't be written: the folder {printable(path.parent)} does not exist; create it or {remedy}"
    if error.errno == errno.EISDIR:
        return f"{name} can't be written: a folder has that name; {remedy}"
    return f"{name} can't be written: {printable(error.strerror or str(error))}; {remedy}"


def _explain_in_page(error: OSError) -> str:
    """Return the message without a path: the page can't choose a folder of the computer that serves it."""
    if _is_full(error):
        return "No space left on the disk that holds the album: free some, then try again"
    cause = "no permission" if isinstance(error, PermissionError) else printable(error.strerror or str(error))
    return f"The album can't be written: {cause}"


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _sync_folder(folder: Path) -> None:
    # A rename survives a power cut only after the folder is flushed too. Some systems do not allow it.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
