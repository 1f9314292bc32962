"""The report of a training run: report.html in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path

from toolbox.reports.chart import Points, line_chart
from toolbox.reports.page import figure, html_page, paragraph, picture_file, section, table
from toolbox.reports.run_files import RECIPE, RunFiles, read_run
from toolbox.reports.run_records import PREVIEWS
from toolbox.utils import files

REPORT = "report.html"
# The long side of a preview picture in pixels: three pictures beside each other.
PREVIEW_SIDE = 768
# More previews than this would make the file large; the first, the last and some between are shown.
MAX_PREVIEWS = 50


def write_run_report(folder: Path) -> Path:
    """Write the report of a run into its folder, and return its path.

    Raises:
        UsageError: `folder` is not a run folder.
        OutputError: the file can't be written.
    """
    path = folder / REPORT
    files.write_text(path, run_report(read_run(folder)))
    return path


def run_report(run: RunFiles) -> str:
    """Return the report of a run as HTML."""
    sections = [
        section("Scores", *_scores(run)),
        section("Curves", *_curves(run)),
        section("Previews", *_previews(run.folder)),
        section("Recipe", f"<pre>{escape(_recipe_text(run.folder))}</pre>"),
        section("Environment", table((), _environment(run))),
    ]
    if run.warnings:
        sections.insert(1, section("Warnings", *(paragraph(line, "warning") for line in run.warnings)))
    return html_page(f"Run {run.name}", sections)


def _scores(run: RunFiles) -> list[str]:
    summary = run.summary
    if summary is None:
        return [paragraph("There is no validation yet.")]
    rows: list[list[object]] = [[name, *asdict(score).values()] for name, score in summary.baselines.items()]
    if summary.best is not None:
        rows.append([f"best weights (after step {summary.best.step})", *asdict(summary.best.score).values()])
    lines = [table(("", "S", "M", "C", "score"), rows), paragraph(f"{run.steps} steps.")]
    if summary.loss_after is not None:
        before, after = summary.loss_before, summary.loss_after
        lines.append(paragraph(f"Pixel loss of a fixed validation batch: {before:.4f} before, {after:.4f} now."))
    return lines


def _curves(run: RunFiles) -> list[str]:
    """Return the charts: scores, totals, the terms by their group, the balance of both networks, gradients."""
    groups = {
        "Validation: S, M, C and score": _select(run.validations, lambda name: name in ("S", "M", "C", "score")),
        "Validation: loss": _select(run.validations, lambda name: name == "loss"),
        "Validation: metrics": _select(run.validations, lambda name: name not in ("S", "M", "C", "score", "loss")),
        "Generator and discriminator: total loss": _select(run.terms, lambda name: name in ("g", "d")),
        "Losses, without their weights": _select(run.terms, lambda name: name.startswith("loss.")),
        "Penalties, without their weights": _select(run.terms, lambda name: name.startswith("penalty.")),
        "Accuracy of the discriminator (0.5: it can't tell, 1: always right)": _select(
            run.terms, lambda name: name == "d_accuracy"
        ),
        "Norms of the gradients": _select(run.terms, lambda name: name.startswith("gradient.")),
        "Learning rates": _select(run.terms, lambda name: name.startswith("lr.")),
        "Images per second": _select(run.terms, lambda name: name == "images_per_second"),
    }
    charts = [line_chart(f"{title}, by step", lines) for title, lines in groups.items()]
    return [chart for chart in charts if chart] or [paragraph("There are no records yet.")]


def _select(series: Mapping[str, Points], keep: Callable[[str], bool]) -> dict[str, Points]:
    return {name: points for name, points in series.items() if keep(name)}


def _previews(folder: Path) -> list[str]:
    paths = sorted((folder / PREVIEWS).glob("*.png"))
    if len(paths) > MAX_PREVIEWS:
        last = len(paths) - 1
        paths = [paths[round(index * last / (MAX_PREVIEWS - 1))] for index in range(MAX_PREVIEWS)]
    parts = []
    for path in paths:
        picture = picture_file(path, PREVIEW_SIDE)
        if picture is not None:
            is_open = " open" if path == paths[-1] else ""
            caption = "input, restored, truth"
            parts.append(
                f"<details{is_open}><summary>{escape(path.stem)}</summary>{figure(picture, caption)}</details>"
            )
    return parts or [paragraph("There are no previews yet.")]


def _recipe_text(folder: Path) -> str:
    try:
        return (folder / RECIPE).read_text("utf-8")
    except (OSError, ValueError):
        return "recipe.toml can't be read."


def _environment(run: RunFiles) -> list[tuple[str, object]]:
    rows = {name: value for name, value in asdict(run.info).items() if name != "versions"}
    rows["data"] = rows.get("data") or "the sample photographs"
    return [*rows.items(), *run.info.versions.items()]
