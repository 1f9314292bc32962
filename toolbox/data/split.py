"""The split into training and validation photographs, and the count of scenes that lie in both."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from toolbox.config.settings import Split
from toolbox.data import near_duplicates
from toolbox.data.folders import Item
from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.utils import files, surface
from toolbox.utils.json_values import parse_json
from toolbox.utils.paths import cache_dir


@dataclass(frozen=True, kw_only=True)
class DataSplit:
    """The split of the photographs.

    Attributes:
        train: the training photographs.
        validation: the validation photographs.
        leaks: the number of validation photographs that share a scene with a training photograph.
        unused: the photographs that the limits left out.
        identities: a digest of the content of each photograph; empty if they were not computed.
        former_train: the names, by digest, of photographs that trained in this run and do no more.
        former_validation: those that validated in this run and do no more, without those that train.
    """

    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    leaks: int
    unused: tuple[Item, ...] = ()
    identities: Mapping[Item, str] = field(default_factory=dict)
    former_train: Mapping[str, str] = field(default_factory=dict)
    former_validation: Mapping[str, str] = field(default_factory=dict)


def split_items(
    items: Sequence[Item], settings: Split, report: Callable[[str], None], validation_items: Sequence[Item] = ()
) -> DataSplit:
    """Split `items`, apply the limits, and count the leaks.

    Args:
        items: photographs with a truth, sorted by name.
        settings: the recipe's `split` table.
        report: gets a line before work that takes long.
        validation_items: the photographs of `split.validation_data`; if there are any, all of `items` are for training.

    Raises:
        DataError: a photograph that can't be read, or no photograph is left to train or to validate.
    """
    count = len(items)
    items = [*items, *validation_items]
    labels = scene_labels(items, report)
    if validation_items:
        train, validation = list(range(count)), list(range(count, len(items)))
    else:
        train, validation = draw_split(labels, settings)
        if not validation:
            option = surface.words(command="--set split.method=random", python="split.method 'random'")
            raise DataError(
                f"All {count} photographs show one scene, so none is left to validate. Add photographs of other "
                f"scenes, or choose {option}."
            )
        if not train:
            raise DataError(
                f"split.validation = {settings.validation} leaves none of the {count} photographs to train on; "
                "lower it."
            )
    train = train[: settings.train_limit or None]
    validation = validation[: settings.validation_limit or None]
    used = {*train, *validation}
    return DataSplit(
        train=tuple(items[index] for index in train),
        validation=tuple(items[index] for index in validation),
        leaks=count_leaks(labels, train, validation),
        unused=tuple(item for index, item in enumerate(items) if index not in used),
    )


def draw_split(labels: Sequence[int], settings: Split) -> tuple[list[int], list[int]]:
    """Return the indices of the training and of the validation photographs, for the scene of each photograph."""
    if settings.folds:
        scenes = labels if settings.method == "scene" else list(range(len(labels)))
        return fold_split(scenes, folds=settings.folds, fold=settings.fold, seed=settings.seed)
    if settings.method == "scene":
        return scene_split(labels, fraction=settings.validation, seed=settings.seed)
    return random_split(len(labels), fraction=settings.validation, seed=settings.seed)


def random_split(count: int, *, fraction: float = 0.2, seed: int = 42) -> tuple[list[int], list[int]]:
    """Split `count` photographs at random, in the order of scikit-learn's train_test_split.

    Args:
        count: the number of photographs.
        fraction: the fraction for validation, in (0, 1).
        seed: scikit-learn's random_state.

    Returns:
        The indices of the training and of the validation photographs.
    """
    validation_count = math.ceil(fraction * count)
    order = np.random.RandomState(seed).permutation(count)
    return order[validation_count:].tolist(), order[:validation_count].tolist()


def scene_split(labels: Sequence[int], *, fraction: float = 0.2, seed: int = 42) -> tuple[list[int], list[int]]:
    """Split photographs so that no scene is in both parts.

    Scenes are drawn at random for validation as long as they fit. The fraction is met exactly if there are enough
    scenes of a single photograph, and otherwise to within the size of the largest scene.

    Args:
        labels: the scene of each photograph.
        fraction: the fraction of the photographs for validation.
        seed: the seed of the order in which scenes are drawn.

    Returns:
        The indices of the training and of the validation photographs, each in ascending order. If there is only one
        scene, all of it is for training.
    """
    scenes: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        scenes.setdefault(label, []).append(index)
    wanted = min(math.ceil(fraction * len(labels)), len(labels) - 1)
    order = list(scenes)
    np.random.RandomState(seed).shuffle(order)
    chosen: list[int] = []
    remaining = []
    for label in order:
        if len(chosen) + len(scenes[label]) <= wanted:
            chosen += scenes[label]
        else:
            remaining.append(scenes[label])
    if len(remaining) > 1:
        smallest = min(remaining, key=len)  # it exceeds the fraction, but the result may be closer to it
        options = [option for option in (chosen, [*chosen, *smallest], smallest) if option]
        chosen = min(options, key=lambda option: abs(len(option) - wanted))
    validation = set(chosen)
    return [index for index in range(len(labels)) if index not in validation], sorted(validation)


def fold_split(labels: Sequence[int], *, folds: int, fold: int, seed: int = 42) -> tuple[list[int], list[int]]:
    """Split photographs for cross-validation, so that each is in the validation part of one fold.

    Without photographs of the same scene, it is the split of scikit-learn's KFold(folds, shuffle=True). Otherwise
    scenes stay together: each goes to the smallest fold so far, the largest scenes first.

    Args:
        labels: the scene of each photograph.
        folds: the number of folds.
        fold: the one to validate, from 1.
        seed: scikit-learn's random_state.

    Returns:
        The indices of the training and of the validation photographs, each in ascending order.

    Raises:
        DataError: there are fewer scenes than folds.
    """
    scenes: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        scenes.setdefault(label, []).append(index)
    if len(scenes) < folds:
        raise DataError(f"{len(scenes)} photographs or scenes can't be split into {folds} folds; lower split.folds.")
    order = np.random.RandomState(seed).permutation(len(scenes))
    members = list(scenes.values())
    if len(scenes) == len(labels):
        parts = [[int(index) for index in part] for part in np.array_split(order, folds)]
    else:
        parts = [[] for _ in range(folds)]
        for index in sorted(order, key=lambda index: -len(members[index])):
            min(parts, key=len).extend(members[index])
    validation = sorted(parts[fold - 1])
    return sorted(set(range(len(labels))) - set(validation)), validation


def count_leaks(labels: Sequence[int], train: Sequence[int], validation: Sequence[int]) -> int:
    """Return the number of validation photographs that share a scene with a training photograph."""
    training_scenes = {labels[index] for index in train}
    return sum(labels[index] in training_scenes for index in validation)


def scene_labels(items: Sequence[Item], report: Callable[[str], None]) -> list[int]:
    """Return the scene of each photograph; cached by the files' names, sizes and modification times."""
    paths = [item.truth for item in items if item.truth is not None]
    stats = [_file_state(path) if isinstance(path, Path) else (path.identity(),) for path in paths]
    key = sha256(json.dumps([near_duplicates.FORMAT_VERSION, stats]).encode()).hexdigest()
    cached = cache_dir() / "scenes" / f"{key}.json"
    try:
        labels = parse_json(cached.read_text("utf-8"))
        if len(labels) == len(paths):
            return labels
    except (OSError, ValueError):
        pass  # missing or incomplete: computed below
    if len(paths) > 1000:
        report(f"Comparing {len(paths)} photographs to find those of the same scene; the result is cached.")
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        fingerprints = list(pool.map(lambda path: near_duplicates.fingerprint(io.read_rgb(path)), paths))
    labels = near_duplicates.group_scenes(fingerprints)
    try:
        files.ensure_folder(cached.parent)
        files.write_json(cached, labels)
    except files.OutputError:
        pass  # without the cache the next run computes them again
    return labels


def _file_state(path: Path) -> tuple[str, int, int]:
    """Return path, size and time of change of a file; zeros if it can't be read, as a broken link."""
    try:
        state = path.stat()
    except OSError:
        return str(path.absolute()), 0, 0
    return str(path.resolve()), state.st_size, state.st_mtime_ns
