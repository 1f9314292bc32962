"""The split of a run, recorded in its folder, so that a resumed run keeps it even if the photographs have changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from toolbox.config.settings import Split
from toolbox.data import split
from toolbox.data.decoded_cache import DecodedCache, open_cache
from toolbox.data.folders import Item
from toolbox.data.split import DataSplit
from toolbox.data.split_changes import by_stem, find_changes
from toolbox.errors import DataError, ImageFileError
from toolbox.utils import files, surface
from toolbox.utils.image_ref import ImageRef, location
from toolbox.utils.json_values import read_json_object

FILE = "split.json"  # in the run folder
_LATER = ("former_train", "former_validation")  # entries that the file has since version 0.2


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """The identity of each photograph of a run by its name, in the order of its use.

    Attributes:
        train: the training photographs.
        validation: the validation photographs.
        unused: those that the recipe's limits left out.
        former_train: the names, by identity, of photographs that trained earlier and do no more.
        former_validation: those that validated earlier and do no more, without those that train.
    """

    train: Mapping[str, str] = field(default_factory=dict)
    validation: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    former_train: Mapping[str, str] = field(default_factory=dict)
    former_validation: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> dict[str, Mapping[str, str]]:
        """Return the three parts by name."""
        return {"train": self.train, "validation": self.validation, "unused": self.unused}

    def photos(self) -> list[tuple[str, str]]:
        """Return name and identity of all photographs of the three parts."""
        return [pair for part in self.parts().values() for pair in part.items()]

    def seen(self) -> dict[str, set[str]]:
        """Return the identities of all photographs that have trained and of those that have validated, ever."""
        return {
            "train": {*self.train.values(), *self.former_train},
            "validation": {*self.validation.values(), *self.former_validation},
        }


def open_split(
    items: Sequence[Item],
    settings: Split,
    recorded: Path | None,
    report: Callable[[str], None],
    *,
    validation_items: Sequence[Item] = (),
    cached: bool = True,
) -> DataSplit:
    """Return the split of a new run, or the one that a run has recorded, adapted to the present photographs.

    Args:
        items: photographs with a truth, sorted by name.
        settings: the recipe's `split` table.
        recorded: the file that `write_record` wrote; None for a new run.
        report: gets a line before work that takes long, and a line that says what has changed.
        validation_items: the photographs of `split.validation_data`, if there are any.
        cached: whether digests of files may be read from and stored in the user's cache.

    Raises:
        DataError: a photograph or the record can't be read, or no photographs are left for one of the parts.
    """
    identities = photo_identities([*items, *validation_items], open_cache() if cached else None)
    record = None if recorded is None else read_record(recorded)
    if recorded is not None and record is None:
        report(
            f"warning: {files.printable(recorded)} is missing, so the split is drawn again from the recipe. If "
            "photographs were added or removed since the run began, some that trained may validate now."
        )
    if record is None or validation_items:
        result = split.split_items(items, settings, report, validation_items)
    else:
        result = keep_split(record, items, identities, split.scene_labels(items, report), settings)
    result = replace(result, identities=identities)
    if record is not None:
        result = _with_former(result, record, report)
    changes = [] if record is None else find_changes(record.photos(), make_record(result).photos())
    if record is not None and changes:
        kept = "The split of the run is kept" if validation_items else _what_was_kept(record, result)
        report(
            f"The photographs have changed: {'; '.join(changes)}. {kept}: "
            f"{len(result.train)} train, {len(result.validation)} validate."
        )
    return result


def _what_was_kept(record: SplitRecord, result: DataSplit) -> str:
    """Return what became of the recorded split: it is kept, or no photograph of its validation part is left."""
    present = [*result.train, *result.validation, *result.unused]
    find = _finder(record, {item.name for item in present})
    parts = {(find(item.name, result.identities[item]) or ("", 0))[0] for item in result.validation}
    if record.validation and "validation" not in parts:
        return "No validation photograph of the run is left, so the new photographs are split"
    return "The split of the run is kept"


def _with_former(result: DataSplit, record: SplitRecord, report: Callable[[str], None]) -> DataSplit:
    """Return a split with the photographs of a record that are in its parts no more."""
    seen, names = record.seen(), {**record.former_train, **record.former_validation}
    names |= {identity: name for part in record.parts().values() for name, identity in part.items()}
    train, validation = (
        {result.identities[item] for item in part if item in result.identities}
        for part in (result.train, result.validation)
    )
    trained = sorted(names[identity] for identity in (validation & seen["train"]) - seen["validation"])
    if trained:
        report(f"warning: {files.listed(trained)} trained in this run and validate now, so the figures are too good.")
    return replace(
        result,
        former_train={identity: names[identity] for identity in sorted(seen["train"] - train)},
        former_validation={
            identity: names[identity] for identity in sorted(seen["validation"] - validation - train - seen["train"])
        },
    )


def photo_identities(items: Sequence[Item], cache: DecodedCache | None = None) -> dict[Item, str]:
    """Return a digest of the content of each item's files; ImageFileError if one can't be read."""
    digests = DecodedCache(folder=Path()) if cache is None else cache

    def digest(image: Path | ImageRef) -> str:
        try:
            return digests.digest(image)[:16]
        except DataError as error:
            raise ImageFileError(str(error)) from error
        except OSError as error:
            name = files.printable(location(image))
            raise ImageFileError(f"{name} can't be read: {error.strerror or error}") from error

    def identity(item: Item) -> str:
        return ":".join(map(digest, item.images))

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        by_item = dict(zip(items, pool.map(identity, items), strict=True))
    if cache is not None:
        cache.save_digests()
    return by_item


def keep_split(
    record: SplitRecord,
    items: Sequence[Item],
    identities: Mapping[Item, str],
    labels: Sequence[int],
    settings: Split,
) -> DataSplit:
    """Return the recorded split of the photographs that still exist.

    A photograph stays in its part, found by its content, else by its truth, else by its name, else by its name with
    another ending, so that no training photograph ever validates. A new one is for training, or for validation if it
    shares a scene with a validation photograph and the split is by scene. One that was away comes back to its part.
    """
    find = _finder(record, {item.name for item in items})
    ranked: list[tuple[str, int, int]] = []  # the part, the position in it, the index of the photograph
    new = []
    for index, item in enumerate(items):
        position = find(item.name, identities[item])
        if position is None:
            new.append(index)
        else:
            ranked.append((*position, index))
    parts = {part: [index for where, _, index in sorted(ranked) if where == part] for part in record.parts()}
    _add_new(parts, new, labels, settings)
    for part in ("train", "validation"):
        if not parts[part]:
            raise DataError(
                f"None of the run's {part} photographs is left, and no new one can replace them. Give the photographs "
                f"of the run with {surface.words(command='--data', python='data=DIR')}, or start a new run."
            )
    return DataSplit(
        train=tuple(items[index] for index in parts["train"]),
        validation=tuple(items[index] for index in parts["validation"]),
        unused=tuple(items[index] for index in parts["unused"]),
        leaks=split.count_leaks(labels, parts["train"], parts["validation"]),
    )


def make_record(data_split: DataSplit) -> SplitRecord:
    """Return the record of a split."""

    def part(items: Sequence[Item]) -> dict[str, str]:
        return {item.name: data_split.identities.get(item, "") for item in items}

    return SplitRecord(
        train=part(data_split.train),
        validation=part(data_split.validation),
        unused=part(data_split.unused),
        former_train=data_split.former_train,
        former_validation=data_split.former_validation,
    )


def write_record(path: Path, data_split: DataSplit) -> None:
    """Write the record of a split; OutputError if it can't be written."""
    files.write_json(path, asdict(make_record(data_split)))


def read_record(path: Path) -> SplitRecord | None:
    """Return the record of a split, None if there is none (a run of an older version); DataError if it is damaged."""
    try:
        stored = read_json_object(path)
        names = [entry.name for entry in fields(SplitRecord)]
        parts: dict[str, Any] = {name: stored.get(name, {} if name in _LATER else None) for name in names}
        wrong = next((name for name, part in parts.items() if not _is_part(part)), None)
        if wrong is not None:
            raise ValueError(f"'{wrong}' is missing, or no object with the names of photographs and their digests")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{files.printable(path)} can't be read: {files.printable(str(error))}. It lists the photographs that "
            "validate. Restore it, or delete it to draw the split again from the recipe."
        ) from error
    return SplitRecord(**parts)


def _is_part(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(identity, str) for identity in value.values())


def _finder(record: SplitRecord, present: set[str]) -> Callable[[str, str], tuple[str, int] | None]:
    """Return a function that gives the part of a photograph, by name and identity, and its position in that part.

    `present` has the names of all photographs that there are now.
    """
    exact: dict[tuple[str, str], tuple[str, int]] = {}
    by_name: dict[str, tuple[str, int]] = {}
    by_identity: dict[str, tuple[str, int]] = {}
    by_truth: dict[str, tuple[str, int]] = {}  # the truths of pairs may come back as photographs, or with other inputs
    for part, names in record.parts().items():
        for rank, (name, identity) in enumerate(names.items()):
            exact[name, identity] = by_name[name] = (part, rank)
            # Of equal photographs in two parts, the training one decides: it must not validate.
            by_identity.setdefault(identity, (part, rank))
            by_truth.setdefault(_truth_of(identity), (part, rank))
    for part, former in (("train", record.former_train), ("validation", record.former_validation)):
        for rank, (identity, name) in enumerate(former.items(), len(record.parts()[part])):
            by_name.setdefault(name, (part, rank))
            by_identity.setdefault(identity, (part, rank))
            by_truth.setdefault(_truth_of(identity), (part, rank))
    old_name = by_stem(name for name in by_name if name not in present)
    new_name = by_stem(name for name in present if name not in by_name)

    def find(name: str, identity: str) -> tuple[str, int] | None:
        found = exact.get((name, identity)) or by_identity.get(identity) or by_truth.get(_truth_of(identity))
        found = found or by_name.get(name)
        if found is None and new_name.get(Path(name).stem) == name:
            found = by_name.get(old_name.get(Path(name).stem, ""))
        return found

    return find


def _truth_of(identity: str) -> str:
    """Return the digest of the truth, the last one in an identity."""
    return identity.rpartition(":")[2]


def _add_new(parts: dict[str, list[int]], new: list[int], labels: Sequence[int], settings: Split) -> None:
    """Add new photographs to the parts."""
    validation_scenes = {labels[index] for index in parts["validation"]}
    if not validation_scenes and len(new) > 1:  # all photographs are new
        train, validation = split.draw_split([labels[index] for index in new], settings)
        parts["validation"] += [new[index] for index in validation][: settings.validation_limit or None]
        new = [new[index] for index in train]
        validation_scenes = set()
    for index in new:
        if settings.method == "scene" and labels[index] in validation_scenes:
            parts["validation"].append(index)
        elif settings.train_limit and len(parts["train"]) >= settings.train_limit:
            parts["unused"].append(index)
        else:
            parts["train"].append(index)
