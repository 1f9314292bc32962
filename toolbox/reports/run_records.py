"""The files that describe a run: `run.json`, `summary.json`, each with its dataclass, and `metrics.jsonl`.

Nothing here imports torch, so that a report of a run can be made without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from toolbox.errors import one_line
from toolbox.evaluation.metrics import Score
from toolbox.hooks.record_names import RENAMED, TABLES
from toolbox.utils import files
from toolbox.utils.deleted_folders import write_in
from toolbox.utils.json_values import parse_json, read_json_object

REPORT = "report.html"
RUN_INFO = "run.json"
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"  # a record for each step, validation and warning
PREVIEWS = "previews"
# What the entries of the tables in run.json are; others are left out when they are read.
_ENTRIES: Mapping[str, Callable[[Any], bool]] = {
    "versions": lambda value: isinstance(value, str),
    "plugins": lambda value: isinstance(value, str),
    "photos": lambda value: isinstance(value, int),
    "changes": lambda value: isinstance(value, list) and len(value) == 2,
}


@dataclass(frozen=True, kw_only=True)
class Session:
    """One command that started or continued a run.

    Attributes:
        started: date and time with the offset from UTC, in ISO 8601.
        command: the command line.
        host: the name of the machine.
        process: the process ID there.
        device: the device, in words.
    """

    started: str
    command: str
    host: str
    process: int
    device: str


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a run was started with.

    Attributes:
        recipe: the recipe's name.
        seed: the seed of the run.
        data: the data folder; None for the sample photographs.
        device: the device, in words.
        python: the version of Python.
        system: the operating system.
        versions: the versions of the packages by name.
        plugins: the versions of the plugins that the recipe uses, by name.
        photos: the numbers of photographs: train, validation, test, and leaks, the validation photographs that share a
            scene with a training photograph.
        parent: the name of the recipe that the recipe extends, or its own if only the command changed it.
        changes: the value in the parent and the value in the recipe of each setting that differs, by dotted key.
        sessions: the command lines that started and continued the run, the oldest first.
    """

    recipe: str = ""
    seed: int | None = None
    data: str | None = None
    device: str = ""
    python: str = ""
    system: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    photos: Mapping[str, int] = field(default_factory=dict)
    parent: str = ""
    changes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    sessions: Sequence[Session] = ()


@dataclass(frozen=True, kw_only=True)
class BestWeights:
    """The best weights.

    Attributes:
        step: the number of steps after which they were reached.
        score: their score.
        figures: the figures of the training step; empty if the network restores pictures.
        loss: the validation loss, as in the header of the file; None in summaries of earlier versions.
    """

    step: int
    score: Score
    figures: Mapping[str, float | None] = field(default_factory=dict)
    loss: float | None = None


# The entry of `RunSummary.measured_on` for the photographs.
VALIDATION_PHOTOS = "the validation photographs"


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The figures of a run so far.

    Attributes:
        loss_before: the pixel loss (mean squared error) of a fixed validation batch before the first step.
        loss_before_step: the number of steps before `loss_before`; not 0 if it was measured again in a resumed run.
        baselines: the scores of methods without training, by their names.
        loss_after: the pixel loss of the best weights; None until the run has finished.
        best: the best weights; None until the first validation.
        warnings: the warnings of `toolbox.training.gan_monitor`, by cause.
        measured_on: what all these figures depend on, see `toolbox.training.baselines`; empty before version 0.2.
        submission: of the submission with the best weights: digests of what it was made from ("weights", "settings",
            "code", "photos"), and its "sha256"; empty if there is none.
    """

    loss_before: float
    baselines: Mapping[str, Score]
    loss_before_step: int = 0
    loss_after: float | None = None
    best: BestWeights | None = None
    warnings: Mapping[str, str] = field(default_factory=dict)
    measured_on: Mapping[str, Any] = field(default_factory=dict)
    submission: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the run has finished."""
        return self.loss_after is not None


Report = Callable[[str], object]


def read_run_info(folder: Path, report: Report | None = None) -> RunInfo:
    """Return what the run in `folder` was started with. Entries that are missing or unreadable are left out.

    Args:
        folder: the run folder.
        report: gets a line about a file that can't be read; None ignores it.
    """
    stored = _read_json(folder / RUN_INFO, report)
    empty: dict[str, Any] = {"seed": 0, "data": ""}
    empty |= {name: value for name, value in asdict(RunInfo()).items() if value is not None}
    known = {name: stored[name] for name, like in empty.items() if isinstance(stored.get(name), type(like))}
    try:
        sessions = tuple(Session(**session) for session in stored.get("sessions", ()))
    except TypeError:
        sessions = ()
    known.pop("sessions", None)
    for name, is_valid in _ENTRIES.items():
        if name in known:
            known[name] = {key: value for key, value in known[name].items() if is_valid(value)}
    return RunInfo(**known, sessions=sessions)


def write_run_info(folder: Path, info: RunInfo) -> None:
    """Write run.json; OutputError if it can't be written."""
    _write_json(folder / RUN_INFO, asdict(info))


def read_summary(folder: Path, report: Report | None = None) -> RunSummary | None:
    """Return the figures of the run in `folder`; None at its beginning, or if the file is damaged.

    Args:
        folder: the run folder.
        report: gets a line about a file that is damaged; None ignores it.
    """
    stored = _read_json(folder / SUMMARY, report)
    try:
        return summary_from_json(stored)
    except (KeyError, TypeError, AttributeError, ValueError):
        if stored and report is not None:
            report(damage_line(folder / SUMMARY, "it has not the figures of a run"))
        return None


def write_summary(folder: Path, summary: RunSummary) -> None:
    """Write summary.json; OutputError if it can't be written."""
    _write_json(folder / SUMMARY, summary_to_json(summary))


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    write_in(path.parent, lambda: files.write_json(path, values))


def read_records(folder: Path, report: Report | None = None) -> Iterator[dict[str, Any]]:
    """Yield the records of metrics.jsonl in order; none if there is no such file.

    Lines that are no record are left out, such as one that was cut off when the process was killed.

    Args:
        folder: the run folder.
        report: gets, at the end, a line about those that were left out, or about a file that can't be read; None
            ignores them.
    """
    path = folder / METRICS
    left_out: list[int] = []
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                record = _parse_record(line)
                if record is not None:
                    yield record
                elif line.strip():
                    left_out.append(number)
    except FileNotFoundError:
        return
    except OSError as error:
        if report is not None:
            report(f"{files.printable(path)} can't be read: {error.strerror or error}. Its records are left out.")
        return
    if left_out and report is not None:
        more = f" and {len(left_out) - 1} more lines are" if len(left_out) > 1 else " is"
        report(
            f"{files.printable(path)}: line {left_out[0]}{more} no record (cut off or damaged), and left out. To get "
            "the records back, restore the file from a backup."
        )


def _parse_record(line: str) -> dict[str, Any] | None:
    """Return the record in a line of metrics.jsonl, None if it has none."""
    try:
        record = parse_json(line)
    except ValueError:
        return None
    return {RENAMED.get(name, name): value for name, value in record.items()} if _is_record(record) else None


def _is_record(record: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether a value is a table with the entries that every reader needs, of the right types."""
    if not isinstance(record, dict):
        return False
    return isinstance(record.get("step", 0), int) and all(isinstance(record.get(key, {}), dict) for key in TABLES)


def summary_from_json(stored: Mapping[str, Any]) -> RunSummary:
    """Return the summary that `summary_to_json` stored; KeyError, TypeError AttributeError or ValueError if not."""
    for name in ("warnings", "measured_on", "submission"):
        if not isinstance(stored.get(name, {}), Mapping):
            raise TypeError(f"'{name}' is no JSON object")
    return RunSummary(
        loss_before=float(stored["pixel_loss"]["before"]),
        loss_before_step=stored["pixel_loss"].get("before_step", 0),
        loss_after=stored["pixel_loss"].get("after"),
        baselines={name: _score(score) for name, score in stored["baselines"].items()},
        best=_best(dict(stored["best"])) if "best" in stored else None,
        warnings=stored.get("warnings", {}),
        measured_on=stored.get("measured_on", {}),
        submission=stored.get("submission", {}),
    )


def _best(stored: dict[str, Any]) -> BestWeights:
    step, figures, loss = int(stored.pop("step")), stored.pop("figures", {}), stored.pop("loss", None)
    return BestWeights(step=step, score=_score(stored), figures=figures, loss=None if loss is None else float(loss))


def _score(stored: Mapping[str, Any]) -> Score:
    wrong = [value for value in stored.values() if value is not None and not isinstance(value, int | float)]
    if wrong:
        raise TypeError(f"{wrong[0]!r} is no number")
    return Score(**stored)


def summary_to_json(summary: RunSummary) -> dict[str, Any]:
    """Return a summary as JSON values; entries that are not known yet are left out."""
    stored: dict[str, Any] = {"pixel_loss": {"before": summary.loss_before}}
    if summary.loss_before_step:
        stored["pixel_loss"]["before_step"] = summary.loss_before_step
    if summary.loss_after is not None:
        stored["pixel_loss"]["after"] = summary.loss_after
    stored["baselines"] = {name: asdict(score) for name, score in summary.baselines.items()}
    if summary.best is not None:
        stored["best"] = {"step": summary.best.step, **asdict(summary.best.score)}
        if summary.best.figures:
            stored["best"]["figures"] = dict(summary.best.figures)
        if summary.best.loss is not None and math.isfinite(summary.best.loss):
            stored["best"]["loss"] = summary.best.loss
    if summary.warnings:
        stored["warnings"] = dict(summary.warnings)
    if summary.measured_on:
        stored["measured_on"] = dict(summary.measured_on)
    if summary.submission:
        stored["submission"] = dict(summary.submission)
    return stored


def _read_json(path: Path, report: Report | None = None) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        if report is not None:
            report(damage_line(path, error))
        return {}


def damage_line(path: Path, reason: object) -> str:
    """Return a line that names a damaged file of a run, and why it can't be read."""
    return f"{files.printable(path)} is damaged, and left out: {one_line(reason)}."
