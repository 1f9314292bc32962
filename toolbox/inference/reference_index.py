"""Keep the index of a folder of references in the cache, and choose from it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from toolbox.color import integer_luma
from toolbox.errors import DataError, OutputError
from toolbox.guidance.photo_index import (
    NO_WORDS,
    QUERY_FEATURES,
    WORDS,
    PhotoIndex,
    describe,
    draw_vocabulary,
    quantize,
)
from toolbox.imaging import io
from toolbox.imaging.pixels import to_8bit
from toolbox.utils import files
from toolbox.utils.json_values import parse_json
from toolbox.utils.paths import cache_dir

# A folder of more photographs gets an index; the references of a smaller one are all compared.
MIN_PHOTOS = 24
CANDIDATES = 12
_FORMAT = "1"
# The words are drawn from this many photographs, spread over the folder.
_VOCABULARY_PHOTOS = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceIndex:
    """The references of a run, with an index of them.

    Attributes:
        paths: the photographs.
        index: their words, in the same order.
        named: references that are compared with every photograph.
    """

    paths: tuple[Path, ...]
    index: PhotoIndex
    named: tuple[Path, ...] = ()

    def candidates(self, gray: np.ndarray, lost: np.ndarray) -> list[Path]:
        """Return the likeliest references of a photograph (H, W) uint8, without its lost region (H, W) bool."""
        numbers = self.index.find(describe(gray, lost, QUERY_FEATURES), CANDIDATES)
        return [*self.named, *(self.paths[number] for number in numbers)]


def build_index(
    paths: Sequence[Path], *, max_pixels: int = io.MAX_PIXELS, advance: Callable[[], None] = lambda: None
) -> ReferenceIndex:
    """Return the index of photographs. It is kept in the cache; photographs that have not changed are not read again.

    Args:
        paths: the photographs.
        max_pixels: larger photographs are left out, like those that can't be read.
        advance: called after each photograph.
    """
    keys = [_key(path) for path in paths]
    cached = _Cache.read(paths)
    vocabulary, known = cached.vocabulary, cached.words
    described: dict[Path, np.ndarray] = {}

    def describe_file(path: Path) -> np.ndarray:
        return _describe(path, max_pixels)

    def words_of(path: Path) -> np.ndarray:
        return quantize(described[path] if path in described else describe_file(path), vocabulary)

    words = []
    # The decoders and the search for features run outside Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if 2 * sum(key in known for key in keys) < len(keys):
            drawn = paths[:: max(1, len(paths) // _VOCABULARY_PHOTOS)]
            described = dict(zip(drawn, pool.map(describe_file, drawn), strict=True))
            vocabulary, known = draw_vocabulary(list(described.values()), WORDS), {}
        missing = pool.map(words_of, [path for path, key in zip(paths, keys, strict=True) if key not in known])
        for key in keys:
            words.append(known[key] if key in known else next(missing))
            advance()
    if set(keys) != known.keys():
        _Cache(vocabulary=vocabulary, words=dict(zip(keys, words, strict=True))).write(paths)
    index = PhotoIndex(vocabulary=vocabulary, words=tuple(words))
    index.prepare()
    return ReferenceIndex(paths=tuple(paths), index=index)


def _describe(path: Path, max_pixels: int) -> np.ndarray:
    try:
        pixels = to_8bit(io.read(path, max_pixels=max_pixels, accept_cut=True).pixels)
    except DataError:
        return np.empty((0, 128), np.float32)
    return describe(pixels if pixels.ndim == 2 else integer_luma(pixels))


def _key(path: Path) -> str:
    """Return a key that changes when the photograph changes: of its path, its size and its time of change."""
    try:
        state = path.stat()
    except OSError:
        return str(path.absolute())
    return f"{path.absolute()}|{state.st_size}|{state.st_mtime_ns}"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cache:
    """What is in the file: the vocabulary (V, 128), and the words of each photograph by its key."""

    vocabulary: np.ndarray
    words: dict[str, np.ndarray]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> _Cache:
        """Return the index of these photographs' folders from the cache; an empty one if there is none."""
        try:
            with safe_open(_cache_path(paths), "numpy") as file:
                if file.metadata()["format"] != _FORMAT:
                    raise KeyError("format")
                keys = parse_json(file.metadata()["keys"])
                vocabulary, joined, ends = (file.get_tensor(name) for name in ("vocabulary", "words", "ends"))
            words = np.split(joined, ends)[: len(keys)]
            return cls(vocabulary=vocabulary, words=dict(zip(keys, words, strict=True)))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):  # it is made again
            return cls(vocabulary=np.empty((0, 128), np.float32), words={})

    def write(self, paths: Sequence[Path]) -> None:
        """Write the cache file, if the cache can be written to."""
        words = list(self.words.values())
        tensors = {
            "vocabulary": self.vocabulary,
            "words": np.concatenate([NO_WORDS, *words]),
            "ends": np.cumsum([len(one) for one in words], dtype=np.int64),
        }
        path = _cache_path(paths)
        with contextlib.suppress(OutputError):  # the next call makes the index again
            files.ensure_folder(path.parent)
            files.write_bytes(path, save(tensors, {"format": _FORMAT, "keys": json.dumps(list(self.words))}))


def _cache_path(paths: Sequence[Path]) -> Path:
    """Return the file of the cache: one for each set of folders."""
    folders = sorted({str(path.parent.absolute()) for path in paths})
    return cache_dir() / "references" / f"{hashlib.sha256(json.dumps(folders).encode()).hexdigest()[:16]}.safetensors"
