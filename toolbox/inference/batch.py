"""Photographs to restored photographs: one after the other, each whole or not at all, with a report of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from toolbox.color import integer_luma
from toolbox.errors import DataError, OutputError, ToolboxError
from toolbox.imaging import io, sepia
from toolbox.imaging.formats import format_of_path
from toolbox.imaging.io import Photo
from toolbox.inference.output_paths import REPORTS, Job
from toolbox.inference.restorer import Restorer
from toolbox.masks import sources
from toolbox.masks.sources import MaskOptions
from toolbox.utils import files

GAP = 8
Status = Literal["restored", "there already", "left as it is", "failed"]


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """What is asked of every photograph.

    Attributes:
        mask_options: which part of it is lost.
        keep: what of it comes out unchanged: "auto" is the luma of one that counts as gray, all of one in colour.
        tone: whether a toned photograph, as a sepia print, is given its tone back in the place of colours.
        before_after: whether it is written beside its result too.
        overwrite: whether a result that is there already is made again.
        max_pixels: the most that a photograph may have.
    """

    mask_options: MaskOptions = field(default_factory=MaskOptions)
    keep: Literal["auto", "luma", "rgb", "none"] = "auto"
    tone: bool = False
    before_after: bool = False
    overwrite: bool = False
    max_pixels: int = io.MAX_PIXELS


@dataclass(frozen=True, kw_only=True)
class PhotoResult:
    """What became of one photograph.

    Attributes:
        photo: it.
        result: the file of its result.
        status: "restored"; "there already"; "left as it is", where there is nothing to do; "failed".
        reason: why it failed or was left.
        kind: "gray", "toned" or "colour", as it was judged.
        lost: the share of it that was lost.
        notes: what was changed beside, a line each.
        seconds: how long it took.
    """

    photo: str
    result: str
    status: Status
    reason: str = ""
    kind: str = ""
    lost: float = 0.0
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _Worker:
    """What all photographs share: a restorer for each `keep`, what these say, and what must not be written to."""

    restorers: Mapping[str, Restorer]
    said: list[str]
    how: RestoreOptions
    originals: frozenset[tuple[int, int] | None]
    homes: frozenset[tuple[int, int] | None]


def restore_all(
    jobs: Sequence[Job],
    restorer: Restorer,
    how: RestoreOptions,
    *,
    among: Sequence[Job] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[PhotoResult]:
    """Restore the photographs one after the other and yield what became of each; `stop` is asked before each.

    `among` are the photographs of all processes, none of which is written to; None if these are all.
    """
    photos = [job.photo for job in (jobs if among is None else among)]
    given = [how.mask_options.given] if isinstance(how.mask_options.given, Path) else []
    said: list[str] = []
    work = _Worker(
        restorers={keep: replace(restorer, keep=keep, say=said.append) for keep in ("luma", "rgb", "none")},
        said=said,
        how=how,
        originals=frozenset(_identity(path) for path in [*photos, *given]) - {None},
        homes=frozenset(_identity(path) for path in {path.parent for path in photos}) - {None},
    )
    for job in jobs:
        if stop():
            return
        started = time.monotonic()
        said.clear()
        try:
            outcome = _one(job, work)
        except ToolboxError as error:
            # Most errors open with the photograph's name, which the outcome has already.
            outcome = _outcome(
                job, status="failed", reason=_line(str(error)).removeprefix(f"{files.printable(job.photo)} ")
            )
        except Exception as error:  # one photograph must not end the others', whatever a decoder or a device raises
            outcome = _outcome(job, status="failed", reason=f"{type(error).__name__}: {_line(str(error))}")
        yield replace(outcome, seconds=round(time.monotonic() - started, 3))


def write_report(outcomes: Sequence[PhotoResult], total: int) -> dict[str, Any]:
    """Return what became of all of `total` photographs, for JSON: how many of each status, and a record each."""
    counts = {status: sum(one.status == status for one in outcomes) for status in get_args(Status)}
    return {**counts, "not reached": total - len(outcomes), "photos": [asdict(one) for one in outcomes]}


def begin_report(out: Path, path: Path, jobs: Sequence[Job]) -> None:
    """Make the folder of the results, with a report that tells it for one; raises OutputError or DataError."""
    if out.exists() and not out.is_dir():
        raise DataError(f"-o {files.printable(out)} is a file; results go into a folder.")
    files.ensure_folder(out)
    for folder in {out, *(job.target.parent for job in jobs)}:
        files.remove_stale(folder)
    if not any(out.glob(REPORTS)):
        files.write_json(path, write_report([], len(jobs)))


def read_finished(job: Job, how: RestoreOptions) -> bool:
    """Return whether nothing is to be made of a photograph; what is there is whole: it was renamed into its place."""
    return not how.overwrite and job.target.exists() and (job.beside.exists() or not how.before_after)


def _one(job: Job, work: _Worker) -> PhotoResult:
    how = work.how
    for path in (job.target, job.beside):
        _demand_safe(path, work)
    if read_finished(job, how):
        return _outcome(job, status="there already")
    photo = io.read(job.photo, max_pixels=how.max_pixels)
    rgb = io.to_rgb8(photo)
    if job.target.exists() and not how.overwrite:
        _write_beside(job, rgb, io.read_rgb(job.target, max_pixels=how.max_pixels))
        return _outcome(job, status="there already", notes=("before and after written",))
    toned, mask = _judged(job, photo, rgb, how.mask_options)
    keep = ("rgb" if toned.kind == "colour" else "luma") if how.keep == "auto" else how.keep
    tone = how.tone and toned.kind == "toned" and keep == "luma"
    if (keep == "rgb" or tone) and not mask.any():
        what = "its tone is kept" if tone else "in colour" if toned.kind == "colour" else "--keep rgb"
        instead = "leave out --tone keep" if tone else "recolour it with --keep luma"
        reason = f"{what}, and nothing of it is lost; tell what is with --mask, or {instead}"
        return _outcome(job, status="left as it is", reason=reason, kind=toned.kind)
    # Of a large photograph each of these is hundreds of megabytes: what is no longer needed goes.
    before = rgb if how.before_after else None
    del rgb
    pixels = _restored(photo, mask, keep, toned if tone else None, work.restorers[keep])
    photo = replace(photo, pixels=pixels, alpha=None)
    result_format = format_of_path(job.target)
    assert result_format is not None
    data, notes = io.encode(pixels, result_format.name, photo.exif)
    files.ensure_folder(job.target.parent)
    files.write_bytes(job.target, data)
    if before is not None:
        _write_beside(job, before, io.to_8bit(pixels))
    if toned.kind == "toned" and keep == "luma":
        notes = ("its tone kept" if tone else "its tone taken for gray", *notes)
    notes = (*photo.notes, *work.said, *notes)
    return _outcome(job, status="restored", kind=toned.kind, lost=float(mask.mean()), notes=notes)


def _judged(job: Job, photo: Photo, rgb: np.ndarray, choice: MaskOptions) -> tuple[sepia.Toning, np.ndarray]:
    """Return what a photograph's colours are, and what of it is lost; the one tells the other."""
    told = sources.grow_mask(sources.mask_from_options(photo, job.photo, job.relative_path, rgb, choice), choice.grow)
    toned = sepia.measure_toning(rgb, told)
    if not choice.finds:
        return toned, told
    painted = sources.find_painted_shape(rgb)
    if not painted.any():
        return toned, told
    both = told | sources.grow_mask(painted, choice.grow)
    # A shape in a colour of its own made a gray photograph look coloured; in a coloured one it belongs to the picture.
    beside = sepia.measure_toning(rgb, both)
    return (toned, told) if beside.kind == "colour" else (beside, both)


def _restored(photo: Photo, mask: np.ndarray, keep: str, tone: sepia.Toning | None, restorer: Restorer) -> np.ndarray:
    given = integer_luma(photo.pixels) if keep == "luma" and photo.pixels.ndim == 3 else photo.pixels
    result = restorer(given, mask)
    if tone is None:
        return result
    return np.where(mask[..., None], sepia.apply_toning(integer_luma(result), tone), photo.pixels)


def _write_beside(job: Job, before: np.ndarray, after: np.ndarray) -> None:
    """Write two (H, W, 3) uint8 pictures beside each other, a white strip between."""
    if before.shape != after.shape:
        raise DataError(
            f"{files.printable(job.target)} is there already and of another size than its photo; "
            "--overwrite makes it anew"
        )
    strip = np.full((len(before), GAP, 3), 255, np.uint8)
    io.write_png(job.beside, np.hstack([before, strip, after]))


def _demand_safe(path: Path, work: _Worker) -> None:
    """Raise OutputError if a result would go where a photograph is, or can't go anywhere."""
    # A link in the result's place would be replaced, and what it leads to left alone.
    if _identity(path) in work.originals and not path.is_symlink():
        raise OutputError(f"{files.printable(path)} is one of the photographs itself; choose another folder with -o")
    if _identity(path.parent) in work.homes:
        raise OutputError(f"{files.printable(path)} would lie among the photographs; choose another folder with -o")
    if path.is_dir():
        raise OutputError(f"{files.printable(path)} can't be written: a folder has that name; choose another with -o")


def _outcome(job: Job, **facts: object) -> PhotoResult:
    return PhotoResult(photo=files.printable(job.photo), result=files.printable(job.target), **facts)  # type: ignore[arg-type]


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from every other, whatever it is called; None if it is not there."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return state.st_dev, state.st_ino


def _line(text: str) -> str:
    return files.printable(" ".join(text.split()))
