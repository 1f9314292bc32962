"""Decide the path of each result: none replaces an original or another result, and subfolders are kept."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolbox.errors import DataError, UsageError
from toolbox.imaging.formats import format_of_path
from toolbox.inference.output_folders import PICTURE_KINDS, has_results
from toolbox.inference.photo_search import LeftOut, find_photos, is_same_path
from toolbox.utils import files
from toolbox.utils.launcher import launcher_number, require_rank

MAX_NAME_BYTES = 255


@dataclass(frozen=True, kw_only=True)
class Job:
    """One photograph and the path of its result.

    Attributes:
        photo: the photograph.
        relative_path: its path below the folder that was named; its name, if the file itself was named.
        target: the path of the result.
    """

    photo: Path
    relative_path: Path
    target: Path

    @property
    def comparison(self) -> Path:
        """The path of the before-and-after picture."""
        return _beside(self.target, "before-after")

    @property
    def provenance(self) -> Path:
        """The path of the picture of where each pixel comes from."""
        return _beside(self.target, "provenance")

    @property
    def variant_sheet(self) -> Path:
        """The path of the picture of all variants."""
        return _beside(self.target, "variants")

    def variant(self, number: int) -> Path:
        """The path of a variant, counted from 1."""
        return _beside(self.target, f"v{number}")

    @property
    def preview(self) -> Path:
        """The path of the picture of the lost region."""
        return _beside(self.target, "preview")


def plan_jobs(
    inputs: Sequence[Path],
    out: Path,
    *,
    keep_format: bool = False,
    left_out: LeftOut | None = None,
    masks: Path | None = None,
) -> list[Job]:
    """Return the photographs to restore, in order.

    A result has the subfolder and the name of its photograph. The suffix becomes .png if the photograph's format loses
    detail or cannot be written. See `distinct_names` for photographs of the same name.

    Args:
        inputs: photographs, and folders, which are searched with their subfolders. Hidden ones are skipped.
        out: the folder for the results. Results of an earlier call in it are not photographs.
        keep_format: whether JPEG and WebP keep their format.
        left_out: filled with what is left out: other files, folders that can't be read, and inputs that do not exist,
            unless there is only one input.
        masks: the file or folder of masks, which are no photographs if they are inside an input.

    Raises:
        UsageError: the only input does not exist, or the results would be among the photographs.
        DataError: there is no photograph.
    """
    left_out = LeftOut() if left_out is None else left_out
    photos: dict[str, tuple[Path, Path]] = {}
    for path in inputs:
        try:
            files.require_readable(path)
        except UsageError as error:
            if len(inputs) == 1:
                raise
            left_out.folders[path] = str(error)
            continue
        for photo, relative_path in _photos_of(path, out, masks, left_out):
            # By its real folder, so that a photograph which is named twice is restored once.
            photos.setdefault(os.path.join(os.path.realpath(photo.parent), photo.name), (photo, relative_path))
    if not photos:
        raise DataError(f"{', '.join(files.printable(path) for path in inputs)}: {left_out.why_none()}")
    return _assign_targets(list(photos.values()), out, keep_format)


def jobs_of_rank(jobs: list[Job]) -> tuple[list[Job], int | None]:
    """Return the jobs of this process and its rank, which is None if it is the only process.

    Launchers set RANK and WORLD_SIZE.

    Raises:
        UsageError: these are not numbers, or the rank is too large.
    """
    if launcher_number("WORLD_SIZE", "1") < 2:
        return jobs, None
    rank, world_size = require_rank()
    return jobs[rank::world_size], rank


def require_separate_folder(out: Path, folder: Path, owner: str) -> None:
    """Raise UsageError if `out` is `folder`, also through links; `owner` says whose folder it is in the message."""
    if is_same_path(out, folder):
        raise UsageError(
            f"-o {files.printable(out)} is {owner} own folder; choose another, so that none is overwritten."
        )


def _photos_of(path: Path, out: Path, masks: Path | None, left_out: LeftOut) -> list[tuple[Path, Path]]:
    """Return the photographs at `path`, a file or a folder, each with its path below the folder that was named."""
    if os.path.isdir(path):
        require_separate_folder(out, path, "the photographs'")
        _check_nested_output(out, path)
        # An album may be its own folder of masks: pictures with holes are masks too.
        skip = [out] if masks is None or is_same_path(masks, path) else [out, masks]
        photos = find_photos(path, left_out, skip=skip)
        if masks is not None and os.path.isfile(masks):
            photos = [photo for photo in photos if not is_same_path(photo, masks)]
        return [(photo, photo.relative_to(path)) for photo in photos]
    require_separate_folder(out, path.parent, "the photographs'")
    return [(path, Path(path.name))]


def _check_nested_output(out: Path, folder: Path) -> None:
    """Raise UsageError if `out` is inside `folder` and has photographs of its own, which would be skipped silently."""
    is_inside = os.path.realpath(out).startswith(os.path.join(os.path.realpath(folder), ""))
    if is_inside and out.is_dir() and not has_results(out) and find_photos(out, LeftOut()):
        raise UsageError(
            f"-o {files.printable(out)} is inside {files.printable(folder)} and has photographs that are not results; "
            "choose another folder."
        )


def _assign_targets(photos: list[tuple[Path, Path]], out: Path, keep_format: bool) -> list[Job]:
    relative_paths = [relative_path for _, relative_path in photos]
    targets = distinct_names(relative_paths, [_default_target(path, keep_format) for path in relative_paths], _names)
    return [
        Job(photo=photo, relative_path=relative_path, target=out / target)
        for (photo, relative_path), target in zip(photos, targets, strict=True)
    ]


def distinct_names(
    relative_paths: Sequence[Path],
    targets: Sequence[Path],
    names: Callable[[Path], set[str]],
    *,
    whole: Collection[Path] = (),
) -> list[Path]:
    """Return the paths of what is written for each photograph, so that no two of them are the same file.

    Photographs whose names differ only in the suffix, or in case, keep their whole names (``a.jpg.png``), whatever is
    written for them. If that is not enough, they get a number.

    Args:
        relative_paths: the photographs, below the folder that was named.
        targets: the paths as they are if no other photograph has such a name.
        names: returns the folded names of all files that are written for a target.
        whole: photographs that keep their whole names in any case.
    """
    counts = Counter(fold_name(path.with_suffix("")) for path in relative_paths)
    used: set[str] = set()
    distinct = []
    for path, target in zip(relative_paths, targets, strict=True):
        if counts[fold_name(path.with_suffix(""))] > 1 or path in whole:
            target = target.with_name(path.name + target.suffix)
        base, number = target, 2
        while (written := names(target := _shorten(target))) & used:
            target = base.with_name(f"{base.stem}-{number}{base.suffix}")
            number += 1
        used |= written
        distinct.append(target)
    return distinct


def _default_target(path: Path, keep_format: bool) -> Path:
    image_format = format_of_path(path)
    if image_format is None:
        return path.with_name(f"{path.name}.png")
    keeps_suffix = image_format.encode and (keep_format or not image_format.is_lossy)
    return path if keeps_suffix else path.with_suffix(".png")


def _beside(target: Path, kind: str) -> Path:
    """Return the path of a picture that is written beside a result."""
    return _shorten(target.with_name(f"{target.name}.{kind}.png"))


def _names(target: Path) -> set[str]:
    """Return the names of all files that are written for a result."""
    return {fold_name(target), *(fold_name(_beside(target, kind)) for kind in PICTURE_KINDS)}


def _shorten(path: Path) -> Path:
    """Return the path with a name that disks accept: a longer name is cut, and a hash of it keeps it unique."""
    name = os.fsencode(path.name)
    if len(name) <= MAX_NAME_BYTES:
        return path
    ending = f"-{hashlib.sha256(name).hexdigest()[:8]}{path.suffix}"
    start = name[: MAX_NAME_BYTES - len(os.fsencode(ending))].decode("utf-8", "ignore")
    return path.with_name(start + ending)


def fold_name(path: Path) -> str:
    """Return the same text for names that some disk treats as equal: any case, accents composed or not."""
    return unicodedata.normalize("NFC", str(path)).casefold()
