"""Which photograph is restored to which file: nothing overwritten, nothing twice, the place below kept."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolbox.errors import DataError, UsageError
from toolbox.imaging import io
from toolbox.imaging.formats import format_of_path
from toolbox.utils import files

REPORTS = "report*.json"
LONGEST_NAME = 255


@dataclass(frozen=True, kw_only=True)
class Job:
    """One photograph with the file that its result goes to.

    Attributes:
        photo: the file.
        relative_path: its path below the folder that was given; its name, if the file itself was given.
        target: the file of its result.
    """

    photo: Path
    relative_path: Path
    target: Path

    @property
    def beside(self) -> Path:
        """The picture of before and after."""
        return _beside(self.target)


def plan_jobs(given: Sequence[Path], out: Path, *, keep_format: bool = False) -> list[Job]:
    """Return what is to be restored, in order.

    A photograph keeps its place below the folder that was given and its name; JPEG, WebP and BMP end on .png unless
    `keep_format`. Where two results would have one name, or names that differ in case alone, both keep the ending
    that they had (``a.jpg.png``), and are numbered if that is not enough.

    Args:
        given: photographs, and folders that are gone through with their folders; hidden ones are left out.
        out: the folder for the results; results of before that lie in it are no photographs.
        keep_format: whether JPEG and WebP keep their endings.

    Raises:
        UsageError: there is no such file, or the results would lie among the photographs.
        DataError: there is no photograph in all that was given, or a folder can't be read.
    """
    found: dict[str, tuple[Path, Path]] = {}
    for place in given:
        if os.path.isdir(place):
            require_separate_folder(out, place, "the photographs'")
            _demand_results(out, place)
            photos = [(path, path.relative_to(place)) for path in _below(place, out)]
        elif os.path.exists(place):
            require_separate_folder(out, place.parent, "the photographs'")
            photos = [(place, Path(place.name))]
        else:
            raise UsageError(f"{files.printable(place)}: there is no such file or folder.")
        for path, below in photos:
            # By its real folder, so that a photograph given twice is restored once.
            found.setdefault(os.path.join(os.path.realpath(path.parent), path.name), (path, below))
    if not found:
        raise DataError(f"{', '.join(files.printable(place) for place in given)}: no photographs there.")
    return _named(list(found.values()), out, keep_format)


def rank_jobs(jobs: list[Job]) -> tuple[list[Job], int | None]:
    """Return this process's jobs and its rank, None if it is alone: by RANK and WORLD_SIZE, as launchers set them."""
    world = _number("WORLD_SIZE", "1")
    if world < 2:
        return jobs, None
    rank = _number("RANK", "")
    if rank >= world:
        raise UsageError(f"RANK is {rank} and WORLD_SIZE {world}; ranks count from 0.")
    return jobs[rank::world], rank


def require_separate_folder(out: Path, folder: Path, whose: str) -> None:
    """Raise UsageError if the results would go into `folder` itself, by whatever name it is called."""
    if is_same_path(out, folder):
        raise UsageError(
            f"-o {files.printable(out)} is {whose} own folder; choose another, so that none is overwritten."
        )


def is_same_path(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file or folder, through links and names that differ in case alike."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def _number(name: str, default: str) -> int:
    text = os.environ.get(name) or default
    if not text.isdecimal():
        raise UsageError(f"{name} is '{text}'; a launcher sets RANK from 0 and WORLD_SIZE, or neither is set.")
    return int(text)


def _demand_results(out: Path, folder: Path) -> None:
    """Refuse a folder within the photographs' that holds photographs of its own, which were left out in silence."""
    inside = os.path.realpath(out).startswith(os.path.join(os.path.realpath(folder), ""))
    if inside and out.is_dir() and not any(out.glob(REPORTS)) and _below(out, None):
        raise UsageError(
            f"-o {files.printable(out)} lies in {files.printable(folder)} and holds photographs that are no results; "
            "choose another folder."
        )


def _below(folder: Path, out: Path | None) -> list[Path]:
    """Return the photographs below `folder`, sorted; folders are not entered twice, whatever links there are."""
    seen: set[str] = set()
    found: list[Path] = []
    folders, links = [folder], list[Path]()
    while folders or links:
        # Links last, so that what a link leads to keeps its own place if it is here too.
        here = folders.pop() if folders else links.pop()
        real = os.path.realpath(here)
        if real in seen or (out is not None and is_same_path(here, out)):
            continue
        seen.add(real)
        found += io.find_images(here)
        try:
            for path in sorted(here.iterdir(), reverse=True):
                if path.is_dir() and not path.name.startswith("."):
                    (links if path.is_symlink() else folders).append(path)
        except OSError as error:  # deeper than a path may be long
            raise DataError(
                f"{files.printable(here)} can't be gone through: {error.strerror}; give it from a folder nearer to it"
            ) from error
    return sorted(found)


def _named(found: list[tuple[Path, Path]], out: Path, keep_format: bool) -> list[Job]:
    targets = [_target(place, keep_format) for _, place in found]
    wanted = Counter(_folded(target) for target in targets)
    taken: set[str] = set()
    jobs = []
    for (photo, place), target in zip(found, targets, strict=True):
        if wanted[_folded(target)] > 1:
            target = target.with_name(place.name + target.suffix)
        plain, number = target, 2
        while {_folded(target := _fitting(target)), _folded(_beside(target))} & taken:
            target = plain.with_name(f"{plain.stem}-{number}{plain.suffix}")
            number += 1
        taken |= {_folded(target), _folded(_beside(target))}
        jobs.append(Job(photo=photo, relative_path=place, target=out / target))
    return jobs


def _target(place: Path, keep_format: bool) -> Path:
    row = format_of_path(place)
    if row is None:
        return place.with_name(f"{place.name}.png")
    return place if row.encode and (keep_format or not row.is_lossy) else place.with_suffix(".png")


def _beside(target: Path) -> Path:
    return _fitting(target.with_name(f"{target.name}.before-after.png"))


def _fitting(path: Path) -> Path:
    """Return the path with a name that a disk takes: a longer one is cut, and told apart by a sum of the whole."""
    name = os.fsencode(path.name)
    if len(name) <= LONGEST_NAME:
        return path
    ending = f"-{hashlib.sha256(name).hexdigest()[:8]}{path.suffix}"
    cut = name[: LONGEST_NAME - len(os.fsencode(ending))].decode("utf-8", "ignore")
    return path.with_name(cut + ending)


def _folded(path: Path) -> str:
    """Return what is one for names that some disk takes for one: in any case, accents composed or not."""
    return unicodedata.normalize("NFC", str(path)).casefold()
