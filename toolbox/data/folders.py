"""Where photographs come from: the competition's folder, a folder of colour photographs, or the sample.

Nothing is decoded here; names are paired and every fault of a folder is said at once.
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

LAYOUT = "train_input/, train_gt/ and test_input/, or colour photographs by themselves"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One photograph: a damaged `input` with its `truth`, or one of the two alone.

    Attributes:
        name: the file's name without folders; results are called by it, as PNG.
        input: the damaged picture, None where it is made from `truth`.
        truth: the colour photograph, None where it is not known.
    """

    name: str
    input: Path | None = None
    truth: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """The photographs of a run.

    Attributes:
        kind: pairs as the competition gives them, colour photographs to be damaged, or the sample.
        folder: where they lie.
        items: what trains and validates, sorted by name.
        tests: what is restored at the end, sorted by name.
    """

    kind: Literal["pairs", "photos", "sample"]
    folder: Path
    items: tuple[Item, ...]
    tests: tuple[Item, ...]


def open_folder(folder: Path | None) -> Source:
    """Look through a data folder; None takes the sample photographs of the package.

    Raises:
        UsageError: there is no such folder.
        DataError: it holds nothing to train on, names without a partner, or a csv that names a missing file.
    """
    if folder is None:
        root = sample.folder()
        return Source(
            kind="sample",
            folder=root,
            items=_alone(io.find_images(root / "photos")),
            tests=_alone(io.find_images(root / "test")),
        )
    if not folder.is_dir():
        raise UsageError(f"--data {folder}: there is no such folder. It should hold {LAYOUT}.")
    if (folder / "train_input").is_dir() or (folder / "train_gt").is_dir():
        return _competition(folder)
    photos = io.find_images(folder)
    if not photos:
        raise DataError(f"{folder} holds no photographs. It should hold {LAYOUT}.")
    if len(photos) < 2:
        raise DataError(f"{folder} holds one photograph; at least two are needed, one of them to validate.")
    return Source(kind="photos", folder=folder, items=_alone(photos), tests=())


def _alone(photos: Iterable[Path]) -> tuple[Item, ...]:
    return tuple(Item(name=path.name, truth=path) for path in photos)


def _competition(folder: Path) -> Source:
    inputs, truths = _by_name(folder / "train_input"), _by_name(folder / "train_gt")
    faults = [f"train_input/{name} has no partner in train_gt/" for name in sorted(inputs.keys() - truths.keys())]
    faults += [f"train_gt/{name} has no partner in train_input/" for name in sorted(truths.keys() - inputs.keys())]
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise DataError(f"{folder}: {'; '.join(faults[:3])}{more}. Add the missing files or take these out.")
    if len(inputs) < 2:
        raise DataError(f"{folder} holds {len(inputs)} pairs; at least two are needed, one of them to validate.")
    names = _listed(folder / "train.csv", folder) or sorted(inputs)
    unknown = [name for name in names if name not in inputs]
    if unknown:
        raise DataError(f"{folder / 'train.csv'} names {unknown[0]}, which is not in {folder / 'train_input'}.")
    tests = _by_name(folder / "test_input") if (folder / "test_input").is_dir() else {}
    test_names = _listed(folder / "test.csv", folder) or sorted(tests)
    astray = next((name for name in test_names if name not in tests), None)
    if astray is not None:
        raise DataError(f"{folder / 'test.csv'} names {astray}, which is not in {folder / 'test_input'}.")
    return Source(
        kind="pairs",
        folder=folder,
        items=tuple(Item(name=name, input=inputs[name], truth=truths[name]) for name in sorted(names)),
        tests=tuple(Item(name=name, input=tests[name]) for name in test_names),
    )


def _by_name(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in io.find_images(folder)} if folder.is_dir() else {}


def _listed(table: Path, folder: Path) -> list[str]:
    """Return the file names that a csv lists by path, in its order; none where there is no csv.

    The competition's columns are input_image_path and gt_image_path; every column that ends in "path" counts.
    """
    if not table.is_file():
        return []
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} can't be read as csv: {error}. Mend it or take it out; it is optional.") from error
    columns = [key for key in (rows[0] if rows else {}) if key and key.lower().endswith("path")]
    if rows and not columns:
        raise DataError(f"{table} has no column of paths, such as input_image_path; it is optional.")
    for row in rows:
        for column in columns:
            path = folder / (row[column] or "")
            if not path.is_file():
                raise DataError(f"{table} names {row[column]}, which is not in {folder}.")
    first = next((c for c in columns if "input" in c.lower()), columns[0] if columns else "")
    return list(dict.fromkeys(Path(row[first]).name for row in rows))
