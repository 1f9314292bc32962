"""Which photograph is restored to which file: nothing overwritten, nothing twice, the place below kept."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolbox import files, images
from toolbox.errors import DataError, UsageError

ENDINGS = {".tif": ".tif", ".tiff": ".tiff"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One photograph with the file that its result goes to."""

    photo: Path
    target: Path


def plan(given: Sequence[Path], out: Path, *, keep_format: bool = False) -> list[Job]:
    """Return what is to be restored, in order.

    A photograph keeps its place below the folder that was given and its name; JPEG, WebP and BMP end on .png unless
    `keep_format`. Where two results would have one name, or names that differ in case alone, both keep the ending
    that they had (``a.jpg.png``), and are numbered if that is not enough.

    Args:
        given: photographs, and folders that are gone through with their folders; hidden ones are left out.
        out: the folder for the results; results of before that lie in it are no photographs.
        keep_format: whether each file keeps its ending.

    Raises:
        UsageError: there is no such file, or the results would lie among the photographs.
        DataError: there is no photograph in all that was given.
    """
    found: dict[Path, Path] = {}
    for place in given:
        if place.is_dir():
            _demand_apart(out, place)
            found |= {path: path.relative_to(place) for path in _below(place, out)}
        elif place.exists():
            _demand_apart(out, place.parent)
            found[place] = Path(place.name)
        else:
            raise UsageError(f"{files.shown(place)}: there is no such file or folder.")
    if not found:
        raise DataError(f"{', '.join(files.shown(place) for place in given)}: no photographs there.")
    return _named(found, out, keep_format)


def share(jobs: list[Job]) -> tuple[list[Job], int | None]:
    """Return this process's jobs and its rank, None if it is alone: by RANK and WORLD_SIZE, as launchers set them."""
    world = int(os.environ.get("WORLD_SIZE", "1") or 1)
    if world < 2:
        return jobs, None
    rank = int(os.environ.get("RANK", "0") or 0)
    return jobs[rank::world], rank


def _demand_apart(out: Path, folder: Path) -> None:
    if out.resolve() == folder.resolve():
        raise UsageError(
            f"-o {files.shown(out)} is the photographs' own folder; choose another, so that none is overwritten."
        )


def _below(folder: Path, out: Path) -> list[Path]:
    """Return the photographs below `folder`, sorted; folders are not entered twice, whatever links there are."""
    results, seen, found = out.resolve(), set(), []
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        real = here.resolve()
        if real in seen or real == results:
            continue
        seen.add(real)
        found += images.find(here)
        waiting += sorted(path for path in here.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(found)


def _named(found: dict[Path, Path], out: Path, keep_format: bool) -> list[Job]:
    short = {photo: _target(place, keep_format) for photo, place in found.items()}
    taken: dict[str, list[Path]] = defaultdict(list)
    for photo, target in short.items():
        taken[_folded(target)].append(photo)
    names: set[str] = set()
    jobs = []
    for photo, target in short.items():
        if len(taken[_folded(target)]) > 1:
            target = target.with_name(found[photo].name + target.suffix)
        stem, number = target.stem, 2
        while _folded(target) in names:
            target = target.with_name(f"{stem}-{number}{target.suffix}")
            number += 1
        names.add(_folded(target))
        jobs.append(Job(photo=photo, target=out / target))
    return jobs


def _target(place: Path, keep_format: bool) -> Path:
    ending = place.suffix.lower()
    if keep_format and ending != ".bmp":
        return place
    return place.with_suffix(ENDINGS.get(ending, ".png"))


def _folded(path: Path) -> str:
    return str(path).casefold()
