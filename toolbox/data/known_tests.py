"""Test photographs that a run also trains on: their results say nothing about new photographs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from toolbox.data.folders import Source
from toolbox.hooks.source_spec import ImageRef
from toolbox.utils import files


def describe_known_tests(source: Source) -> str:
    """Return a line on the test photographs whose files are also used for training; empty if there are none.

    Files are equal if their bytes are. Only those of equal size are read.
    """
    if source.kind == "sample":
        return ""
    sizes: dict[int, list[Path]] = defaultdict(list)
    for item in source.items:
        for image in item.images:
            if (size := _size(image)) is not None:
                sizes[size].append(Path(str(image)))
    known = [item.name for item in source.tests if any(_is_among(image, sizes) for image in item.images)]
    if not known:
        return ""
    count = f"{len(known)} of {len(source.tests)}"
    return (
        f"{count} test photographs are also photographs for training ({files.listed(known)}); their results say "
        "nothing about new photographs"
    )


def _size(image: Path | ImageRef) -> int | None:
    try:
        return image.stat().st_size if isinstance(image, Path) else None
    except OSError:  # another check names it
        return None


def _is_among(image: Path | ImageRef, sizes: dict[int, list[Path]]) -> bool:
    size = _size(image)
    if size is None:
        return False
    try:
        return any(files.sha256(path) == files.sha256(Path(str(image))) for path in sizes.get(size, ()))
    except OSError:
        return False
