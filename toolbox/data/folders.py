"""Data folders: the competition's layout, a folder of colour photographs, or the sample photographs.

Files are paired by name, and nothing is decoded. All faults of a folder are reported at once.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolbox.data import sample
from toolbox.data.left_out import describe_unused, folders_with_images
from toolbox.errors import DataError, UsageError
from toolbox.hooks.source_spec import Item as Item
from toolbox.hooks.source_spec import Source as Source
from toolbox.imaging.io import find_images
from toolbox.utils import files, surface, text_files
from toolbox.utils.file_names import comparable_stem

LAYOUT = "train_input/, train_gt/ and test_input/, or only colour photographs"


def _refuse(fault: str) -> None:
    raise DataError(fault)


def open_folder(
    folder: str | os.PathLike[str] | None, *, min_count: int = 2, on_fault: Callable[[str], None] = _refuse
) -> Source:
    """List the photographs of a data folder; None opens the sample photographs of the package.

    Args:
        folder: the data folder.
        min_count: the number of photographs for training and validation that it must have.
        on_fault: called with a line for each fault of the pairing: a file without a partner, a table that can't be read
            or names a missing file. If it returns, what the fault concerns is left out. Default: a DataError.

    Raises:
        UsageError: the folder does not exist, or its path is empty.
        TypeError: it is no path.
        DataError: it has nothing to train on, inputs without a truth (or the reverse), or a csv file that names a
            missing file.
    """
    if folder is None:
        root = sample.folder()
        return Source(
            kind="sample",
            folder=root,
            items=_truths(find_images(root / "photos")),
            tests=_truths(find_images(root / "test")),
        )
    option = surface.option("data")
    folder = Path(files.require_path(folder, option))
    try:
        files.require_folder(folder, option)
    except UsageError as error:
        raise UsageError(f"{error} It should contain {LAYOUT}.") from error
    if (folder / "train_input").is_dir() or (folder / "train_gt").is_dir():
        return _open_competition(folder, min_count, on_fault)
    photos = find_images(folder)
    if not photos:
        line = describe_unused([folder], set())
        unused = f" ({line})" if line else ""
        raise DataError(
            f"{folder} contains no photographs{unused}. It should contain {LAYOUT}."
            + subfolder_hint(folder, skip="test_input")
        )
    if len(photos) < min_count:
        raise DataError(f"{folder} contains {_too_few(len(photos), 'photograph', min_count, [folder], photos)}")
    return Source(kind="photos", folder=folder, items=_truths(photos), tests=())


def subfolder_hint(folder: Path, *, skip: str = "") -> str:
    """Return a sentence that names the folders in `folder` with pictures or with their folders; empty for none.

    It is for the error that `folder` itself has no pictures. The folder called `skip` is not named.
    """
    found = []
    with contextlib.suppress(OSError, DataError):
        for inside in sorted(
            path for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and path.name != skip
        ):
            if find_images(inside) or any((inside / name).is_dir() for name in ("train_input", "test_input")):
                found.append(str(inside))
    if len(found) > 1:
        return f" Do you mean one of these: {files.listed(found, 4)}?"
    return f" Do you mean {files.printable(found[0])}?" if found else ""


def _too_few(count: int, what: str, needed: int, folders: list[Path], used: Collection[object]) -> str:
    """Say how many there are, what else is in `folders`, and how many are needed."""
    found = f"one {what}" if count == 1 else f"{count} {what}s"
    if line := describe_unused(folders, used):
        found += f" ({line})"
    if needed == 2:
        return f"{found}. At least two are needed, one of them for validation."
    return f"{found}. At least {needed} are needed."


def _truths(photos: Iterable[Path]) -> tuple[Item, ...]:
    return tuple(Item(name=path.name, truth=path) for path in photos)


def _open_competition(folder: Path, min_count: int, on_fault: Callable[[str], None]) -> Source:
    listed = _read_table(folder / "train.csv", folder, on_fault)
    pairs = _pairs_in_csv(folder / "train.csv", listed, on_fault) if listed else _pairs_by_name(folder, on_fault)
    if len(pairs) < min_count:
        inputs = [folder / "train_input"] if (folder / "train_input").is_dir() else []
        used = {item.input for item in pairs}
        raise DataError(f"{folder} contains {_too_few(len(pairs), 'pair', min_count, inputs, used)}")
    items = tuple(sorted(pairs, key=lambda item: item.name))
    return Source(kind="pairs", folder=folder, items=items, tests=list_tests(folder, on_fault))


def list_tests(folder: Path, on_fault: Callable[[str], None] = _refuse) -> tuple[Item, ...]:
    """Return the test photographs of a data folder, in the order of its test.csv if there is one.

    `on_fault` is called if the table can't be read or names a missing file, see `open_folder`.
    """
    tests = _by_name(folder / "test_input")
    table = folder / "test.csv"
    rows = _read_table(table, folder, on_fault, has_truths=False)
    names = list(dict.fromkeys(row[0].name for row in rows)) if rows else sorted(tests)
    for name in names:
        if name not in tests:
            on_fault(f"{table} names {name}, which is not in {folder / 'test_input'}. Add the file, or remove the row.")
    return tuple(Item(name=name, input=tests[name]) for name in names if name in tests)


def _pairs_by_name(folder: Path, on_fault: Callable[[str], None]) -> list[Item]:
    """Pair the files of train_input/ and train_gt/ by name, or by the name before the suffix."""
    inputs, truths = _by_name(folder / "train_input"), _by_name(folder / "train_gt")
    partners = {name: name for name in inputs.keys() & truths.keys()}
    partners |= _same_stems(inputs.keys() - partners.keys(), truths.keys() - partners.keys())
    faults = [f"train_input/{name} has no partner in train_gt/" for name in sorted(inputs.keys() - partners.keys())]
    alone = truths.keys() - set(partners.values())
    faults += [f"train_gt/{name} has no partner in train_input/" for name in sorted(alone)]
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        causes = [cause for name in ("train_input", "train_gt") if (cause := _why_missing(folder, name))]
        remedy = "; ".join(causes) or "Add the missing files or remove these"
        on_fault(f"{folder}: {'; '.join(faults[:3])}{more}. {remedy}.")
    return [Item(name=name, input=inputs[name], truth=truths[partner]) for name, partner in partners.items()]


def _why_missing(folder: Path, name: str) -> str:
    """Return why files of train_input/ or train_gt/ may not be found; empty if nothing shows it."""
    if not (folder / name).is_dir():
        alike = [path.name for path in folder.iterdir() if path.is_dir() and path.name.casefold() == name]
        return f"There is no {name}/" + "".join(f": rename {files.printable(other)}/" for other in alike)
    below = sorted(folders_with_images(folder / name))
    return f"Subfolders of {name}/ are not searched: {files.listed(below)}" if below else ""


def _same_stems(inputs: Collection[str], truths: Collection[str]) -> dict[str, str]:
    """Return the pairs of names that are equal before the suffix, where no other name of either folder is."""
    stems = [Counter(map(comparable_stem, names)) for names in (inputs, truths)]
    by_stem = {comparable_stem(name): name for name in truths}
    return {
        name: by_stem[stem]
        for name in inputs
        if (stem := comparable_stem(name)) in by_stem and stems[0][stem] == stems[1][stem] == 1
    }


def _pairs_in_csv(table: Path, rows: Sequence[tuple[Path, Path | None]], on_fault: Callable[[str], None]) -> list[Item]:
    """Pair the files as the rows of a table say: the input and its truth, or the file of that name in train_gt/."""
    pairs: dict[str, Item] = {}
    for path, truth in rows:
        partner = truth or table.parent / "train_gt" / path.name
        if not partner.is_file():
            on_fault(f"{table} names {path.name}, and there is no {partner}. Add it, or a column with its truth.")
            continue
        item = Item(name=path.name, input=path, truth=partner)
        if pairs.setdefault(path.name, item) != item:
            first = pairs[path.name]
            one, other = (first.truth, partner) if first.input == path else (first.input, path)
            on_fault(
                f"{table} names {path.name} twice, with different files: {one} and {other}. Remove one of the rows "
                "or, because a run knows photographs by their names, rename one of the files."
            )
    return list(pairs.values())


def _by_name(folder: Path) -> dict[str, Path]:
    if os.path.lexists(folder) and not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Replace it by a folder of photographs.")
    return {path.name: path for path in find_images(folder)} if folder.is_dir() else {}


def _read_table(
    table: Path, folder: Path, on_fault: Callable[[str], None], *, has_truths: bool = True
) -> list[tuple[Path, Path | None]]:
    """Return the input and the truth of each row of a csv file, in its order; empty if there is no such file.

    The competition's columns are input_image_path and gt_image_path. Every column whose name ends in "path" is read:
    the inputs are in the one with "input" in its name, or the first one, and the truths in the other one.

    `on_fault` is called if it can't be read, has no rows or no column of paths, or a row has an empty path or names a
    file that is missing. Without `has_truths`, other columns than that of the inputs are not read.
    """
    if not os.path.lexists(table):
        return []
    try:
        rows = _rows_of(table)
    except DataError as error:
        on_fault(str(error))
        return []
    columns = [key for key in rows[0] if key and key.strip().lower().endswith("path")]
    if not columns:
        on_fault(f"{table} has no column of paths such as input_image_path. Correct or delete it.")
        return []
    inputs = next((name for name in columns if "input" in name.lower()), columns[0])
    truths = next((name for name in columns if name != inputs and has_truths), None)
    pairs = []
    for row in rows:
        empty = next((name for name in (inputs, truths) if name and not (row[name] or "").strip()), None)
        if empty is not None:
            cells = files.printable(", ".join(cell for cell in _cells(row) if cell.strip()))
            on_fault(f"{table} has a row without {empty.strip()}: {cells}. Write the file there, or remove the row.")
            continue
        try:
            truth = None if truths is None else _file_of(table, row[truths], folder)
            pairs.append((_file_of(table, row[inputs], folder), truth))
        except DataError as error:
            on_fault(str(error))
    return pairs


def _rows_of(table: Path) -> list[dict[str, str]]:
    """Return the rows of a csv file, without empty ones; DataError if it can't be read or has none."""
    if not table.is_file():
        raise DataError(f"{table} is no file. Correct or delete it; it is optional.")
    try:
        text = text_files.read_text(table)
        lines = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text)))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{table} can't be read as csv: {error}. Correct or delete it; it is optional.") from error
    rows = [line for line in lines if not _is_empty(line)]
    if not rows:
        raise DataError(f"{table} has no rows below its header. Correct or delete it; it is optional.")
    return rows


def _is_empty(line: Mapping[Any, Any]) -> bool:
    """Return whether all cells of a line are empty: spreadsheets write such lines below the last row."""
    return not any(cell.strip() for cell in _cells(line))


def _cells(line: Mapping[Any, Any]) -> list[str]:
    """Return the cells of a line of `csv.DictReader`, also those beyond its header; a missing one is empty."""
    return [cell or "" for value in line.values() for cell in (value if isinstance(value, list) else [value])]


def _delimiter(text: str) -> str:
    """Return the delimiter of a csv file: spreadsheets of some countries write semicolons, others tabs."""
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _file_of(table: Path, text: str, folder: Path) -> Path:
    """Return the file that a table names; DataError if it is missing. Windows' separators are accepted."""
    for name in (text, text.strip(), text.strip().replace("\\", "/")):
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"{table} names {files.printable(text)}, which is not in {folder}. Add the file, or remove the row."
    )
