"""Small data sets for the conformance kit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import toolbox

from .pack import members, write_database, write_shards


def write_folder(folder: Path) -> Path:
    """Write a competition folder of three pairs and a test photograph."""
    random = np.random.default_rng(0)
    for name in ("train_input", "train_gt", "test_input"):
        (folder / "data" / name).mkdir(parents=True)
    for index in range(4):
        picture = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        picture.convert("L").save(folder / "data" / ("train_input" if index < 3 else "test_input") / f"{index}.png")
        if index < 3:
            picture.save(folder / "data" / "train_gt" / f"{index}.png")
    return folder / "data"


def write_tars(folder: Path) -> Path:
    """Write the same as tar files of a few kilobytes."""
    write_shards(folder / "shards", members(toolbox.open_folder(write_folder(folder))), 4000)
    return folder / "shards"


def write_lmdb(folder: Path) -> Path:
    """Write the same as a database."""
    write_database(folder / "data.lmdb", members(toolbox.open_folder(write_folder(folder))))
    return folder / "data.lmdb"
