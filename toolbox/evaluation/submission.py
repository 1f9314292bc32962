"""Submissions to the competition: the restored test photographs as PNG in a flat zip, with the names of the inputs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from toolbox.data import loader
from toolbox.data.folders import Item
from toolbox.errors import DataError, UsageError
from toolbox.imaging import io
from toolbox.inference.restorer import Restorer
from toolbox.utils import files


def restore_and_zip(
    restorer: Restorer,
    items: Sequence[Item],
    recipe: loader.SampleRecipe,
    folder: Path,
    archive: Path,
    advance: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Restore test photographs and write a submission.

    Args:
        restorer: restores each photograph.
        items: the test photographs.
        recipe: how they are read.
        folder: for the results.
        archive: the zip to write.
        advance: called after each photograph.
        stop: called before each photograph; when it returns True, the work ends.

    Returns:
        `archive`, or None if the work was stopped.

    Raises:
        DataError: two results would have the same name, or a photograph can't be read.
        OutputError: a result can't be written.
    """
    names = submission_names([Path(item.name) for item in items])
    files.ensure_folder(folder)
    files.ensure_folder(archive.parent)
    members = []
    for index, (item, name) in enumerate(zip(items, names, strict=True)):
        if stop():
            return None
        sample = loader.load_test_photo(item, recipe, index)
        io.write_png(folder / name, restorer(sample.image, sample.mask))
        members.append((name, folder / name))
        advance()
    files.write_flat_zip(archive, members)
    return archive


def submission_members(results: Mapping[Path, Path], archive: Path) -> list[tuple[str, Path]]:
    """Return the name and the file of each member of a submission.

    Args:
        results: the result of each photograph.
        archive: the zip to write.

    Raises:
        UsageError: the archive exists, or does not end in .zip.
        DataError: two members would have the same name, or a result is not PNG.
    """
    if archive.suffix.lower() != ".zip":
        raise UsageError(f"--zip {files.printable(archive)} must end in .zip.")
    if os.path.lexists(archive):
        raise UsageError(f"--zip {files.printable(archive)} exists; remove it, or choose another name.")
    names = submission_names(list(results))
    for photo, result in results.items():
        if result.suffix.lower() != ".png":
            raise DataError(f"A submission has only PNG files, and {files.printable(photo)} becomes {result.suffix}.")
    return list(zip(names, results.values(), strict=True))


def write_submission(results: Mapping[Path, Path], archive: Path) -> None:
    """Write a submission of existing results.

    Args:
        results: the result of each photograph.
        archive: the zip to write.

    Raises:
        UsageError, DataError: as `submission_members`; or a result does not exist.
        OutputError: the archive can't be written.
    """
    members = submission_members(results, archive)
    for photo, result in results.items():
        if not result.is_file():
            raise DataError(f"{files.printable(photo)} has no result, so no submission was written.")
    files.ensure_folder(archive.parent)
    files.write_flat_zip(archive, members)


def submission_names(photos: Sequence[Path]) -> list[str]:
    """Return the name of each photograph's result in a submission.

    Raises:
        DataError: two are the same, or differ only in case; or one would become another name in a zip: it is not
            UTF-8, or has control characters, a backslash or a colon.
    """
    if fault := next(name_faults(photos), ""):
        raise DataError(fault)
    return [_member(photo) for photo in photos]


def name_faults(photos: Sequence[Path]) -> Iterator[str]:
    """Yield a line for each photograph whose result can't be in a submission by its name; see `submission_names`."""
    for photo in photos:
        if files.printable(photo.stem) != photo.stem or not files.is_flat_name(photo.stem):
            yield f"{files.printable(photo)} can't be in a submission by this name; rename it."
    for name, count in Counter(_member(photo).casefold() for photo in photos).items():
        if count > 1:
            first = next(_member(photo) for photo in photos if _member(photo).casefold() == name)
            yield f"Two photographs would both be {files.printable(first)} in the submission; rename one of them."


def _member(photo: Path) -> str:
    """Return the name of the result of a photograph in a submission."""
    return f"{photo.stem}.png"
