"""Photographs in tar files, named as WebDataset names them, read at random without unpacking."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from toolbox import ImageRef, Source

from .images import SUFFIXES, make_source


@dataclass(frozen=True)
class TarImage:
    """One image in a tar file: its position there, and what identifies the tar file's content."""

    name: str
    path: Path
    offset: int
    size: int
    stamp: str

    def read(self) -> bytes:
        """Return the bytes of the image."""
        with self.path.open("rb") as stream:
            return os.pread(stream.fileno(), self.size, self.offset)

    def identity(self) -> str:
        """Return the tar file with its size and time, and the position in it."""
        return f"{self.stamp}:{self.offset}:{self.size}"


def open_shards(location: Path) -> Source:
    """Open a tar file, or all tar files of a folder in the order of their names.

    Raises:
        ValueError: there is no tar file, or one can't be read.

    Reference: Aizman, Maltby and Breuel, High Performance I/O For Large Scale Deep Learning, 2019 (WebDataset).
    """
    shards = sorted(location.glob("*.tar")) if location.is_dir() else [location]
    if not shards or not shards[0].is_file():
        raise ValueError(f"{location} is no tar file, and no folder with tar files")
    images: dict[str, ImageRef] = {}
    for shard in shards:
        state = shard.stat()
        stamp = f"{shard.resolve()}:{state.st_size}:{state.st_mtime_ns}"
        try:
            with tarfile.open(shard, "r:") as archive:  # not compressed: only then an image has a position
                members = [member for member in archive if member.isfile()]
        except tarfile.TarError as error:
            raise ValueError(f"{shard} can't be read as an uncompressed tar file: {error}") from error
        for member in members:
            if Path(member.name).suffix.lower() not in SUFFIXES:
                continue  # captions and other parts of a sample
            if member.name in images:
                raise ValueError(f"{shard} and an earlier tar file both have {member.name}; names must be unique")
            image = TarImage(f"{shard}/{member.name}", shard, member.offset_data, member.size, stamp)
            images[member.name] = image
    return make_source(images, str(location))
