"""What all trackers have in common: which figures of a run they get, under which names."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from toolbox import EpochRecord, Observer, RunEnded, RunStarted, StepRecord, ValidationRecord, WarningRecord

# In the run folder: the name of this run in each tracker, so that a resumed run continues it there.
IDS = "trackers.json"


class Writer(Protocol):
    """One run in a tracker's own format. A step is the number of steps taken so far."""

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures by name."""

    def picture(self, step: int, name: str, path: Path) -> None:
        """Write a picture file."""

    def warn(self, step: int, cause: str, line: str) -> None:
        """Write a warning of the run."""

    def close(self, status: str) -> None:
        """Write the remaining figures and close the run; `status` is "finished", "stopped" or "failed"."""


class Tracker(Observer):
    """Writes the terms of the steps, the figures and previews of the validations, and the warnings.

    Args:
        open_writer: opens the run in the tracker and writes its recipe.
        interval: steps between two records of terms; the figures of validations are always written.
    """

    def __init__(self, open_writer: Callable[[RunStarted], Writer], interval: int) -> None:
        self.open_writer = open_writer
        self.interval = interval
        self.writer: Writer | None = None

    def on_start(self, record: RunStarted, /) -> None:
        """Open the run."""
        self.writer = self.open_writer(record)

    def on_step(self, record: StepRecord, /) -> None:
        """Write the terms of a step."""
        if (record.step + 1) % self.interval == 0:
            self._open.scalars(record.step + 1, {f"train/{name}": value for name, value in record.terms.items()})

    def on_validation(self, record: ValidationRecord, /) -> None:
        """Write the figures and the preview of a validation."""
        values = {"loss": record.loss, **record.scores, **record.metrics}
        figures = {f"validation/{name}": value for name, value in values.items() if value is not None}
        self._open.scalars(record.step + 1, figures)
        if record.preview is not None:
            self._open.picture(record.step + 1, "preview", record.preview)

    def on_warning(self, record: WarningRecord, /) -> None:
        """Write a warning."""
        self._open.warn(record.step + 1, record.cause, record.line)

    def on_epoch(self, record: EpochRecord, /) -> None:
        """Write the number of the epoch, the time so far, learning rates, speed and memory."""
        figures = {"train/epoch": record.epoch + 1, "train/seconds": record.seconds}
        figures |= {f"train/lr.{name}": rate for name, rate in record.learning_rates.items()}
        figures |= {"train/images_per_second": record.images_per_second, "train/memory": record.memory}
        self._open.scalars(record.step, figures)

    def on_end(self, record: RunEnded, /) -> None:
        """Close the run."""
        if self.writer is not None:
            self.writer.close(record.status)

    @property
    def _open(self) -> Writer:
        assert self.writer is not None
        return self.writer


def settings_of(record: RunStarted) -> dict[str, Any]:
    """Return the settings of a run: its bound recipe as nested tables."""
    return tomllib.loads(record.recipe)


def flat_settings(record: RunStarted) -> dict[str, Any]:
    """Return the settings of a run by dotted key."""

    def walk(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for key, value in tree.items():
            flat |= walk(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
        return flat

    return walk(settings_of(record), "")


def known_id(record: RunStarted, tracker: str) -> str | None:
    """Return the name in `tracker` of the run that is continued; None for a new run."""
    if record.step == 0:
        return None
    value = _read_ids(record.folder).get(tracker)
    return value if isinstance(value, str) else None


def remember_id(record: RunStarted, tracker: str, name: str) -> None:
    """Store the name of the run in `tracker`."""
    ids = {**_read_ids(record.folder), tracker: name}
    (record.folder / IDS).write_text(json.dumps(ids, indent=2) + "\n", "utf-8")


def _read_ids(folder: Path) -> dict[str, Any]:
    try:
        stored = json.loads((folder / IDS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}
