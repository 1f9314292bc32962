"""What `toolbox restore` writes besides the results, if it is asked to: a submission zip, a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolbox.cli.restore_options import Arguments
from toolbox.errors import DataError, UsageError

if TYPE_CHECKING:
    from toolbox.cli.restore import Jobs
    from toolbox.inference.options import PhotoResult
    from toolbox.utils.console import Console


def check_extra_files(arguments: Arguments, jobs: Jobs) -> None:
    """Raise UsageError before the work if the zip or the report can't be written after it."""
    extras = {"--zip": arguments.archive is not None, "--report": arguments.report}
    beside = {"--before-after": arguments.before_after, "--provenance": arguments.provenance}
    beside["--variants"] = arguments.variants is not None
    for option, is_chosen in (extras | beside).items():
        if is_chosen and arguments.preview:
            raise UsageError(f"{option} and --preview can't be combined: a preview has no results; leave one out.")
    for option, is_chosen in extras.items():
        if is_chosen and jobs.rank is not None:
            raise UsageError(
                f"{option} needs the results of all processes; run the command again in one process, with {option}."
            )
    if arguments.report:
        from toolbox.reports import album_report, page

        page.require_replaceable(arguments.out / album_report.REPORT)
    if arguments.archive is not None:
        from toolbox.evaluation import submission
        from toolbox.utils import files

        submission.submission_members({job.photo: job.target for job in jobs.all}, arguments.archive)
        if not arguments.dry_run:
            files.ensure_folder(arguments.archive.parent)


def warn_of_other_keep(arguments: Arguments, trained_keep: str, console: Console) -> None:
    """Warn if the pictures of a submission are not those that the run of the weights has scored in its validation."""
    if arguments.keep == "auto" and trained_keep == "none":
        console.print_line(
            "warning: these weights were scored with keep = none, as they repaint all pixels; the submission keeps the "
            "known pixels. For the pictures that were scored, add --keep none"
        )


def write_zip(arguments: Arguments, jobs: Jobs, results: Sequence[PhotoResult], console: Console) -> None:
    """Write the submission zip; if a photograph failed, print that there is none.

    Raises:
        DataError: a photograph was left as it is, so it has no result.
    """
    if arguments.archive is None:
        return
    from toolbox.evaluation import submission
    from toolbox.utils import files

    failed = [Path(result.photo).name for result in results if result.status == "failed"]
    if failed:
        console.print_line(f"No submission was written, because these failed: {files.listed(failed)}.")
        return
    left = [Path(result.photo).name for result in results if result.status == "left as it is"]
    if left:
        raise DataError(
            f"No submission was written, because these were left as they are and have no result: {files.listed(left)}. "
            "To give them new colours, run the command again with --overwrite and --keep luma, or --keep none for "
            "weights that repaint all pixels."
        )
    submission.write_submission({job.photo: job.target for job in jobs.all}, arguments.archive)
    console.print_line(f"Submission: {arguments.archive}")


def write_report(arguments: Arguments, console: Console) -> None:
    """Write report.html beside the results, also if photographs failed."""
    if not arguments.report:
        return
    from toolbox.reports.album_report import write_album_report

    console.print_line(f"Report: {write_album_report(arguments.out)}")
