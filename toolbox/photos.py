"""Photographs to restored photographs: one after the other, each whole or not at all, with a report of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from toolbox import encoding, files, images, masks, toning
from toolbox.batch import Job
from toolbox.errors import DataError, OutputError, ToolboxError
from toolbox.images import Photo
from toolbox.masks import Choice
from toolbox.restore import Restorer

BESIDE = ".before-after"
GAP = 8


@dataclass(frozen=True, kw_only=True)
class How:
    """What is asked of every photograph.

    Attributes:
        choice: which part of it is lost.
        keep: what of it comes out unchanged: "auto" is the luma of one that counts as gray, all of one in colour.
        tone: whether a toned photograph, as a sepia print, is given its tone back in the place of colours.
        before_after: whether it is written beside its result too.
        overwrite: whether a result that is there already is made again.
        max_pixels: the most that a photograph may have.
    """

    choice: Choice = field(default_factory=Choice)
    keep: Literal["auto", "luma", "rgb", "none"] = "auto"
    tone: bool = False
    before_after: bool = False
    overwrite: bool = False
    max_pixels: int = images.MAX_PIXELS


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one photograph.

    Attributes:
        photo: it.
        result: the file of its result.
        status: "restored"; "there already"; "left as it is", where nothing is lost of a colour photograph; "failed".
        reason: why it failed or was left.
        kind: "gray", "toned" or "colour", as it was judged.
        lost: the share of it that was lost.
        notes: what was changed beside, a line each.
        seconds: how long it took.
    """

    photo: str
    result: str
    status: Literal["restored", "there already", "left as it is", "failed"]
    reason: str = ""
    kind: str = ""
    lost: float = 0.0
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def restore_all(
    jobs: Sequence[Job], restorer: Restorer, how: How, stop: Callable[[], bool] = lambda: False
) -> Iterator[Outcome]:
    """Restore the photographs one after the other and yield what became of each; `stop` is asked before each."""
    own = {_identity(job.photo) for job in jobs} - {None}
    for job in jobs:
        if stop():
            return
        started = time.monotonic()
        try:
            outcome = _one(job, restorer, how, own)
        except ToolboxError as error:
            outcome = _outcome(job, status="failed", reason=" ".join(str(error).split()))
        except (MemoryError, RuntimeError) as error:
            outcome = _outcome(job, status="failed", reason=f"can't be restored: {' '.join(str(error).split())}")
        yield replace(outcome, seconds=round(time.monotonic() - started, 3))


def write_report(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write what became of all as JSON; raises OutputError."""
    counts = {status: sum(one.status == status for one in outcomes) for status in ("restored", "failed")}
    files.write_json(path, {**counts, "photos": [asdict(one) for one in outcomes]})


def there(job: Job) -> bool:
    """Return whether a photograph's result is there already; it is whole, since it was renamed into its place."""
    return job.target.exists()


def _one(job: Job, restorer: Restorer, how: How, own: set[tuple[int, int] | None]) -> Outcome:
    if _identity(job.target) in own and not job.target.is_symlink():
        raise OutputError(f"{files.shown(job.target)} is one of the photographs itself; choose another folder with -o")
    if there(job) and not how.overwrite:
        return _outcome(job, status="there already")
    photo = images.read(job.photo, max_pixels=how.max_pixels)
    rgb = images.rgb_of(photo)
    toned = toning.judge(rgb, None if photo.alpha is None else photo.alpha == 0)
    gray = toned.kind != "colour"
    mask = masks.lost(photo, job.photo, rgb, gray, how.choice)
    keep = ("luma" if gray else "rgb") if how.keep == "auto" else how.keep
    if keep == "rgb" and not mask.any():
        reason = "in colour, and nothing of it is lost; tell what is with --mask, or recolour it with --keep luma"
        return _outcome(job, status="left as it is", reason=reason, kind=toned.kind)
    pixels, notes = _restored(photo, rgb, mask, keep, toned, restorer, how)
    data, more = encoding.encode(pixels, encoding.KINDS[job.target.suffix.lower()], photo.exif)
    files.ensure_folder(job.target.parent)
    files.write_bytes(job.target, data)
    if how.before_after:
        beside = job.target.with_name(f"{job.target.name}{BESIDE}.png")
        images.write_png(beside, side_by_side(rgb, images.eight_bits(pixels)))
    return _outcome(
        job,
        status="restored",
        kind=toned.kind,
        lost=float(mask.mean()),
        notes=(*photo.notes, *notes, *more),
    )


def _restored(
    photo: Photo, rgb: np.ndarray, mask: np.ndarray, keep: str, toned: toning.Toning, restorer: Restorer, how: How
) -> tuple[np.ndarray, tuple[str, ...]]:
    notes: list[str] = []
    able = replace(restorer, keep=keep, say=notes.append)
    given = photo.pixels
    if keep == "luma" and given.ndim == 3:
        given = toning.gray_of(given)
    result = able(given, mask)
    if how.tone and toned.kind == "toned" and keep == "luma":
        known = images.eight_bits(photo.pixels) if photo.pixels.ndim == 3 else rgb
        tinted = toning.toned(images.luma(images.eight_bits(result)), toned)
        result = np.where(mask[..., None], tinted, known)
        notes.append("its tone kept")
    elif toned.kind == "toned" and keep == "luma":
        notes.append("its tone taken for gray")
    return result, tuple(notes)


def side_by_side(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return two (H, W, 3) uint8 pictures beside each other, a white strip between."""
    strip = np.full((len(before), GAP, 3), 255, np.uint8)
    return np.hstack([before, strip, after])


def _outcome(job: Job, **facts: object) -> Outcome:
    return Outcome(photo=files.shown(job.photo), result=files.shown(job.target), **facts)  # type: ignore[arg-type]


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from every other, whatever it is called; None if it is not there."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def demand_writable(out: Path) -> None:
    """Make the folder of the results, and refuse one that can't be; raises OutputError or DataError."""
    if out.exists() and not out.is_dir():
        raise DataError(f"-o {files.shown(out)} is a file; results go into a folder.")
    files.ensure_folder(out)
    files.remove_stale(out)
