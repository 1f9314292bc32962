"""The test photographs, restored and zipped as the competition wants them: flat, same names, PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from toolbox import data, files, images
from toolbox.errors import DataError
from toolbox.restore import Restorer
from toolbox.sources import Item


def submit(
    restorer: Restorer,
    items: Sequence[Item],
    how: data.Recipe,
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
    names = [f"{Path(item.name).stem}.png" for item in items]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"Two test photographs would both be {twice} in the submission; rename one of them.")
    files.ensure_folder(folder)
    files.ensure_folder(archive.parent)
    written = []
    for index, (item, name) in enumerate(zip(items, names, strict=True)):
        if stop():
            return None
        sample = data.unpaired(item, how, index)
        restored = restorer(sample.image, sample.mask)
        images.write_png(folder / name, restored)
        written.append((name, folder / name))
        advance()
    files.zip_flat(archive, written)
    return archive
