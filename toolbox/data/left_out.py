"""The files in a data folder that a run does not use."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from toolbox.errors import DataError
from toolbox.hooks.source_spec import Source
from toolbox.imaging.formats import describe_files
from toolbox.imaging.io import find_images, list_images
from toolbox.utils import files

PAIR_FOLDERS = ("train_input", "train_gt", "test_input")


def describe_left_out(source: Source) -> str:
    """Return a line on the files and subfolders of a data folder that a run does not use; empty if there are none.

    What a plugin does not use of its data is not known.
    """
    if source.folder is None or source.kind == "sample" or source.plugin:
        return ""
    folders = [source.folder / name for name in PAIR_FOLDERS] if source.kind == "pairs" else [source.folder]
    unused = describe_unused([folder for folder in folders if folder.is_dir()], used_files(source))
    return "; ".join(line for line in (unused, *describe_other_folders(source)) if line)


def describe_other_folders(source: Source) -> list[str]:
    """Return a line on the folders with images beside those of the pairs, such as masks; no line if there are none."""
    if source.kind != "pairs" or source.folder is None:
        return []
    used = {path.parent.name for path in used_files(source) if isinstance(path, Path)}
    others = sorted(folders_with_images(source.folder, skip=used.union(PAIR_FOLDERS)))
    return [f"folders that are not used: {files.listed(others)}"] if others else []


def used_files(source: Source) -> set[object]:
    """Return the images of a source; paths of its table through links or ".." also as its folders list them."""
    images = {image for item in (*source.items, *source.tests) for image in item.images}
    if source.kind != "pairs" or source.folder is None:
        return set(images)
    listed = {os.path.realpath(source.folder / name): source.folder / name for name in PAIR_FOLDERS}
    paths = [image for image in images if isinstance(image, Path)]
    parents = {parent: listed.get(os.path.realpath(parent)) for parent in {path.parent for path in paths}}
    as_listed = (parents[path.parent] or path.parent for path in paths)
    return images | {parent / path.name for parent, path in zip(as_listed, paths, strict=True)}


def describe_unused(folders: list[Path], used: Collection[object]) -> str:
    """Return a line on what some folders have besides the files `used`; empty if it is nothing.

    Args:
        folders: folders that can be read.
        used: the images that are used.
    """
    others, unused = [], 0
    for folder in folders:
        images, rest = list_images(folder)
        unused += sum(image not in used for image in images)
        others += rest
    parts = [line for line in (describe_files(others),) if line]
    if unused:
        has_table = any((folder.parent / name).is_file() for folder in folders for name in ("train.csv", "test.csv"))
        why = "not in train.csv or test.csv" if has_table else "without a partner"
        parts.append(f"{unused} image{'s' if unused > 1 else ''} {why}")
    known = real_paths(used)
    below = sorted(name for folder in folders for name in folders_with_images(folder, used=known))
    if below:
        parts.append(f"subfolders are not searched: {files.listed(below)}")
    return "; ".join(parts)


def real_paths(images: Collection[object]) -> set[str]:
    """Return the real paths of those images that are files."""
    return {os.path.realpath(image) for image in images if isinstance(image, Path)}


def has_unused_images(folder: Path, used: Collection[str]) -> bool:
    """Return whether a folder has images, at any depth, besides those of the real paths `used`, or can't be read.

    A table may name images in subfolders, which are not searched otherwise.
    """
    try:
        if any(os.path.realpath(image) not in used for image in find_images(folder)):
            return True
        below = (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
        return any(has_unused_images(path, used) for path in below if not path.name.startswith("."))
    except (DataError, OSError):
        return True


def folders_with_images(folder: Path, *, skip: Collection[str] = (), used: Collection[str] = ()) -> Iterator[str]:
    """Yield the names of the subfolders of a folder that have images besides `used`, or that can't be read."""
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.name not in skip and path.is_dir() and has_unused_images(path, used):
            yield path.name
