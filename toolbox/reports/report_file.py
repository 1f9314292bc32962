"""The observer that writes report.html again and again during a run."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from toolbox.errors import UsageError
from toolbox.hooks.observing import EpochRecord, RunEnded
from toolbox.reports.run_report import write_run_report
from toolbox.utils.deleted_folders import retry_if_deleted

# The part of a run's time that its reports may take.
MAX_FRACTION = 0.02


class ReportFile:
    """Writes the report of a run after its epochs and at its end.

    After a report that took t seconds, the next one is written t / `MAX_FRACTION` seconds later at the earliest, except
    the last one. So long runs with short epochs do not spend their time on reports.
    """

    def __init__(self, folder: Path) -> None:
        """Write into the run folder `folder`."""
        self.folder = folder
        self.due = 0.0

    def on_epoch(self, record: EpochRecord) -> None:
        """Write the report, if it is due."""
        if time.monotonic() >= self.due:
            start = time.monotonic()
            self._write()
            end = time.monotonic()
            self.due = end + (end - start) / MAX_FRACTION

    def on_end(self, record: RunEnded) -> None:
        """Write the last report; after an error it shows the run up to there."""
        self._write()

    def _write(self) -> None:
        with suppress(UsageError):  # files of the run were deleted; it writes them again
            retry_if_deleted(lambda: write_run_report(self.folder))
