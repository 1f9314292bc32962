"""The names of images in archives: which photograph and which part of it an image is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from toolbox import ImageRef, Item, Source

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


def find_photos(folder: Path) -> list[Path]:
    """Return the images in a folder, sorted by name; hidden files are left out, as a run leaves them out."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")


def make_source(images: Mapping[str, ImageRef], archive: str) -> Source:
    """Return the photographs of an archive.

    Args:
        images: the images by their names in the archive: ``KEY.input.png`` and ``KEY.truth.png`` for a pair,
            ``KEY.png`` for an undamaged photograph, ``KEY.test.png`` for a photograph to restore. KEY has no dot.
        archive: the archive, for messages.

    Raises:
        ValueError: there is nothing to train on, an input without a truth (or the reverse), or a key twice.
    """
    parts: dict[str, dict[str, ImageRef]] = {}
    for name, image in images.items():
        key, _, extension = PurePosixPath(name).name.partition(".")
        part = extension.rpartition(".")[0] or "truth"
        if part in parts.setdefault(key, {}):
            raise ValueError(f"{archive} has two images for the {part} of {key}; names must be unique")
        parts[key][part] = image
    items, tests = [], []
    for key in sorted(parts):
        entry = parts[key]
        if "test" in entry:
            tests.append(Item(name=f"{key}.png", input=entry["test"]))
        if entry.keys() == {"test"}:
            continue
        if "truth" not in entry:
            raise ValueError(f"{archive}: {key} has no truth; add {key}.truth.png")
        items.append(Item(name=f"{key}.png", input=entry.get("input"), truth=entry["truth"]))
    if not items:
        raise ValueError(f"{archive} contains no photographs")
    kind = "pairs" if any(item.input is not None for item in items) else "photos"
    return Source(kind=kind, items=tuple(items), tests=tuple(tests))
