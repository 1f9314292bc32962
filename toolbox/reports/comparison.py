"""Compare runs: how their recipes and environments differ, and what they scored."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from toolbox.config import recipe
from toolbox.data import split_record
from toolbox.errors import DataError
from toolbox.reports.chart import line_chart
from toolbox.reports.page import (
    chart_grid,
    figure,
    html_page,
    paragraph,
    picture_file,
    pictures,
    section,
    setting_text,
    table,
)
from toolbox.reports.run_files import RunFiles
from toolbox.reports.run_records import VALIDATION_PHOTOS
from toolbox.reports.run_report import PREVIEW_SIDE, shown_previews

# The setting in which runs of one recipe may differ and still count as the same setup.
_SEED = "seed"
# What a recipe says about itself; it is no setting.
_SUMMARY = "summary"
SCORE_COLUMNS = ("run", "recipe", "steps", "S", "M", "C", "score")
SEED_COLUMNS = ("runs", "mean score", "standard deviation")
# The figures of validations in this order; those of metrics and training steps follow.
_FIRST_FIGURES = ("score", "S", "M", "C", "loss")
_NO_ENVIRONMENT = ("recipe", "seed", "sessions", "versions", "parent", "changes")


def differences(runs: Sequence[RunFiles]) -> list[list[Any]]:
    """Return a row for each setting in which the runs differ: its key, and its value in each run; None if absent."""
    return [row for row in _differing_rows([run.recipe for run in runs]) if row[0] != _SUMMARY]


def environment_differences(runs: Sequence[RunFiles]) -> list[list[Any]]:
    """Return a row for each fact of the environment in which the runs differ, as `differences` does."""
    return _differing_rows([_environment(run) for run in runs])


def score_rows(runs: Sequence[RunFiles]) -> list[list[Any]]:
    """Return a row for each run: its name, recipe, steps, S, M, C and score of its best weights."""
    rows = []
    for run in runs:
        best = run.summary.best if run.summary else None
        rows.append([run.name, run.info.recipe, run.steps, *(asdict(best.score).values() if best else [None] * 4)])
    return rows


def validation_note(runs: Sequence[RunFiles]) -> str:
    """Return a line if the runs validated on different photographs or at different sizes; empty if they did not."""
    measured = [run.summary.measured_on for run in runs if run.summary and run.summary.measured_on]
    conditions = {tuple(str(facts.get(key)) for key in (VALIDATION_PHOTOS, "data.size")) for facts in measured}
    if len(conditions) < 2:
        return ""
    return (
        "The runs validated on different photographs or at different sizes, so these scores can't be compared. Score "
        "each run on the same photographs: toolbox score RUN --data DIR"
    )


def seed_rows(runs: Sequence[RunFiles]) -> list[list[Any]]:
    """Return a row for each setup with several seeds: the runs, mean and standard deviation of their scores.

    Runs of a setup have the same photographs, and their recipes differ in the seed. Runs that have not finished or have
    no score are left out, and of those with one seed, such as copies, all but the first.
    """
    groups: list[list[RunFiles]] = []
    for run in runs:
        if run.best_score is None or run.summary is None or not run.summary.is_finished:
            continue
        group = next((group for group in groups if _same_setup(group[0], run)), None)
        if group is None:
            groups.append([run])
        elif all(run.recipe.get(_SEED) != other.recipe.get(_SEED) for other in group):
            group.append(run)
    rows: list[list[Any]] = []
    for group in groups:
        scores = [run.best_score for run in group if run.best_score is not None]
        if len(scores) > 1:
            rows.append([", ".join(run.name for run in group), statistics.mean(scores), statistics.stdev(scores)])
    return rows


def comparison_report(runs: Sequence[RunFiles]) -> str:
    """Return the comparison as HTML."""
    scores = [table(SCORE_COLUMNS, score_rows(runs), decimals=4)]
    note = validation_note(runs)
    sections = [section("Scores", *scores, *([paragraph(note, "warning")] if note else []))]
    spread = seed_rows(runs)
    if spread:
        sections.append(section("Spread over seeds", table(SEED_COLUMNS, spread, decimals=4)))
    charts = [
        line_chart(f"Validation: {figure}", {run.name: run.validations.get(figure, []) for run in runs})
        for figure in dict.fromkeys(figure for run in runs for figure in (*_FIRST_FIGURES, *run.validations))
    ]
    sections.append(section("Curves", chart_grid(charts, "No run has a validation yet.")))
    previews = [figure(picture, run.name) for run in runs if (picture := _last_preview(run)) is not None]
    if previews:
        hint = "The last preview of each run. Each row: input, restored, truth."
        sections.append(section("Previews", paragraph(hint), pictures(previews)))
    sections.append(section("Recipes", _table_of_differences("setting", runs, differences(runs))))
    sections.append(section("Environments", _table_of_differences("", runs, environment_differences(runs))))
    return html_page(f"Comparison of {len(runs)} runs", sections)


def _table_of_differences(title: str, runs: Sequence[RunFiles], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return paragraph("No differences.")
    return table((title, *(run.name for run in runs)), [[row[0], *map(setting_text, row[1:])] for row in rows])


def _last_preview(run: RunFiles) -> str | None:
    paths = shown_previews(run.folder, 1)
    return picture_file(paths[0], PREVIEW_SIDE) if paths else None


def _photos(run: RunFiles) -> object:
    """Return what is equal in two runs with the same photographs for training and for validation."""
    try:
        record = split_record.read_record(run.folder / split_record.FILE)
    except DataError:
        record = None
    if record is None:  # a run of version 0.1
        return run.info.data, None if run.summary is None else run.summary.measured_on.get(VALIDATION_PHOTOS)
    return [sorted(identity or name for name, identity in part.items()) for part in (record.train, record.validation)]


def _same_setup(first: RunFiles, second: RunFiles) -> bool:
    """Return whether two runs have the same photographs, and recipes that differ in nothing but the seed."""
    same_recipe = recipe.differences(first.recipe, second.recipe).keys() <= {_SEED}
    return same_recipe and _photos(first) == _photos(second)


def _environment(run: RunFiles) -> dict[str, Any]:
    """Return where a run was trained; the recipe has its own table, and each session its own time and command."""
    facts = {name: value for name, value in asdict(run.info).items() if name not in _NO_ENVIRONMENT}
    return facts | dict(run.info.versions)


def _differing_rows(columns: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    changes = [recipe.differences(columns[0], column) for column in columns[1:]]
    rows = []
    for key in dict.fromkeys(key for changed in changes for key in changed):
        first = next(changed[key][0] for changed in changes if key in changed)
        rows.append([key, first, *(changed[key][1] if key in changed else first for changed in changes)])
    return rows
