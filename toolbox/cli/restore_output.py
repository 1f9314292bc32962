"""What `toolbox restore` prints: the plan of a dry run, a line for each photograph, the summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from toolbox.cli.common import print_json
from toolbox.errors import DataError, ToolboxError
from toolbox.utils import files

if TYPE_CHECKING:
    from toolbox.cli.restore import Jobs
    from toolbox.inference.options import PhotoResult, RestoreOptions, Status
    from toolbox.inference.output_paths import Job
    from toolbox.inference.photo_search import LeftOut
    from toolbox.inference.result_records import ResultRecords
    from toolbox.utils.console import Console

ReadSize = Callable[[Path], tuple[int, int]]


def print_plan(
    jobs: Jobs,
    options: RestoreOptions,
    records: ResultRecords,
    json_output: bool,
    console: Console,
) -> None:
    """Print what would be done with each photograph, and what is left out."""
    from toolbox.imaging import io
    from toolbox.inference.mask_paths import shared_masks
    from toolbox.inference.options import is_finished

    shared = shared_masks(jobs.all, options.mask_options)
    finished = [is_finished(job, options) for job in jobs.own]
    # One palette or reference serves all photographs.
    read_size = cache(partial(io.read_size, max_pixels=options.max_pixels, accept_cut=True))
    planned = [
        {
            "photo": files.printable(job.photo),
            "result": files.printable(job.preview if options.preview else job.target),
            "status": "there already" if is_there else "would be written",
            "problem": shared.get(job.photo) or _problem(job, options, records, None if is_there else read_size),
        }
        for job, is_there in zip(jobs.own, finished, strict=True)
    ]
    if json_output:
        others = [files.printable(path) for path in (*jobs.left_out.folders, *jobs.left_out.paths)]
        print_json({"photos": planned, "left out": others})
        return
    for record in planned:
        problem = f", would fail: {record['problem']}" if record["problem"] else ""
        console.print_line(f"{record['photo']} -> {record['result']} ({record['status']}{problem})")
    _print_left_out(jobs.left_out, console)
    for reason in jobs.left_out.folders.values():
        console.print_line(reason)
    console.print_line("Dry run: nothing was written.")


def _problem(job: Job, options: RestoreOptions, records: ResultRecords, read_size: ReadSize | None) -> str:
    """Return why a photograph would fail, as far as it shows without decoding a picture; empty if nothing is wrong.

    `read_size` returns the size of a file that several photographs share; None: the files are not read.
    """
    from toolbox.masks.sources import mask_file

    try:
        mask = None
        if options.mask_options.path is not None:
            mask = mask_file(options.mask_options, job.photo, job.relative_path, job.target)
        if job.target.exists() and not options.overwrite and not options.preview:
            records.require_same_origin(job)
        if read_size is not None:
            _check_files(job, options, mask, read_size)
    except ToolboxError as error:
        return str(error)
    return ""


def _check_files(job: Job, options: RestoreOptions, mask: Path | None, read_size: ReadSize) -> None:
    """Raise DataError if the file of a photograph, or one that it is restored with, can't be used.

    Each file is read, but not decoded: its format, its end, its size.
    """
    from toolbox.imaging import io
    from toolbox.inference.photo_search import is_same_path

    size = io.read_size(job.photo, max_pixels=options.max_pixels, accept_cut=True)
    for path in (mask, options.hints):
        if path is not None and (found := io.read_size(path, max_pixels=options.max_pixels)) != size:
            raise DataError(
                f"{files.printable(path)} is {found[0]}x{found[1]} and the photo {size[0]}x{size[1]}; both must have "
                "the same size"
            )
    # Of several references, those that can't be read are left out.
    references = [] if len(options.references) > 1 else options.references
    for path in (options.palette, *references):
        if path is not None and not is_same_path(path, job.photo):
            read_size(path)


def print_summary(
    results: Sequence[PhotoResult],
    total: int,
    options: RestoreOptions,
    left_out: LeftOut,
    console: Console,
    *,
    repairs: bool,
) -> None:
    """Print the counts and the failures of several photographs, and hints: no lost region, or what `auto` leaves.

    `repairs` says whether damage was looked for.
    """
    if total + len(left_out.folders) > 1:
        counts = Counter(result.status for result in results)
        console.print_line(", ".join(f"{number} {status}" for status, number in counts.items()))
        for result in results:
            if result.status == "failed":
                console.print_line(f"  failed: {result.photo}: {result.reason}")
    _print_left_out(left_out, console)
    without_mask = Counter(result.status for result in results if not result.lost)
    # A photograph that is left as it is has a line of its own on what to do.
    if options.mask_options.searches and (without_mask["restored"] or without_mask["preview"]):
        searched: tuple[Status, ...] = ("restored", "preview", "copied", "left as it is")
        count = sum(without_mask[status] for status in searched)
        total = len([result for result in results if result.status in searched])
        remedy = "Mark damage with --mask." if repairs else "Find scratches and stains with --repair."
        console.print_line(f"No lost region was found in {count} of {total}. {remedy}")
    if options.auto is not None:
        left = "uneven light and casts" if repairs else "damage, uneven light and casts"
        console.print_line(f"--auto does not correct {left}: `toolbox doctor --photo FILE` says which option does.")


def _print_left_out(left_out: LeftOut, console: Console) -> None:
    for line in left_out.describe():
        console.print_line(line)


def result_line(result: PhotoResult) -> str:
    """Return the line that is printed for a photograph."""
    if result.status == "failed":
        return f"{result.photo}: failed: {result.reason}"
    if result.status == "left as it is":
        return f"{result.photo}: left as it is: {result.reason} ({'; '.join(['0.0 % lost', *result.notes])})"
    if result.status == "copied":
        return f"{result.photo} -> {result.result} (copied: {'; '.join([result.reason, *result.notes])})"
    if result.status == "there already":
        return f"{result.photo}: there already: {result.result}"
    shares = (f"{100 * share:.0f} % from {name}" for name, share in result.references.items())
    facts = [*([result.kind] if result.kind else []), f"{100 * result.lost:.1f} % lost"]
    return f"{result.photo} -> {result.result} ({'; '.join([', '.join(facts), *result.notes, *shares])})"


def warn_of_lossy_formats(jobs: Sequence[Job], console: Console) -> None:
    """Print a line if a result is written in a format that loses detail."""
    from toolbox.imaging.formats import format_of_path

    formats = {format_of_path(job.target) for job in jobs} - {None}
    if any(row.is_lossy for row in formats if row):
        console.print_line(
            "--format keep: JPEG and WebP are encoded again, which loses a little. The default loses nothing."
        )
