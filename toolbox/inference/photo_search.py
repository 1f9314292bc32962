"""Find the photographs below a folder, and record what is left out: other files, results, unreadable folders."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.imaging.formats import describe_files
from toolbox.inference import output_folders
from toolbox.utils import files


@dataclass(kw_only=True)
class LeftOut:
    """The files and folders that a search has left out.

    Attributes:
        files: files that are not of a known image format, hidden files and notes (text, tables) aside.
        folders: the folders that can't be read, and named photographs that don't exist, each with the reason.
        outputs: the folders with results of an earlier `toolbox restore` or `toolbox mask`.
        pictures: the pictures beside results, such as ``a.png.before-after.png``.
        references: the folders below those of references that can't be read, each with the reason.
    """

    files: list[Path] = field(default_factory=list)
    folders: dict[Path, str] = field(default_factory=dict)
    outputs: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    references: dict[Path, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        """All but the unreadable folders of photographs."""
        return [*self.files, *self.pictures, *self.outputs, *self.references]

    def add_references(self, others: LeftOut) -> None:
        """Add what a search for references has left out; nothing is added twice."""
        self.references |= others.folders
        self.files = list(dict.fromkeys([*self.files, *others.files]))
        self.outputs = list(dict.fromkeys([*self.outputs, *others.outputs]))
        self.pictures = list(dict.fromkeys([*self.pictures, *others.pictures]))

    def describe(self) -> list[str]:
        """Return the lines on all but the unreadable folders of photographs; none if there are none."""
        counted = (describe_files(self.files), output_folders.describe_pictures(self.pictures))
        named = (f"{files.printable(folder)} left out: it has results of toolbox" for folder in self.outputs)
        return [line for line in (*counted, *named, *self.references.values()) if line]

    def why_none(self) -> str:
        """Return why no photograph was found."""
        if self.folders:
            return "; ".join(self.folders.values())
        return f"no photographs found{f' ({lines})' if (lines := '; '.join(self.describe())) else ''}."


def find_photos(folder: Path, left_out: LeftOut, *, skip: Collection[Path] = ()) -> list[Path]:
    """Return the photographs below a folder, sorted. No folder is searched twice, and hidden ones are not searched.

    Folders with results of an earlier `toolbox restore` or `toolbox mask` are not searched, unless it is `folder`. Then
    the pictures beside the results are left out.

    Args:
        folder: the folder.
        left_out: filled with what is left out. A folder that can't be read does not stop the search.
        skip: folders that are not searched.
    """
    seen: set[str] = set()
    photos: list[Path] = []
    has_results = False
    folders, links = [folder], list[Path]()
    while folders or links:
        # Links come last: a folder that is also reached directly keeps its direct path.
        current = folders.pop() if folders else links.pop()
        real_path = os.path.realpath(current)
        if real_path in seen or any(is_same_path(current, path) for path in skip):
            continue
        seen.add(real_path)
        try:
            is_output = output_folders.has_results(current)
            if current is folder:
                has_results = is_output
            elif is_output:
                left_out.outputs.append(current)
                continue
            images, others = io.list_images(current)
            below = sorted((path for path in current.iterdir() if _is_searched(path)), reverse=True)
        except DataError as error:
            left_out.folders[current] = str(error)
            continue
        except OSError as error:  # its path is longer than the system allows, or it has just vanished
            is_long = error.errno == errno.ENAMETOOLONG
            remedy = "start from a parent closer to it" if is_long else "change its permissions, or leave it out"
            left_out.folders[current] = f"{files.printable(current)} can't be listed: {error.strerror}; {remedy}"
            continue
        for path in images:
            is_beside = has_results and output_folders.is_picture_beside(path)
            (left_out.pictures if is_beside else photos).append(path)
        left_out.files += others
        for path in below:
            (links if path.is_symlink() else folders).append(path)
    return sorted(photos)


def is_same_path(first: Path, second: Path) -> bool:
    """Return whether two paths lead to the same file or folder, also through links and in another case."""
    try:
        return os.path.samefile(first, second)
    except (OSError, ValueError):
        return os.path.realpath(first) == os.path.realpath(second)


def is_same_photo(first: Path, second: Path) -> bool:
    """Return whether two paths lead to the same file, or the second is a copy of the first with the same bytes.

    Raises:
        DataError: a file can't be read.
    """
    if is_same_path(first, second):
        return True
    try:
        sizes = {os.path.getsize(path) for path in (first, second)}
    except OSError:
        return False
    return len(sizes) == 1 and files.sha256(first) == files.sha256(second)


def _is_searched(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_dir()
