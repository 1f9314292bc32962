"""Data folders: the competition's layout, a folder of colour photographs, or the sample photographs.

Files are paired by name and nothing is decoded. All faults of a folder are reported at once.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolbox.data import sample
from toolbox.errors import DataError, UsageError
from toolbox.imaging import io

LAYOUT = "train_input/, train_gt/ and test_input/, or only colour photographs"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One photograph: a damaged input with its truth, or only one of the two.

    Attributes:
        name: the file name without folders. The result gets the same name, as PNG.
        input: the damaged picture; None if it is to be made from the truth.
        truth: the undamaged colour photograph; None if it is unknown.
    """

    name: str
    input: Path | None = None
    truth: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """The photographs of a run.

    Attributes:
        kind: "pairs" (the competition's layout), "photos" (colour photographs to be damaged) or "sample".
        folder: their folder.
        items: the photographs for training and validation, sorted by name.
        tests: the photographs to restore at the end of the run, sorted by name.
    """

    kind: Literal["pairs", "photos", "sample"]
    folder: Path
    items: tuple[Item, ...]
    tests: tuple[Item, ...]


def open_validation(folder: Path) -> tuple[Item, ...]:
    """List the photographs with a truth of a data folder that serves for validation only; one is enough.

    Raises:
        UsageError, DataError: as `open_folder`.
    """
    if not folder.is_dir():
        raise UsageError(f"split.validation_data {folder}: there is no such folder. It should contain {LAYOUT}.")
    photos = [] if (folder / "train_input").is_dir() else io.find_images(folder)
    return _truths(photos) if len(photos) == 1 else open_folder(folder).items


def open_folder(folder: Path | None) -> Source:
    """List the photographs of a data folder; None opens the sample photographs of the package.

    Raises:
        UsageError: the folder does not exist.
        DataError: it has nothing to train on, inputs without a truth (or the reverse), or a csv file that names a
            missing file.
    """
    if folder is None:
        root = sample.folder()
        return Source(
            kind="sample",
            folder=root,
            items=_truths(io.find_images(root / "photos")),
            tests=_truths(io.find_images(root / "test")),
        )
    if not folder.is_dir():
        raise UsageError(f"--data {folder}: there is no such folder. It should contain {LAYOUT}.")
    if (folder / "train_input").is_dir() or (folder / "train_gt").is_dir():
        return _open_competition(folder)
    photos = io.find_images(folder)
    if not photos:
        raise DataError(f"{folder} contains no photographs. It should contain {LAYOUT}.")
    if len(photos) < 2:
        raise DataError(f"{folder} contains one photograph. At least two are needed, one of them for validation.")
    return Source(kind="photos", folder=folder, items=_truths(photos), tests=())


def _truths(photos: Iterable[Path]) -> tuple[Item, ...]:
    return tuple(Item(name=path.name, truth=path) for path in photos)


def _open_competition(folder: Path) -> Source:
    inputs, truths = _by_name(folder / "train_input"), _by_name(folder / "train_gt")
    faults = [f"train_input/{name} has no partner in train_gt/" for name in sorted(inputs.keys() - truths.keys())]
    faults += [f"train_gt/{name} has no partner in train_input/" for name in sorted(truths.keys() - inputs.keys())]
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise DataError(f"{folder}: {'; '.join(faults[:3])}{more}. Add the missing files or remove these.")
    if len(inputs) < 2:
        raise DataError(f"{folder} contains {len(inputs)} pairs. At least two are needed, one of them for validation.")
    names = _names_in_csv(folder / "train.csv", folder) or sorted(inputs)
    _require_files(folder / "train.csv", names, folder / "train_input", inputs)
    tests = _by_name(folder / "test_input") if (folder / "test_input").is_dir() else {}
    test_names = _names_in_csv(folder / "test.csv", folder) or sorted(tests)
    _require_files(folder / "test.csv", test_names, folder / "test_input", tests)
    return Source(
        kind="pairs",
        folder=folder,
        items=tuple(Item(name=name, input=inputs[name], truth=truths[name]) for name in sorted(names)),
        tests=tuple(Item(name=name, input=tests[name]) for name in test_names),
    )


def _by_name(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in io.find_images(folder)} if folder.is_dir() else {}


def _require_files(table: Path, names: list[str], folder: Path, present: dict[str, Path]) -> None:
    missing = next((name for name in names if name not in present), None)
    if missing is not None:
        raise DataError(f"{table} names {missing}, which is not in {folder}.")


def _names_in_csv(table: Path, folder: Path) -> list[str]:
    """Return the file names that a csv file lists as paths, in its order; an empty list if there is no such file.

    The competition's columns are input_image_path and gt_image_path. Every column whose name ends in "path" is read.
    """
    if not table.is_file():
        return []
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} can't be read as csv: {error}. Correct or delete it; it is optional.") from error
    columns = [key for key in (rows[0] if rows else {}) if key and key.lower().endswith("path")]
    if rows and not columns:
        raise DataError(f"{table} has no column of paths such as input_image_path. Correct or delete it.")
    for row in rows:
        for column in columns:
            path = folder / (row[column] or "")
            if not path.is_file():
                raise DataError(f"{table} names {row[column]}, which is not in {folder}.")
    input_column = next((name for name in columns if "input" in name.lower()), columns[0] if columns else "")
    return list(dict.fromkeys(Path(row[input_column]).name for row in rows))
