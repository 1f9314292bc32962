"""Photographs in an LMDB database: the keys are the names of the images, the values their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from toolbox import ImageRef, Source

from .images import SUFFIXES, make_source

# By path: lmdb opens a database only once in a process. The text identifies the content of the file.
_databases: dict[Path, tuple[str, Any]] = {}


@dataclass(frozen=True, eq=False)
class LmdbImage:
    """One image in a database."""

    name: str
    key: bytes
    database: Any
    stamp: str

    def read(self) -> bytes:
        """Return the bytes of the image."""
        with self.database.begin() as transaction:
            return bytes(transaction.get(self.key))

    def identity(self) -> str:
        """Return the database with its size and time, and the key."""
        return f"{self.stamp}:{self.key.decode()}"


def open_database(location: Path) -> Source:
    """Open a database: a folder with data.mdb, or a single file.

    Raises:
        ValueError: it can't be read.

    Reference: https://lmdb.readthedocs.io
    """
    file = location / "data.mdb" if location.is_dir() else location
    if not file.is_file():
        raise ValueError(f"{location} is no LMDB database: there is no {file.name}")
    state = file.stat()
    stamp = f"{file.resolve()}:{state.st_size}:{state.st_mtime_ns}"
    try:
        database = _connect(location, stamp)
        with database.begin() as transaction:
            keys = [bytes(key) for key, _ in transaction.cursor()]
    except lmdb.Error as error:
        raise ValueError(f"{location} can't be read: {error}") from error
    names = {key.decode("utf-8", "replace"): key for key in keys}
    images: dict[str, ImageRef] = {
        name: LmdbImage(f"{location}/{name}", key, database, stamp)
        for name, key in names.items()
        if Path(name).suffix.lower() in SUFFIXES
    }
    return make_source(images, str(location))


def _connect(location: Path, stamp: str) -> Any:  # noqa: ANN401 - an environment of lmdb, which has no types
    known, database = _databases.get(location.resolve(), ("", None))
    if known != stamp:
        if database is not None:
            database.close()
        database = lmdb.open(str(location), subdir=location.is_dir(), readonly=True, lock=False)
        _databases[location.resolve()] = (stamp, database)
    return database
