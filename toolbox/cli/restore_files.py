"""What `toolbox restore` writes besides the results, if it is asked to: a submission zip, a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolbox.cli.restore_options import Arguments
from toolbox.errors import UsageError

if TYPE_CHECKING:
    from toolbox.cli.restore import Jobs
    from toolbox.utils.console import Console


def check_extra_files(arguments: Arguments, jobs: Jobs) -> None:
    """Raise UsageError before the work if the zip or the report can't be written after it."""
    for option, is_chosen in (("--zip", arguments.archive is not None), ("--report", arguments.report)):
        if is_chosen and arguments.preview:
            raise UsageError(f"{option} and --preview can't be combined: a preview has no results; leave one out.")
        if is_chosen and jobs.rank is not None:
            raise UsageError(
                f"{option} needs the results of all processes; run the command again in one process, with {option}."
            )
    if arguments.archive is not None:
        from toolbox.evaluation import submission

        submission.submission_members({job.photo: job.target for job in jobs.all}, arguments.archive)


def write_zip(arguments: Arguments, jobs: Jobs, console: Console) -> None:
    """Write the submission zip."""
    if arguments.archive is None:
        return
    from toolbox.evaluation import submission

    submission.write_submission({job.photo: job.target for job in jobs.all}, arguments.archive)
    console.print_line(f"Submission: {arguments.archive}")


def write_report(arguments: Arguments, console: Console) -> None:
    """Write report.html beside the results, also if photographs failed."""
    if not arguments.report:
        return
    from toolbox.reports.album_report import write_album_report

    console.print_line(f"Report: {write_album_report(arguments.out)}")
