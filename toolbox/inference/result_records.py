"""The photograph and the options that each file in an output folder was made from.

A result of another photograph, of an earlier version of this one, or of other options must not be taken for the result
of this photograph. The reports in the folder hold a record for each result. While a batch runs, records go into a
journal beside its report, so that a killed batch leaves them too.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolbox.errors import OutputError
from toolbox.inference.flag_changes import REPLACE_REMEDY, flag_changes
from toolbox.inference.output_folders import REPORTS
from toolbox.inference.output_paths import Job
from toolbox.masks.sources import MaskOptions, mask_file
from toolbox.utils import files
from toolbox.utils.json_values import parse_json
from toolbox.utils.text_files import read_text

FileState = list[int] | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a result was made from.

    Attributes:
        photo: the path of the photograph.
        size: of its file, in bytes.
        modified: when it was last changed, in nanoseconds since 1970.
        sha256: of its file.
        flags: the options that differ from the defaults, and the SHA-256 of the mask file.
    """

    photo: str
    size: int
    modified: int
    sha256: str
    flags: dict[str, str]


class ResultRecords:
    """The records of an output folder.

    Attributes:
        own: the records that belong in the report of this process, by the path of the result below the folder.
    """

    def __init__(self, report: Path, flags: Mapping[str, str], mask_options: MaskOptions) -> None:
        """Read the records of every report and journal in the folder of `report`.

        Args:
            report: the path of the report of this process; it need not exist.
            flags: the options of this batch that differ from the defaults.
            mask_options: how the lost region is marked.
        """
        self._folder = report.parent
        self._journal = report.with_name(f".{report.name}.journal")
        self._flags = dict(flags)
        self._mask_options = mask_options
        self._all: dict[str, Record] = {}
        for path in sorted(self._folder.glob(REPORTS)):
            self._all |= _records_of_report(path)
        self.own = _records_of_report(report)
        for path in sorted(self._folder.glob(f".{REPORTS}.journal")):
            records = self._records_of_journal(path)
            self._all |= records
            if path == self._journal:
                self.own |= records

    def require_same_origin(self, job: Job) -> None:
        """Raise OutputError if the existing result of a job is not known to be of this photograph and these options."""
        record, name = self._all.get(self._key(job)), files.printable(job.target)
        if record is None:
            raise OutputError(f"{name} exists, and no report says whose result it is; {REPLACE_REMEDY}")
        photo = files.printable(job.photo)
        if not _is_same_photo(record, job.photo):
            if record.photo == photo:
                raise OutputError(f"{name} is the result of an earlier version of this photo; {REPLACE_REMEDY}")
            raise OutputError(f"{name} is the result of {record.photo}; {REPLACE_REMEDY}")
        if changes := flag_changes(record.flags, self._flags_of(job)):
            raise OutputError(f"{name} was made with other options ({changes}); {REPLACE_REMEDY}")

    def has(self, job: Job) -> bool:
        """Return whether the result of a job is in the records, whatever it was made from."""
        return self._key(job) in self._all

    def forget(self, job: Job) -> None:
        """Drop the record of a result that was deleted."""
        self._all.pop(self._key(job), None)
        self.own.pop(self._key(job), None)

    def begin(self, job: Job) -> Record:
        """Note in the journal that the result of a job is about to be written, and return its record."""
        state = os.stat(job.photo)
        record = Record(
            photo=files.printable(job.photo),
            size=state.st_size,
            modified=state.st_mtime_ns,
            sha256=files.sha256(job.photo),
            flags=self._flags_of(job),
        )
        line = {"result": self._key(job), "replaces": state_of(job.target), **asdict(record)}
        with contextlib.suppress(OSError), open(self._journal, "a", encoding="utf-8", errors="backslashreplace") as out:
            out.write(json.dumps(line) + "\n")
        return record

    def finish(self, job: Job, record: Record) -> None:
        """Keep the record of a result that has been written."""
        self.own[self._key(job)] = self._all[self._key(job)] = record

    def as_json(self) -> dict[str, Any]:
        """Return the records for the report of this process."""
        return {result: asdict(record) for result, record in sorted(self.own.items())}

    def close(self) -> None:
        """Delete the journal; call it after the report is written."""
        with contextlib.suppress(OSError):
            self._journal.unlink(missing_ok=True)

    def _key(self, job: Job) -> str:
        return job.target.relative_to(self._folder).as_posix()

    def _flags_of(self, job: Job) -> dict[str, str]:
        if self._mask_options.path is None:
            return self._flags
        path = mask_file(self._mask_options, job.photo, job.relative_path, job.target)
        return {**self._flags, "mask": f"file {files.sha256(path)[:12]}"}

    def _records_of_journal(self, path: Path) -> dict[str, Record]:
        """Return the records of results that were written before the batch was killed."""
        records: dict[str, Record] = {}
        with contextlib.suppress(OSError, ValueError):
            for line in read_text(path).splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    entry = parse_json(line)
                    result, replaces = entry.pop("result"), entry.pop("replaces")
                    if state_of(self._folder / result) not in (None, replaces):
                        records[result] = Record(**entry)
        return records


def _records_of_report(path: Path) -> dict[str, Record]:
    try:
        entries = parse_json(read_text(path)).get("results", {})
        return {result: Record(**entry) for result, entry in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # not a report of ours, or damaged: nothing is known
        return {}


def _is_same_photo(record: Record, photo: Path) -> bool:
    try:
        state = os.stat(photo)
    except OSError:
        return False
    if record.size != state.st_size:
        return False
    is_unchanged = record.photo == files.printable(photo) and record.modified == state.st_mtime_ns
    return is_unchanged or record.sha256 == files.sha256(photo)


def state_of(path: Path) -> FileState:
    """Return the size and the time of the last change of a file; None if there is none."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return [state.st_size, state.st_mtime_ns]
