"""Photographs as training takes them, decoded once and kept on disk: uint8, memory-mapped, one file an entry.

An entry is found by the content of the files that it was made of, by its form (how they were scaled) and by this
module's edition; a file whose size and time are as before is not read again to know its content. Entries are written
aside and renamed, so an interrupted run leaves only whole ones, and each is checked against its checksum when it is
first used. Whatever goes wrong costs time alone: the photograph is decoded as if there were no cache.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np

from toolbox.errors import DataError, OutputError
from toolbox.utils import files
from toolbox.utils.paths import cache_dir

# Raised when the same photographs are stored differently, so that old cache files are not used.
FORMAT_VERSION = 2
SPARE = 4 << 30  # bytes that are left free on the disk
MAGIC = b"photo\n\0\0"
PREFIX = struct.Struct("<8sIQ")  # the magic, the CRC-32 of all that follows, where the head ends
ALIGN = 64
DIGESTS = "digests.json"

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A folder of entries.

    Attributes:
        folder: where they lie.
        digests: by path a file's size in bytes, its time in ns and the SHA-256 of its content.
        checked: the entries whose checksum was found right in this process.
        trouble: why nothing more is written, one line, empty while all is well.
    """

    folder: Path
    digests: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    checked: set[Path] = field(default_factory=set)
    trouble: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def has(self, paths: Sequence[Path], form: str) -> bool:
        """Return whether there is an entry, without reading any file."""
        digests = [self._known(path) for path in paths]
        return None not in digests and self._place(digests, form).is_file()

    def get(self, paths: Sequence[Path], form: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the entry of some files, made and kept if it is not there or damaged.

        Args:
            paths: the files that it is made of.
            form: what `make` does with them: all that the result depends on besides their content.
            make: gives uint8 arrays by name; what it raises comes through.

        Returns:
            Arrays that may be written to; what is written stays in memory.
        """
        try:
            place = self._place([self._digest(path) for path in paths], form)
        except (OSError, DataError):
            return make()  # which says it better
        kept = self._read(place)
        if kept is not None:
            return kept
        made = make()
        self._write(place, made)
        return made

    def save_digests(self) -> None:
        """Keep the content's digests for later runs, beside those that other processes have kept meanwhile."""
        try:
            files.write_json(self.folder / DIGESTS, _read_digests(self.folder) | self.digests)
        except OutputError:
            pass  # they are computed again

    def _known(self, path: Path) -> str | None:
        try:
            state = path.stat()
        except OSError:
            return None
        size, time, digest = self.digests.get(str(path.absolute()), (-1, 0, ""))
        return digest if (state.st_size, state.st_mtime_ns) == (size, time) else None

    def _digest(self, path: Path) -> str:
        digest = self._known(path)
        if digest is None:
            state = path.stat()  # before it is read: if it changes meanwhile, it is read again the next time
            digest = files.sha256(path)
            self.digests[str(path.absolute())] = (state.st_size, state.st_mtime_ns, digest)
        return digest

    def _place(self, digests: Sequence[str | None], form: str) -> Path:
        key = hashlib.sha256(json.dumps([FORMAT_VERSION, form, digests]).encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.bin"

    def _read(self, place: Path) -> Arrays | None:
        try:
            # Copy on write: a degradation that writes into its photograph changes nothing on the disk.
            whole = np.memmap(place, np.uint8, mode="c")
            magic, crc, end = PREFIX.unpack(whole[: PREFIX.size].tobytes())
            if place not in self.checked:
                if magic != MAGIC or crc != zlib.crc32(whole[PREFIX.size :].data):
                    return None
                self.checked.add(place)
            found, at = {}, _aligned(end)
            for name, shape in json.loads(whole[PREFIX.size : end].tobytes()).items():
                count = math.prod(shape)
                found[name] = whole[at : at + count].view(np.ndarray).reshape(shape)
                at += _aligned(count)
            return found
        except (OSError, ValueError, struct.error):
            return None

    def _write(self, place: Path, arrays: Arrays) -> None:
        data = _packed(arrays)
        with self.lock:  # two photographs of one content are one entry
            if self.trouble:
                return
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                if shutil.disk_usage(place.parent).free - len(data) < SPARE:
                    raise OutputError(f"{self.folder} has less than {SPARE >> 30} GiB left on its disk")
                files.write_bytes(place, data)
                self.checked.add(place)
            except (OSError, OutputError) as error:
                self.trouble.append(
                    f"Decoded photographs are kept no further: {str(error).partition(';')[0]}. The run goes on and "
                    "decodes the others each time. TOOLBOX_CACHE moves the cache."
                )


def open_cache() -> Cache:
    """Open the user's cache of photographs, below `toolbox.utils.paths.cache_dir`."""
    folder = cache_dir() / "photos"
    for one in folder.glob("??"):
        files.remove_stale(one)
    return Cache(folder=folder, digests=_read_digests(folder))


def _aligned(position: int) -> int:
    return -(-position // ALIGN) * ALIGN


def _packed(arrays: Arrays) -> bytes:
    head = json.dumps({name: one.shape for name, one in arrays.items()}).encode()
    end = PREFIX.size + len(head)
    body = head.ljust(_aligned(end) - PREFIX.size, b"\0")
    body += b"".join(one.tobytes().ljust(_aligned(one.size), b"\0") for one in arrays.values())
    return PREFIX.pack(MAGIC, zlib.crc32(body), end) + body


def _read_digests(folder: Path) -> dict[str, tuple[int, int, str]]:
    try:
        kept = json.loads((folder / DIGESTS).read_text("utf-8"))
        return {path: (int(size), int(time), str(digest)) for path, (size, time, digest) in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
