"""Test photographs that a run also trains on: their results say nothing about new photographs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from toolbox.data.folders import Source
from toolbox.hooks.source_spec import ImageRef
from toolbox.utils import files


def describe_known_tests(source: Source) -> str:
    """Return a line on the test photographs whose files are also used for training; empty if there are none.

    Files are equal if their bytes are. Only those of equal size are read, each once.
    """
    if source.kind == "sample":
        return ""
    trained: dict[int, list[Path]] = defaultdict(list)
    for size, path in (file for item in source.items for file in _files(item.images)):
        trained[size].append(path)

    @cache
    def digests(size: int) -> set[str]:
        return {_digest(path) for path in trained.get(size, ())} - {""}

    known = [
        item.name
        for item in source.tests
        if any(digests(size) and _digest(path) in digests(size) for size, path in _files(item.images))
    ]
    if not known:
        return ""
    count = f"{len(known)} of {len(source.tests)}"
    return (
        f"{count} test photographs are also photographs for training ({files.listed(known)}); their results say "
        "nothing about new photographs"
    )


def _files(images: Sequence[Path | ImageRef]) -> Iterator[tuple[int, Path]]:
    """Yield the size and the path of each image that is a file; another check names those that can't be read."""
    for image in images:
        if isinstance(image, Path):
            with suppress(OSError):
                yield image.stat().st_size, image


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; an empty string if it can't be read."""
    try:
        return files.sha256(path)
    except OSError:
        return ""
