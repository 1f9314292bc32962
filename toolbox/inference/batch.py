"""Restore many photographs, one after the other. A photograph that fails does not stop the others."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from toolbox.errors import CancelledError, DataError, OutputError, ToolboxError
from toolbox.inference.mask_paths import shared_masks
from toolbox.inference.options import PhotoResult, RestoreOptions, Status, is_complete, is_finished, photo_result
from toolbox.inference.output_folders import is_report
from toolbox.inference.output_paths import Job
from toolbox.inference.photo import restore_photo
from toolbox.inference.restorer import KEEP_MODES, Restorer
from toolbox.inference.result_records import FileState, ResultRecords, state_of
from toolbox.utils import files, locks, memory, temporary_files

FileId = tuple[int, int]
# The note on a result that replaces an empty, cut or damaged file.
MADE_AGAIN = "made again: the result that was there can't be read"


@dataclass(frozen=True, kw_only=True)
class _Originals:
    """The files that no result may replace (photographs, mask, guides), and the folders of the photographs."""

    paths: frozenset[FileId]
    folders: frozenset[FileId]


def restore_all(
    jobs: Sequence[Job],
    restorer: Restorer | None,
    options: RestoreOptions,
    *,
    all_jobs: Sequence[Job] | None = None,
    records: ResultRecords | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[PhotoResult]:
    """Restore photographs one after the other, and yield the result of each.

    Args:
        jobs: the photographs to restore.
        restorer: its `keep` and `warn` are replaced. None: `options` ask for previews only.
        options: how they are restored.
        all_jobs: the photographs of all processes, so that no result replaces one of them; None: `jobs` are all.
        records: the photograph that each file in the output folder is made from; None: existing results are not
            checked.
        stop: called before each photograph; no more are restored once it returns True.

    Raises:
        CancelledError: the current photograph was cancelled, see `toolbox.utils.cancelling`.
    """
    all_jobs = jobs if all_jobs is None else all_jobs
    originals, shared = _find_originals(all_jobs, options), shared_masks(all_jobs, options.mask_options)
    warnings: list[str] = []
    restorers = {keep: replace(restorer, keep=keep, warn=warnings.append) for keep in KEEP_MODES if restorer}
    for job in jobs:
        if stop():
            return
        started = time.monotonic()
        warnings.clear()
        try:
            if job.photo in shared:
                raise DataError(shared[job.photo])
            result = _restore_one(job, options, restorers, warnings.append, originals, records)
        except CancelledError:
            raise
        except ToolboxError as error:
            # Most messages begin with the path of the photograph, which the result has already.
            reason = _without_path(files.printable_line(error), job.photo)
            result = photo_result(job, status="failed", reason=reason)
        except OSError as error:
            reason = _without_path(files.describe_os_error(error), job.photo)
            result = photo_result(job, status="failed", reason=reason)
        except Exception as error:  # decoders and devices raise many types, and the batch must continue
            result = photo_result(job, status="failed", reason=memory.explain(error))
        notes = dict.fromkeys((*result.notes, *warnings))  # a mask is read twice if the photograph is previewed
        yield replace(result, notes=tuple(notes), seconds=round(time.monotonic() - started, 3))


def folder_results(folders: Mapping[Path, str]) -> list[PhotoResult]:
    """Return a failed result for each folder or named photograph that can't be read; `folders` has the reasons."""
    return [
        PhotoResult(
            photo=files.printable(folder),
            result="",
            status="failed",
            reason=_without_path(files.printable_line(reason), folder),
        )
        for folder, reason in folders.items()
    ]


def make_report(
    results: Sequence[PhotoResult], total: int, left_out: Sequence[Path] = (), records: ResultRecords | None = None
) -> dict[str, Any]:
    """Return the report of `total` photographs, for JSON.

    It has the count of each status, each result, the files left out, and what every result in the folder was made from,
    also those of earlier batches.
    """
    counts = {status: sum(result.status == status for result in results) for status in get_args(Status)}
    return {
        **counts,
        "not reached": total - len(results),
        "left out": [files.printable(path) for path in left_out],
        "photos": [asdict(result) for result in results],
        "results": records.as_json() if records else {},
    }


@contextlib.contextmanager
def open_output(out: Path, report: Path, jobs: Sequence[Job]) -> Iterator[None]:
    """Create the output folder and a first report in it, and keep other processes out of it.

    The report marks the folder as an output folder.

    Raises:
        DataError: `out` is a file.
        OutputError: it can't be written to, another process writes the same report, or a file with the report's name is
            not a report.
    """
    if os.path.exists(out) and not os.path.isdir(out):
        raise DataError(f"-o {files.printable(out)} is a file; results need a folder.")
    files.ensure_folder(out)
    if report.exists() and not report.is_dir() and not is_report(report):
        raise OutputError(
            f"{files.printable(report)} is not a report of `toolbox restore` and would be replaced; choose another "
            "folder with -o, or move that file"
        )
    try:
        with locks.hold_lock(report.with_name(f".{report.name}.lock"), remove=True):
            for folder in {out, *(job.target.parent for job in jobs)}:
                temporary_files.remove_stale(folder)
            if not report.exists():
                files.write_json(report, make_report([], len(jobs)))
            yield
    except locks.BusyError:
        raise OutputError(
            f"Another process restores photographs into {files.printable(out)}; wait until it ends, or choose another "
            "folder with -o"
        ) from None


def _restore_one(
    job: Job,
    options: RestoreOptions,
    restorers: Mapping[str, Restorer],
    warn: Callable[[str], None],
    originals: _Originals,
    records: ResultRecords | None,
) -> PhotoResult:
    variants = [job.variant(number) for number in range(1, options.variants + 1)]
    for path in (job.target, job.comparison, job.provenance, job.preview, job.variant_sheet, *variants):
        _check_target(path, originals)
    if options.preview:
        return restore_photo(job, options, restorers, warn)
    is_there = job.target.exists() and not options.overwrite
    if records is not None and is_there:
        records.require_same_origin(job)
    if is_finished(job, options):
        return photo_result(job, status="there already")
    is_broken = is_there and not is_complete(job.target)
    record = None if records is None else records.begin(job)
    earlier = _files_of(job) if options.overwrite and records is not None and records.has(job) else {}
    result = restore_photo(job, options, restorers, warn)
    if result.status == "left as it is" and job.target.exists():
        result = replace(result, notes=(*result.notes, _remove_result(job, earlier, records)))
    if result.status not in ("restored", "copied"):
        return result
    for path in [path for path, state in earlier.items() if path != job.target and state_of(path) == state]:
        path.unlink(missing_ok=True)  # of the earlier result: its options asked for this picture
    if records is not None and record is not None:
        records.finish(job, record)
    return replace(result, notes=(*result.notes, *([MADE_AGAIN] if is_broken else [])))


def _files_of(job: Job) -> dict[Path, FileState]:
    """Return the result of a photograph and the pictures beside it, as far as they exist, with their states."""
    variants = itertools.takewhile(os.path.exists, (job.variant(number) for number in itertools.count(1)))
    paths = (job.target, job.comparison, job.provenance, job.variant_sheet, *variants)
    return {path: state for path in paths if (state := state_of(path)) is not None}


def _remove_result(job: Job, earlier: Mapping[Path, FileState], records: ResultRecords | None) -> str:
    """Delete the earlier result of a photograph that is left as it is; return a note.

    Args:
        job: the photograph.
        earlier: its earlier files; empty if it is not known whose they are, or if they may not be replaced.
        records: the records of the output folder.
    """
    if not earlier or records is None:
        return f"{files.printable(job.target)} was there before, and is not its result"
    for path in earlier:
        path.unlink(missing_ok=True)
    records.forget(job)
    return "its earlier result, of other options or another version, was deleted"


def _find_originals(jobs: Sequence[Job], options: RestoreOptions) -> _Originals:
    paths = [job.photo for job in jobs]
    named = (options.mask_options.path, options.hints, options.palette)
    others = [path for path in named if path is not None]
    return _Originals(
        paths=_file_ids([*paths, *others, *options.references]),
        folders=_file_ids({path.parent for path in paths}),
    )


def _file_ids(paths: Sequence[Path] | set[Path]) -> frozenset[FileId]:
    return frozenset(found for path in paths if (found := _file_id(path)) is not None)


def _file_id(path: Path) -> FileId | None:
    """Return what identifies a file, whatever its name; None if it does not exist."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return state.st_dev, state.st_ino


def _check_target(path: Path, originals: _Originals) -> None:
    """Raise OutputError if a result would replace an original, or can't be written at all."""
    # Writing replaces a link itself. The file that it leads to is not changed.
    if _file_id(path) in originals.paths and not path.is_symlink():
        raise OutputError(f"{files.printable(path)} is one of the photographs; choose another folder with -o")
    if _file_id(path.parent) in originals.folders:
        raise OutputError(f"{files.printable(path)} would be among the photographs; choose another folder with -o")
    if path.is_dir():
        raise OutputError(f"{files.printable(path)} can't be written: a folder has that name; choose another with -o")


def _without_path(reason: str, path: Path) -> str:
    return reason.removeprefix(f"{files.printable(path)} ").removeprefix(f"{files.printable(path)}: ")
