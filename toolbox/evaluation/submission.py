"""The test photographs, restored and zipped as the competition wants them: flat, same names, PNG."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
    how: loader.SampleRecipe,
    folder: Path,
    archive: Path,
    advance: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Restore `items` into `folder` and write `archive` with all of them; None if `stop`, asked before each, says so.

    Raises:
        DataError: two test photographs that would have one name as PNG, or one that can't be read.
        OutputError: a result that can't be written.
    """
    names = submission_name([Path(item.name) for item in items])
    files.ensure_folder(folder)
    files.ensure_folder(archive.parent)
    written = []
    for index, (item, name) in enumerate(zip(items, names, strict=True)):
        if stop():
            return None
        sample = loader.load_test_photo(item, how, index)
        restored = restorer(sample.image, sample.mask)
        io.write_png(folder / name, restored)
        written.append((name, folder / name))
        advance()
    files.write_flat_zip(archive, written)
    return archive


def members(results: Mapping[Path, Path], archive: Path) -> list[tuple[str, Path]]:
    """Return name and file of all that goes into `archive`: the results of photographs, given as photograph to result.

    Raises:
        UsageError: the archive is there, or has not the ending of one.
        DataError: two results would have one name, or one is no PNG.
    """
    if archive.suffix.lower() != ".zip":
        raise UsageError(f"--zip {files.printable(archive)} has to end on .zip.")
    if os.path.lexists(archive):
        raise UsageError(f"--zip {files.printable(archive)} is there already; remove it, or choose another name.")
    names = submission_name(list(results))
    for photo, result in results.items():
        if result.suffix.lower() != ".png":
            raise DataError(f"A submission takes PNG alone, and {files.printable(photo)} becomes {result.suffix}.")
    return list(zip(names, results.values(), strict=True))


def collect_submission(results: Mapping[Path, Path], archive: Path) -> None:
    """Write `archive` with the results of photographs, given as photograph to result.

    Raises:
        UsageError, DataError: as `members`; or a photograph has no result.
        OutputError: the archive can't be written.
    """
    inside = members(results, archive)
    for photo, result in results.items():
        if not result.is_file():
            raise DataError(f"{files.printable(photo)} has no result, so there is no submission.")
    files.ensure_folder(archive.parent)
    files.write_flat_zip(archive, inside)


def submission_name(photos: Sequence[Path]) -> list[str]:
    """Return the name of each photograph's result in a submission; DataError if two would have one."""
    names = [f"{photo.stem}.png" for photo in photos]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"Two photographs would both be {twice} in the submission; rename one of them.")
    return names
