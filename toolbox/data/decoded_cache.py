"""A cache of decoded photographs: uint8 arrays on disk, memory-mapped, one file for each entry.

The name of an entry is the hash of its source files' content, of the preprocessing and of `FORMAT_VERSION`. The
content of a source file is hashed again only if its size or its modification time has changed. Entries are written
atomically, and each process verifies the checksum of an entry when it first reads it. A failure of the cache never
ends a run: the photograph is decoded as if there were no cache.
"""

from __future__ import annotations

import contextlib
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
from toolbox.utils import files, temporary_files
from toolbox.utils.image_ref import ImageRef
from toolbox.utils.json_values import parse_json
from toolbox.utils.paths import cache_dir

# Raised when the same photographs are stored differently, so that old cache files are not used.
FORMAT_VERSION = 2
MIN_FREE_BYTES = 4 << 30  # on the disk of the cache; with less nothing is added
MAGIC = b"photo\n\0\0"
PREFIX = struct.Struct("<8sIQ")  # the magic, the CRC-32 of all bytes after the prefix, the end of the JSON header
ALIGNMENT = 64  # bytes
DIGESTS = "digests.json"

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class DecodedCache:
    """A folder of cache entries.

    Attributes:
        folder: the folder.
        digests: size in bytes, modification time in ns and SHA-256 of each source file, by its path.
        verified: the entries whose checksum this process has verified.
        write_failures: why nothing more is added, one line; empty as long as writing works.
        lock: guards writing.
    """

    folder: Path
    digests: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    verified: set[Path] = field(default_factory=set)
    write_failures: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def contains(self, sources: Sequence[Path | ImageRef], preprocessing: str) -> bool:
        """Return whether there is an entry, without reading any file."""
        digests = [self._known_digest(path) for path in sources]
        return None not in digests and self._entry_path(digests, preprocessing).is_file()

    def get_or_make(self, sources: Sequence[Path | ImageRef], preprocessing: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the entry of some source files; make and store it if it is missing or damaged.

        Args:
            sources: the source files.
            preprocessing: everything besides the files' content that the arrays depend on, as text.
            make: returns uint8 arrays by name. Its errors are raised as they are.

        Returns:
            Arrays that may be written to; the changes stay in memory.
        """
        try:
            path = self._entry_path([self.digest(source) for source in sources], preprocessing)
        except (OSError, DataError):
            return make()  # its error message is better
        stored = self._read(path)
        if stored is not None:
            return stored
        made = make()
        self._write(path, made)
        return made

    def save_digests(self) -> None:
        """Store the digests for later runs, together with those that other processes have stored."""
        try:
            files.ensure_folder(self.folder)
            files.write_json(self.folder / DIGESTS, _read_digests(self.folder) | self.digests)
        except OutputError:
            pass  # later runs compute them again

    def _known_digest(self, path: Path | ImageRef) -> str | None:
        if not isinstance(path, Path):
            return hashlib.sha256(path.identity().encode()).hexdigest()
        try:
            state = path.stat()
        except OSError:
            return None
        size, time, digest = self.digests.get(str(path.absolute()), (-1, 0, ""))
        return digest if (state.st_size, state.st_mtime_ns) == (size, time) else None

    def digest(self, path: Path | ImageRef) -> str:
        """Return the SHA-256 of a file, or of a reference's identity; OSError or DataError if it can't be read."""
        digest = self._known_digest(path)
        if digest is None:
            assert isinstance(path, Path)
            state = path.stat()  # before reading: a file that changes meanwhile is read again the next time
            digest = files.sha256(path)
            self.digests[str(path.absolute())] = (state.st_size, state.st_mtime_ns, digest)
        return digest

    def _entry_path(self, digests: Sequence[str | None], preprocessing: str) -> Path:
        key = hashlib.sha256(json.dumps([FORMAT_VERSION, preprocessing, digests]).encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.bin"

    def _read(self, path: Path) -> Arrays | None:
        try:
            # Copy on write: a degradation that writes into its photograph does not change the file.
            data = np.memmap(path, np.uint8, mode="c")
            magic, crc, end = PREFIX.unpack(data[: PREFIX.size].tobytes())
            if path not in self.verified:
                if magic != MAGIC or crc != zlib.crc32(data[PREFIX.size :].data):
                    return None
                self.verified.add(path)
            arrays, position = {}, _aligned(end)
            for name, shape in parse_json(data[PREFIX.size : end].tobytes()).items():
                count = math.prod(shape)
                arrays[name] = data[position : position + count].view(np.ndarray).reshape(shape)
                position += _aligned(count)
            return arrays
        except (OSError, ValueError, struct.error):
            return None

    def _write(self, path: Path, arrays: Arrays) -> None:
        data = _pack(arrays)
        with self.lock:  # two photographs with the same content have the same entry
            if self.write_failures:
                return
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if shutil.disk_usage(path.parent).free - len(data) < MIN_FREE_BYTES:
                    raise OutputError(f"the disk of {self.folder} has less than {MIN_FREE_BYTES >> 30} GiB free")
                files.write_bytes(path, data)
                self.verified.add(path)
            except (OSError, OutputError) as error:
                cause = files.describe_os_error(error) if isinstance(error, OSError) else str(error).partition(";")[0]
                self.write_failures.append(
                    f"No more decoded photographs are stored: {cause}. The run continues and "
                    "decodes the remaining ones each time. Set TOOLBOX_CACHE to another folder, or free space."
                )


def open_cache() -> DecodedCache:
    """Open the user's cache of photographs, below `toolbox.utils.paths.cache_dir`."""
    folder = cache_dir() / "photos"
    with contextlib.suppress(OSError):  # without permission for the folder, nothing is stored
        for subfolder in folder.glob("??"):
            temporary_files.remove_stale(subfolder)
    return DecodedCache(folder=folder, digests=_read_digests(folder))


def _aligned(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT


def _pack(arrays: Arrays) -> bytes:
    header = json.dumps({name: array.shape for name, array in arrays.items()}).encode()
    end = PREFIX.size + len(header)
    body = header.ljust(_aligned(end) - PREFIX.size, b"\0")
    body += b"".join(array.tobytes().ljust(_aligned(array.size), b"\0") for array in arrays.values())
    return PREFIX.pack(MAGIC, zlib.crc32(body), end) + body


def _read_digests(folder: Path) -> dict[str, tuple[int, int, str]]:
    try:
        stored = parse_json((folder / DIGESTS).read_text("utf-8"))
        return {path: (int(size), int(time), str(digest)) for path, (size, time, digest) in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
