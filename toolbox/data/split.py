"""Which photographs train and which validate, and how many scenes lie on both sides."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

from toolbox.config.settings import Split
from toolbox.data import near_duplicates
from toolbox.data.folders import Item
from toolbox.imaging import io
from toolbox.utils import files
from toolbox.utils.paths import cache_dir


@dataclass(frozen=True, kw_only=True)
class DataSplit:
    """The two sides of a split, and how many validation photographs share a scene with a training one."""

    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    leaks: int


def split_items(items: Sequence[Item], settings: Split, say: Callable[[str], None]) -> DataSplit:
    """Split `items`, limits applied, and count the leaks.

    Args:
        items: photographs with a truth, sorted by name.
        settings: the recipe's `split` table.
        say: is told, a line at a time, what takes long.

    Raises:
        DataError: a photograph that can't be read.
    """
    labels = scene_labels(items, say)
    if settings.method == "scene":
        train, validation = near_duplicates.scene_split(labels, share=settings.validation, seed=settings.seed)
    else:
        train, validation = near_duplicates.random_split(len(items), share=settings.validation, seed=settings.seed)
    train = train[: settings.train_limit or None]
    validation = validation[: settings.validation_limit or None]
    return DataSplit(
        train=tuple(items[i] for i in train),
        validation=tuple(items[i] for i in validation),
        leaks=near_duplicates.leaks(labels, train, validation),
    )


def scene_labels(items: Sequence[Item], say: Callable[[str], None]) -> list[int]:
    """Return each photograph's scene; kept in the cache by the files' names, sizes and times."""
    paths = [item.truth for item in items if item.truth is not None]
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    key = sha256(json.dumps([near_duplicates.FORMAT_VERSION, facts]).encode()).hexdigest()
    cached = cache_dir() / "scenes" / f"{key}.json"
    try:
        labels = json.loads(cached.read_text("utf-8"))
        if len(labels) == len(paths):
            return labels
    except (OSError, ValueError):
        pass  # not there, or cut short: it is computed again
    if len(paths) > 1000:
        say(f"Looking for scenes among {len(paths)} photographs; this is done once.")
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        labels = near_duplicates.group(
            list(pool.map(lambda path: near_duplicates.fingerprint(io.read_rgb(path)), paths))
        )
    try:
        files.ensure_folder(cached.parent)
        files.write_json(cached, labels)
    except files.OutputError:
        pass  # a cache that can't be written costs time alone
    return labels
