"""What a run writes for people and programs: metrics.jsonl, preview pictures, the final table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from toolbox.errors import OutputError
from toolbox.evaluation.metrics import Score, format_figure
from toolbox.hooks.observing import StepRecord, ValidationRecord, WarningRecord
from toolbox.imaging import io
from toolbox.reports.run_records import BestWeights, read_records
from toolbox.training import run_dir
from toolbox.training.validation_result import Preview
from toolbox.utils import files
from toolbox.utils.deleted_folders import retry_if_deleted, write_in
from toolbox.utils.json_values import finite_json


class MetricsFile:
    """The observer that writes metrics.jsonl, a JSON record per line."""

    def __init__(self, folder: Path) -> None:
        """Write into the run folder `folder`."""
        self.folder = folder

    def on_step(self, record: StepRecord) -> None:
        """Write the terms of a step."""
        append_record(self.folder, {"step": record.step, "epoch": record.epoch, **record.terms})

    def on_validation(self, record: ValidationRecord) -> None:
        """Write the figures of a validation."""
        values = {"loss": record.loss, **record.scores, **record.metrics}
        append_record(self.folder, {"step": record.step, "epoch": record.epoch, "validation": values})

    def write_epoch(self, record: Mapping[str, Any]) -> None:
        """Write the figures of an epoch, before its validation; other observers get them with `on_epoch`."""
        append_record(self.folder, record)

    def on_warning(self, record: WarningRecord) -> None:
        """Write a warning."""
        warning = {"cause": record.cause, "line": record.line}
        append_record(self.folder, {"step": record.step, "epoch": record.epoch, "warning": warning})


def append_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Append one record to metrics.jsonl; OutputError if it can't be written."""
    path = folder / run_dir.METRICS
    line = json.dumps(finite_json(record), allow_nan=False) + "\n"

    def append() -> None:
        folder.mkdir(parents=True, exist_ok=True)  # it may have been deleted during the run
        with path.open("a", encoding="utf-8") as lines:
            lines.write(line)

    try:
        retry_if_deleted(append)
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror or error}") from error


def drop_records_after(folder: Path, step: int, validated: int, report: Callable[[str], object] | None = None) -> None:
    """Delete the records of metrics.jsonl that a resumed run will write again.

    These are the records of `step` and later. The validation just before `step` is deleted too if the checkpoint's last
    validation, after `validated` steps, is an earlier one: the run then ended before it saved that validation. Lines
    that are no record are deleted; `report` gets a line about them.

    Raises:
        OutputError: the file can't be read or written.
    """
    path = folder / run_dir.METRICS
    if not path.is_file():
        return
    if not os.access(path, os.R_OK):
        raise OutputError(f"{files.printable(path)} can't be read, and its records would be lost. Make it readable.")

    def is_current(record: dict[str, Any]) -> bool:
        is_last_validation = "validation" in record and record.get("step", 0) == step - 1
        return record.get("step", 0) < step and not (is_last_validation and validated != step)

    lines = [json.dumps(record) + "\n" for record in read_records(folder, report) if is_current(record)]
    files.write_text(path, "".join(lines))


def write_preview(path: Path, rows: Sequence[Preview]) -> None:
    """Write a picture with one row for each photograph: input, restored, truth."""
    if rows:
        lines = [np.concatenate([row.image, row.restored, row.truth], axis=1) for row in rows]
        write_in(path.parent, lambda: io.write_png(path, np.concatenate(lines, axis=0)))


def add_to_sums(sums: Mapping[str, tuple[float, int]], terms: Mapping[str, float]) -> dict[str, tuple[float, int]]:
    """Return the sum and the count of each term with one more record added."""
    added = dict(sums)
    for name, value in terms.items():
        total, count = added.get(name, (0.0, 0))
        added[name] = (total + value, count + 1)
    return added


def figure_lines(best: BestWeights | None) -> list[str]:
    """Return a line for each figure of the best weights, of a network that restores no pictures."""
    if best is None:
        return []
    rows = {"after step": str(best.step)} | {name: format_figure(value) for name, value in best.figures.items()}
    width = max(map(len, rows))
    return [f"{name:{width}}  {value}" for name, value in rows.items()]


def score_table(rows: Mapping[str, Score]) -> str:
    """Return the final table: S, M, C and the score of each row."""
    width = max(len(name) for name in rows)
    lines = [f"{'':{width}}       S       M       C   score"]
    for name, score in rows.items():
        lines.append(f"{name:{width}}" + "".join(f"{format_figure(value):>8}" for value in asdict(score).values()))
    return "\n".join(lines)
