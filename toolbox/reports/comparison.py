"""Compare runs: how their recipes and environments differ, and what they scored."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from toolbox.reports.chart import line_chart
from toolbox.reports.page import html_page, section, table
from toolbox.reports.run_files import RunFiles

# Settings in which runs of one recipe may differ and still count as the same setup.
_SEED = "seed"


def differences(runs: Sequence[RunFiles]) -> list[list[Any]]:
    """Return a row for each setting in which the runs differ: its key, and its value in each run; None if absent."""
    return _differing([run.settings() for run in runs])


def environment_differences(runs: Sequence[RunFiles]) -> list[list[Any]]:
    """Return a row for each fact of the environment in which the runs differ, as `differences` does."""
    return _differing([asdict(run.info) | dict(run.info.versions) | {"versions": None} for run in runs])


def score_rows(runs: Sequence[RunFiles]) -> list[list[Any]]:
    """Return a row for each run: its name, steps, S, M, C and score of its best weights."""
    rows = []
    for run in runs:
        best = run.summary.best if run.summary else None
        rows.append([run.name, run.steps, *(asdict(best.score).values() if best else [None] * 4)])
    return rows


def seed_rows(runs: Sequence[RunFiles]) -> list[list[Any]]:
    """Return a row for each setup with several seeds: the runs, mean and standard deviation of their scores."""
    groups: dict[str, list[RunFiles]] = {}
    for run in runs:
        settings = {key: value for key, value in run.settings().items() if key != _SEED}
        groups.setdefault(repr(sorted(settings.items(), key=lambda item: item[0])), []).append(run)
    rows = []
    for group in groups.values():
        scores = [run.best_score for run in group if run.best_score is not None]
        if len(scores) > 1:
            rows.append([", ".join(run.name for run in group), statistics.mean(scores), statistics.stdev(scores)])
    return rows


def comparison_report(runs: Sequence[RunFiles]) -> str:
    """Return the comparison as HTML."""
    names = [run.name for run in runs]
    sections = [section("Scores", table(("run", "steps", "S", "M", "C", "score"), score_rows(runs)))]
    spread = seed_rows(runs)
    if spread:
        sections.append(section("Spread over seeds", table(("runs", "mean score", "standard deviation"), spread)))
    charts = [
        line_chart(f"Validation: {figure}, by step", {run.name: run.validations.get(figure, []) for run in runs})
        for figure in ("score", "S", "M", "C", "loss")
    ]
    sections.append(section("Curves", *charts))
    sections.append(section("Recipes", table(("setting", *names), differences(runs))))
    sections.append(section("Environments", table(("", *names), environment_differences(runs))))
    return html_page(f"Comparison of {len(runs)} runs", sections)


def _differing(columns: Sequence[dict[str, Any]]) -> list[list[Any]]:
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = [[key, *(column.get(key) for column in columns)] for key in keys]
    return [row for row in rows if any(value != row[1] for value in row[2:])]
