"""The content of the files of a run folder, read for reports and comparisons."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolbox.errors import UsageError
from toolbox.hooks.record_names import STEP_FIELDS
from toolbox.reports import run_records
from toolbox.reports.run_records import RunInfo, RunSummary
from toolbox.utils import files
from toolbox.utils.run_names import RECIPE


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """A run, as its files describe it.

    Attributes:
        folder: the run folder.
        info: what it was started with.
        summary: its figures so far; None before the first validation.
        recipe: the bound recipe.
        terms: (step, value) of each term of the steps, and of each epoch's speed, peak memory in GB and learning
            rates, by its name.
        validations: (step, value) of each figure of the validations, by its name.
        steps: the number of steps.
        warnings: the lines of its warnings.
        damage: lines about files and records that could not be read.
        label: a name that distinguishes it from other runs; empty: the name of the folder.
    """

    folder: Path
    info: RunInfo
    summary: RunSummary | None
    recipe: Mapping[str, Any]
    terms: Mapping[str, list[tuple[float, float]]] = field(default_factory=dict)
    validations: Mapping[str, list[tuple[float, float]]] = field(default_factory=dict)
    steps: int = 0
    warnings: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """The name of the run: its label, or that of the folder."""
        return self.label or files.folder_name(self.folder)

    @property
    def best_score(self) -> float | None:
        """The competition's score of the best weights, if there is one."""
        best = self.summary.best if self.summary else None
        return None if best is None else best.score.score


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run folder."""
    return (folder / RECIPE).is_file() and (folder / run_records.RUN_INFO).is_file()


def read_run(folder: Path) -> RunFiles:
    """Read a run folder; UsageError if it is none."""
    if not is_run(folder):
        raise UsageError(f"{files.printable(folder)} is not a run folder: it has no {RECIPE} and run.json.")
    terms: dict[str, list[tuple[float, float]]] = {}
    validations: dict[str, list[tuple[float, float]]] = {}
    steps, warnings = 0, []
    damage: list[str] = []
    try:
        recipe = tomllib.loads((folder / RECIPE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        damage.append(run_records.damage_line(folder / RECIPE, error))
        recipe = {}
    for record in run_records.read_records(folder, damage.append):
        step = record.get("step", 0)
        if "warning" in record:
            warnings.append(str(record["warning"].get("line", "")))
        elif "epoch_end" in record:
            _append(terms, step, _epoch_terms(record["epoch_end"]))
        elif "validation" in record:
            _append(validations, step, record["validation"])
        else:
            steps = max(steps, step + 1)
            _append(terms, step, {name: value for name, value in record.items() if name not in STEP_FIELDS})
    return RunFiles(
        folder=folder,
        info=run_records.read_run_info(folder, damage.append),
        summary=run_records.read_summary(folder, damage.append),
        recipe=recipe,
        terms=terms,
        validations=validations,
        steps=steps,
        warnings=tuple(warnings),
        damage=tuple(damage),
    )


def read_runs(folders: Sequence[Path]) -> list[RunFiles]:
    """Read run folders, each one once; those of the same name get their path as a label. UsageError as `read_run`."""
    runs = [read_run(folder) for folder in {os.path.realpath(folder): folder for folder in folders}.values()]
    names = [run.name for run in runs]
    return [replace(run, label=files.printable(run.folder)) if names.count(run.name) > 1 else run for run in runs]


def _epoch_terms(figures: Mapping[str, Any]) -> dict[str, Any]:
    rates = {f"lr.{name}": value for name, value in figures.get("learning_rate", {}).items()}
    memory = figures.get("memory")
    gigabytes = memory / 1e9 if isinstance(memory, int) and memory else None
    return rates | {"images_per_second": figures.get("images_per_second"), "memory": gigabytes}


def _append(series: dict[str, list[tuple[float, float]]], step: int, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            series.setdefault(name, []).append((step + 1, value))
