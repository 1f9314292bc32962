"""The report of a training run: report.html in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from html import escape
from pathlib import Path

from toolbox.reports.chart import Points, line_chart
from toolbox.reports.page import (
    chart_grid,
    html_page,
    paragraph,
    picture_file,
    section,
    setting_text,
    slides,
    table,
    write_page,
)
from toolbox.reports.run_files import RECIPE, RunFiles, read_run
from toolbox.reports.run_records import PREVIEWS, REPORT

# The long side of a preview picture in pixels: three pictures beside each other.
PREVIEW_SIDE = 768
# More previews than this would make the file large; the first, the last and some between are shown.
MAX_PREVIEWS = 50
MAX_PREVIEW_BYTES = 6_000_000
_ACCURACY = "Accuracy of the discriminator (0.5: it can't tell, 1: always right)"


def write_run_report(folder: Path) -> Path:
    """Write the report of a run into its folder, and return its path.

    Raises:
        UsageError: `folder` is not a run folder.
        OutputError: the file can't be written.
    """
    path = folder / REPORT
    write_page(path, run_report(read_run(folder)))
    return path


def run_report(run: RunFiles) -> str:
    """Return the report of a run as HTML."""
    sections = [
        section("Scores", *_scores(run)),
        section("Curves", *_curves(run)),
        section("Previews", *_previews(run.folder)),
        section("Photographs", *_photos(run)),
        section("Recipe", *_recipe(run)),
        section("Environment", table((), _environment(run))),
    ]
    if lines := (*run.damage, *run.warnings):
        sections.insert(1, section("Warnings", *(paragraph(line, "warning") for line in lines)))
    return html_page(f"Run {run.name}", sections, _about(run))


def _about(run: RunFiles) -> str:
    """Return the recipe, the times, the steps and whether the run has finished, as one line."""
    starts = [session.started[:16].replace("T", " ") for session in run.info.sessions]
    times = [f"started {starts[0]}"] if starts else []
    times += [f"continued {starts[-1]}"] if len(starts) > 1 else []
    steps = f"{run.steps} step{'s' if run.steps != 1 else ''}"
    is_finished = run.summary is not None and run.summary.is_finished
    facts = [f"Recipe {run.info.recipe or 'not recorded'}", *times, steps if is_finished else f"{steps} so far"]
    return ", ".join([*facts, "finished"] if is_finished else facts) + "."


def _scores(run: RunFiles) -> list[str]:
    summary = run.summary
    if summary is None:
        return [paragraph("There is no validation yet.")]
    best, kind = summary.best, "Pixel loss"
    if best is not None and best.figures:  # of a network that restores no pictures
        scores, kind = table((f"best weights (after step {best.step})", ""), [*best.figures.items()]), "Loss"
    else:
        rows: list[list[object]] = [[name, *asdict(score).values()] for name, score in summary.baselines.items()]
        if best is not None:
            rows.append([f"best weights (after step {best.step})", *asdict(best.score).values()])
        scores = table(("", "S", "M", "C", "score"), rows, decimals=4)
    lines = [scores]
    if summary.loss_after is not None:
        before, after = summary.loss_before, summary.loss_after
        step = summary.loss_before_step  # not 0 if it was measured again in a resumed run
        measured = f"after step {step}" if step else "before the first step"
        lines.append(paragraph(f"{kind} of a fixed validation batch: {before:.4f} {measured}, {after:.4f} now."))
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
        _ACCURACY: _select(run.terms, lambda name: name == "d_accuracy"),
        "Norms of the gradients": _select(run.terms, lambda name: name.startswith("gradient.")),
        "Learning rates": _select(run.terms, lambda name: name.startswith("lr.")),
        "Images per second": _select(run.terms, lambda name: name == "images_per_second"),
        "Peak memory in GB": _select(run.terms, lambda name: name == "memory"),
    }
    limits = {_ACCURACY: (0.0, 1.0)}
    charts = [line_chart(title, lines, limits.get(title)) for title, lines in groups.items()]
    return [chart_grid(charts, "There are no records yet.")]


def _select(series: Mapping[str, Points], keep: Callable[[str], bool]) -> dict[str, Points]:
    return {name: points for name, points in series.items() if keep(name)}


def shown_previews(folder: Path, most: int = MAX_PREVIEWS) -> list[Path]:
    """Return the previews of a run that its report shows, at most `most`."""
    return _spread(sorted((folder / PREVIEWS).glob("*.png")), most)


def _previews(folder: Path) -> list[str]:
    most = MAX_PREVIEWS
    while True:
        shown = shown_previews(folder, most)
        pictures = [(_caption(path), url) for path in shown if (url := _preview(path)) is not None]
        if sum(len(url) for _, url in pictures) <= MAX_PREVIEW_BYTES or most == 1:
            break
        most //= 2
    if not pictures:
        return [paragraph("There are no previews yet.")]
    hint = "Each row: input, restored, truth. Choose an epoch, or use the arrow keys."
    return [paragraph(hint), slides("preview", pictures)]


def _caption(path: Path) -> str:
    """Return the caption of a preview file, such as "epoch 12"."""
    word, _, number = path.stem.partition("-")
    return f"{word} {int(number)}" if number.isdigit() else path.stem


def _spread(paths: Sequence[Path], most: int) -> list[Path]:
    """Return at most `most` of the paths: the last one, the first one, and some between at equal distances."""
    if len(paths) <= most:
        return list(paths)
    return [paths[-1 - round(index * (len(paths) - 1) / max(1, most - 1))] for index in reversed(range(most))]


def _preview(path: Path) -> str | None:
    """Return a preview as a data URL; None if it can't be read."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    return _read_preview(path, changed)


# A report is written again after each epoch, and its pictures stay the same.
@lru_cache(maxsize=2 * MAX_PREVIEWS)
def _read_preview(path: Path, changed: int) -> str | None:
    return picture_file(path, PREVIEW_SIDE)


def _photos(run: RunFiles) -> list[str]:
    photos = run.info.photos
    if not photos:
        return [paragraph("The numbers of photographs are not recorded.")]
    line = f"{photos.get('train')} train, {photos.get('validation')} validate, {photos.get('test')} test."
    leaks = photos.get("leaks", 0)
    if not leaks:
        return [paragraph(f"{line} No scene is in both the training and the validation photographs.")]
    is_random = run.recipe.get("split", {}).get("method") == "random"
    hint = " The scores may be too high. split.method=scene keeps scenes apart." if is_random else ""
    leak_line = f"{leaks} validation photographs share a scene with a training photograph.{hint}"
    return [paragraph(line), paragraph(leak_line, "warning")]


def _recipe(run: RunFiles) -> list[str]:
    try:
        text = (run.folder / RECIPE).read_text("utf-8")
    except (OSError, ValueError):
        text = "recipe.toml can't be read."
    whole = f"<details><summary>All settings</summary><pre>{escape(text)}</pre></details>"
    changes = [[key, *map(setting_text, values)] for key, values in run.info.changes.items()]
    if not changes:
        return [whole]
    parent = run.info.parent
    title = f"What differs from {parent}:" if parent else "What was changed when the run was continued:"
    return [paragraph(title), table(("setting", parent or "before", "this run" if parent else "now"), changes), whole]


def _environment(run: RunFiles) -> list[tuple[str, object]]:
    apart = ("versions", "photos", "parent", "changes", "sessions")
    rows = {name: value for name, value in asdict(run.info).items() if name not in apart}
    rows["seed"] = "" if run.info.seed is None else str(run.info.seed)
    rows["data"] = rows.get("data") or "the sample photographs"
    rows["plugins"] = ", ".join(f"{name} {version}" for name, version in run.info.plugins.items())
    sessions = [
        (f"session {number}", f"{session.started}: {session.command}")
        for number, session in enumerate(run.info.sessions, 1)
    ]
    return [*rows.items(), *sessions, *run.info.versions.items()]
