"""Split the photographs into train, development (to choose by) and test (to report on): `photo_split.csv`.

    python -m benchmarks photo-split PHOTOS --encoder FILE.safetensors --avoid PAIRS/truth

The categories of `free.csv` are merged into twelve. The number of development and test photographs of a category is
proportional to the square root of its size, so that small categories can be judged too. The photographs are ordered by
a hash of their names. Of a group of near-duplicates at most one photograph is in development or test, and the others
are left out. A group with a photograph of COCO's validation set is in train. A group with a photograph of the benchmark
pairs is left out.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from benchmarks.common import near_duplicates
from toolbox.errors import DataError
from toolbox.imaging import io

T = TypeVar("T")

FILE = Path(__file__).with_name("photo_split.csv")
COLUMNS = ("file", "set", "category", "group")
SETS = ("train", "development", "test", "out")
COUNT = 300

# Licences for photographs. Licences for programs and manuals (GPL, LGPL, LPPL, MPL, GFDL) are not permitted.
PERMITTED = re.compile(r"(cc0|cc-by|public.domain|mit|bsd|apache|unsplash|pexels|no-known-copyright)", re.IGNORECASE)

CATEGORIES = {
    "travel": ("travel (towns, landscapes, food)",),
    "cities": ("cities", "buildings"),
    "landmarks": ("landmarks and landscapes",),
    "nature": ("nature and outdoors", "landscapes", "birds and landscapes", "mixed landscapes and objects"),
    "food": ("food", "food and sea animals", "food in shops", "restaurant and food"),
    "animals": ("animals", "animals (cats)"),
    "plants": ("plants", "flowers"),
    "people": (
        *("people", "people and offices", "people outdoors", "people and objects", "clothes indoors", "family"),
        "family, fashion, venues",
    ),
    "interiors": ("interiors and family", "interiors and towns"),
    "cars": ("cars", "cars in streets"),
    "everyday": ("mixed everyday (people, streets, interiors, food, animals)",),
    "collections": ("",),  # the photographs of manifest.csv, which has no categories
}

# Sources of COCO's training set. All other photographs of COCO count as its validation set, because the largest source
# has validation photographs in a folder named train2017.
COCO_TRAINING = re.compile(r"(COCO-MINI|COCO_Tiny|COCO128)@.*train2017")


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photograph: path in the folder of photographs, category, and whether it must be in train."""

    file: str
    category: str
    trains: bool = False


@click.command("photo-split")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--encoder", type=click.Path(exists=True, path_type=Path), required=True, help="Weights of the encoder.")
@click.option(
    "--avoid", type=click.Path(exists=True, path_type=Path), help="Photographs whose near-duplicates are left out."
)
@click.option("--out", type=click.Path(path_type=Path), default=FILE, help="File to write.  [default: photo_split.csv]")
def command(photos: Path, encoder: Path, avoid: Path | None, out: Path) -> None:
    """Split the photographs of the folder PHOTOS with free.csv, free/, manifest.csv and train/."""
    listed = list_photos(photos)
    paths = [photos / photo.file for photo in listed] + (io.find_images(avoid) if avoid else [])
    extract = near_duplicates.Extractor(encoder)
    with click.progressbar(paths, label="features") as bar:
        features = [extract(io.read_rgb(path)) for path in bar]
    labels = near_duplicates.groups(features)
    rows = split(listed, labels[: len(listed)], set(labels[len(listed) :]), COUNT)
    write(out, rows)
    for name in SETS:
        click.echo(f"{name}: {sum(row['set'] == name for row in rows)}")


def list_photos(photos: Path) -> list[Photo]:
    """Return the photographs with a permitted licence, in the order of the two lists."""
    merged = {original: name for name, originals in CATEGORIES.items() for original in originals}
    listed = []
    for table, folder in (("free.csv", "free"), ("manifest.csv", "train")):
        with (photos / table).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if PERMITTED.match(row["licence"]):
                    category = merged[row.get("category") or ""]
                    trains = category == "everyday" and not COCO_TRAINING.search(row["source"])
                    listed.append(Photo(file=f"{folder}/{row['file']}", category=category, trains=trains))
    return listed


def split(photos: Sequence[Photo], labels: Sequence[int], avoided: set[int], count: int) -> list[dict[str, str]]:
    """Return a row (see `COLUMNS`) for each photograph, `count` of them in development and as many in test.

    Args:
        photos: the photographs.
        labels: the group of near-duplicates of each photograph.
        avoided: the groups to leave out.
        count: size of development and of test; less if there are too few photographs.
    """
    members: dict[int, list[Photo]] = defaultdict(list)
    for photo, label in zip(photos, labels, strict=True):
        members[label].append(photo)
    firsts = {label: min(group, key=lambda photo: digest(photo.file)) for label, group in members.items()}
    open_to: dict[str, list[int]] = defaultdict(list)
    for label in sorted(members, key=lambda label: digest(firsts[label].file)):
        if label not in avoided and not any(photo.trains for photo in members[label]):
            open_to[firsts[label].category].append(label)
    sizes = {name: sum(photo.category == name for photo in photos) for name in open_to}
    wanted = numbers_by_category(sizes, {name: len(candidates) // 2 for name, candidates in open_to.items()}, count)
    sets = dict.fromkeys(avoided, "out")
    for name, candidates in open_to.items():
        number = wanted[name]
        sets |= dict.fromkeys(candidates[:number], "development")
        sets |= dict.fromkeys(candidates[number : 2 * number], "test")
    rows = []
    for photo, label in zip(photos, labels, strict=True):
        chosen = sets.get(label, "train")
        if chosen in ("development", "test") and photo is not firsts[label]:
            chosen = "out"
        rows.append(
            {"file": photo.file, "set": chosen, "category": photo.category, "group": digest(firsts[label].file)[:8]}
        )
    return rows


def numbers_by_category(sizes: Mapping[str, int], most: Mapping[str, int], count: int) -> dict[str, int]:
    """Return the number of each category: by the square roots of the sizes, in total `count`, none above `most`."""
    numbers = dict.fromkeys(sizes, 0)
    for _ in range(min(count, sum(most.values()))):
        free = [name for name in sizes if numbers[name] < most[name]]
        numbers[max(free, key=lambda name: (math.sqrt(sizes[name]) / (numbers[name] + 1), name))] += 1
    return numbers


def digest(name: str) -> str:
    """Return the hash of a file name; photographs are ordered by it."""
    return hashlib.sha256(name.encode("utf-8")).hexdigest()


def write(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write the rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path = FILE, part: str | None = None) -> list[dict[str, str]]:
    """Return the rows of a split, or those of one of `SETS`.

    Raises:
        DataError: the file is no table with the columns `file` and `set`.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if row["file"] and part in (None, row["set"])]
    except (KeyError, ValueError, csv.Error) as error:
        raise DataError(f"{path} is no table with the columns file and set: {error}") from error


def spread(items: Sequence[T], count: int | None) -> Sequence[T]:
    """Return `count` items at equal distances, from the first on; all of them if there are no more, or for None.

    Figures of 2026-11-29 and before with a `count` that does not divide the number of items have others: every n-th
    item, n rounded down.
    """
    if count is None or count >= len(items):
        return items
    return [items[number * len(items) // count] for number in range(count)]
