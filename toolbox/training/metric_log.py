"""What a run leaves for people and programs: metrics.jsonl, previews, lines, the closing table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from toolbox.errors import OutputError
from toolbox.evaluation.metrics import Score
from toolbox.imaging import io
from toolbox.training import run_dir
from toolbox.training.validate import Preview, ValidationResult
from toolbox.utils import files

# Names in the records of version 0.1, and what they are called today.
RENAMED = {"told": "d_accuracy"}


def append_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Add one record to metrics.jsonl; OutputError if it can't be written."""
    path = folder / run_dir.METRICS
    try:
        with path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record) + "\n")
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror or error}") from error


def drop_records_after(folder: Path, step: int, validated: int) -> None:
    """Take out of metrics.jsonl what a continued run writes again.

    That is the records of `step` and later, and the validation before `step` if the last that counts, after `validated`
    steps, is another: its run ended before it was saved.
    """
    if (folder / run_dir.METRICS).is_file():

        def known(record: dict[str, Any]) -> bool:
            last = "validation" in record and record.get("step", 0) == step - 1
            return record.get("step", 0) < step and not (last and validated != step)

        kept = [json.dumps(record) + "\n" for record in read_records(folder) if known(record)]
        files.write_text(folder / run_dir.METRICS, "".join(kept))


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of metrics.jsonl in their order, but for a line that a sudden end cut short."""
    path = folder / run_dir.METRICS
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                yield _with_present_names(json.loads(line))
            except ValueError:
                continue


def _with_present_names(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of version 0.1 with the names of today."""
    return {RENAMED.get(name, name): value for name, value in record.items()}


def write_preview(path: Path, rows: Sequence[Preview]) -> None:
    """Write a picture with a row a photograph: input, restored, truth."""
    if rows:
        lines = [np.concatenate([row.image, row.restored, row.truth], axis=1) for row in rows]
        io.write_png(path, np.concatenate(lines, axis=0))


def add_to_sums(sums: Mapping[str, tuple[float, int]], terms: Mapping[str, float]) -> dict[str, tuple[float, int]]:
    """Return the sums and counts of figures with one more record added."""
    added = dict(sums)
    for name, value in terms.items():
        total, count = added.get(name, (0.0, 0))
        added[name] = (total + value, count + 1)
    return added


def epoch_line(
    epoch: int, epochs: int, step: int, sums: Mapping[str, tuple[float, int]], outcome: ValidationResult | None
) -> str:
    """Return an epoch's line: every term, D on real and on fake, the validation figure, S, M, C and the score."""
    parts = [f"epoch {epoch}/{epochs}", f"step {step}"]
    for name, (total, count) in sums.items():
        parts.append(f"{name.removeprefix('loss.').removeprefix('penalty.')} {total / count:.4g}")
    if outcome is not None:
        parts.append(f"| validation {outcome.loss:.4g}")
        parts += [f"{name} {_figure(value)}" for name, value in asdict(outcome.score).items()]
        parts += [f"{name} {_figure(value)}" for name, value in outcome.figures.items()]
    return "  ".join(parts)


def validation_record(step: int, epoch: int, outcome: ValidationResult) -> dict[str, Any]:
    """Return a validation's record for metrics.jsonl; its step is the last one before it."""
    figures = {"loss": outcome.loss, **asdict(outcome.score), **outcome.figures}
    return {"step": step - 1, "epoch": epoch - 1, "validation": figures}


def score_table(rows: Mapping[str, Score]) -> str:
    """Return the closing table: S, M, C and the score of each row."""
    width = max(len(name) for name in rows)
    lines = [f"{'':{width}}       S       M       C   score"]
    for name, score in rows.items():
        lines.append(f"{name:{width}}" + "".join(f"{_figure(v):>8}" for v in asdict(score).values()))
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
