"""Hooks of the observers bundle."""

from __future__ import annotations

import csv
from pathlib import Path

from toolbox import Field, Observer, ObserverSpec, Params, RunStarted, ValidationRecord, hookimpl

TOOLBOX_API = 1


class CsvParams(Params):
    """Params of `csv-file`."""

    file: str = Field(
        "validations.csv", pattern=r"^[\w.-]+\.csv$", description="Name of the file in the run folder; it ends in .csv."
    )


class CsvFile(Observer):
    """Writes a row per validation. A run that is continued appends; a validation that is repeated has two rows."""

    def __init__(self, file: str) -> None:
        """Write into the file of this name in the run folder."""
        self.file = file
        self.path: Path | None = None

    def on_start(self, record: RunStarted, /) -> None:
        """Remember the run folder."""
        self.path = record.folder / self.file

    def on_validation(self, record: ValidationRecord, /) -> None:
        """Append the figures of a validation."""
        assert self.path is not None
        row = {"step": record.step + 1, "epoch": record.epoch + 1, "loss": record.loss}
        figures = {**row, **record.scores, **record.metrics}
        is_new = not self.path.exists()
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(figures)
            writer.writerow(["" if value is None else value for value in figures.values()])


def build_csv(params: CsvParams) -> Observer:
    """Build the observer that writes a CSV file."""
    return CsvFile(params.file)


@hookimpl
def toolbox_observers() -> list[ObserverSpec]:
    """Return the observers."""
    return [
        ObserverSpec(
            name="csv-file",
            summary="Writes the figures of every validation as CSV, for spreadsheets",
            params=CsvParams,
            build=build_csv,
            reference="RFC 4180",
        )
    ]
