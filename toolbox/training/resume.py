"""Continuing a run: its newest checkpoint, the position in it, and what has changed since it was saved."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolbox.config.plan import Plan
from toolbox.config.recipe import differences
from toolbox.data import split_record
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import load_grad_scaler_state
from toolbox.errors import ToolboxError, UsageError, WeightsError
from toolbox.hooks.catalog import Catalog
from toolbox.models.initial import find_initial
from toolbox.models.stored_weights import StoredWeights
from toolbox.reports import run_records
from toolbox.training import checkpoint, metric_log, run_dir
from toolbox.training.checkpoint import Progress
from toolbox.training.context import TrainingRun
from toolbox.training.fingerprint import environment_differences, fingerprint
from toolbox.training.options import Console
from toolbox.utils import files, surface
from toolbox.utils.plural import counted
from toolbox.utils.shell import shell_word


def newest_checkpoint(folder: Path, console: Console) -> str | None:
    """Return the newest undamaged checkpoint of the run in `folder`, None if there is none.

    Names the damaged ones, and says that the training begins again if all checkpoints of a validated run are lost.
    """
    saved, warnings = checkpoint.newest_checkpoint(folder / run_dir.CHECKPOINTS)
    for line in warnings:
        console.print_line(line)
    checkpoint.rename_damaged(folder / run_dir.CHECKPOINTS)
    summary = run_records.read_summary(folder)
    if saved is None and summary is not None and summary.best is not None:
        console.print_line(
            f"warning: {files.printable(folder / run_dir.CHECKPOINTS)} has no usable checkpoint, so the training "
            f"begins again at step 0. The earlier best weights, of step {summary.best.step}, are kept until a "
            "validation gives a better score."
        )
    return None if saved is None else str(saved)


def find_initial_again(folder: Path, plan: Plan, catalog: Catalog) -> dict[str, StoredWeights]:
    """Return the weights that the run in `folder` starts from if it has no usable checkpoint; none if it has one.

    Raises:
        UsageError: they are not there any more.
    """
    if not plan.initial or checkpoint.newest_checkpoint(folder / run_dir.CHECKPOINTS)[0] is not None:
        return {}
    try:
        return find_initial(plan, catalog)
    except ToolboxError as error:
        settings = " and ".join(f"{network}.init" for network in plan.initial)
        raise UsageError(
            f"{files.printable(folder)} has no usable checkpoint, so the run begins again from its initial weights, "
            f"{settings}: {error}"
        ) from error


def recorded_split(folder: Path) -> Path | None:
    """Return the file with the split of the run in `folder`, which may be lost; None before its first step.

    A run that was killed before it wrote the file, or is writing it in another process, has trained on no photograph.
    """
    path = folder / run_dir.SPLIT
    return path if path.exists() or run_dir.has_trained(folder) else None


def new_run_with(folder: Path, data: Path | None, setting: str) -> str:
    """Return how a new run is started with the recipe of the one in `folder` and another setting, KEY=VALUE.

    Args:
        folder: the run folder.
        data: the data folder; None for that of the run.
        setting: the setting.
    """
    known = data or run_records.read_run_info(folder).data
    option = f" --data {shell_word(str(known))}" if known else ""
    return surface.words(
        command=f"Start a new run: toolbox run --recipe {shell_word(folder / run_dir.RECIPE)}{option} --set "
        f"{shell_word(setting)}",
        python="Start a new run with this recipe, without resume.",
    )


def load_position(run: TrainingRun, saved: Path | None) -> Progress:
    """Load the checkpoint and bring the run folder to its state; without a checkpoint prepare the folder.

    Raises:
        WeightsError, UsageError: the checkpoint does not fit, or a limit is below what the run has done.
    """
    progress = Progress() if saved is None else _load_checkpoint(run, saved)
    load_grad_scaler_state(run.accelerator, progress.scale)
    if saved is not None:
        _require_limits(run, progress)
        progress = _report_changes(run, progress, saved)
    else:
        for line in change_lines(run.options.changes):
            run.console.print_line(line)
    progress = replace(progress, epoch_key=_epoch_key(run), settings=_settings(run))
    if collectives.is_main_process():
        _prepare_folder(run, progress)
    return progress


def _load_checkpoint(run: TrainingRun, saved: Path) -> Progress:
    """Load a checkpoint; if it does not fit, say what has changed and what to do."""
    try:
        return checkpoint.load_checkpoint(saved, run.state)
    except WeightsError as error:
        environment = fingerprint(run.accelerator.device, run.state.memory_format, run.state.plugins)
        changed = [*change_lines(run.options.changes), *environment_differences(saved, environment)]
        raise WeightsError(
            f"{' '.join([str(error), *changed])} Leave out what changes the networks, losses or optimizers, or start a "
            f"new run from these weights with {run_dir.init_option(run.options.folder)}"
        ) from error


def _prepare_folder(run: TrainingRun, progress: Progress) -> None:
    folder = run.options.folder
    run_dir.prepare_run_dir(folder)
    split_record.write_record(folder / run_dir.SPLIT, run.options.split)
    checkpoint.require_disk_space(folder / run_dir.CHECKPOINTS, run.state)
    if progress.step and not (folder / run_dir.METRICS).exists():
        run.console.print_line(
            f"warning: {run_dir.METRICS} is missing, so the records of the first {progress.step} steps are lost."
        )
    report = run.console.print_line
    metric_log.drop_records_after(folder, progress.step, progress.validated, lambda line: report(f"warning: {line}"))
    for record in run_records.read_records(folder):
        run.monitor.update(record)


def _require_limits(run: TrainingRun, progress: Progress) -> None:
    """Raise UsageError if a changed limit is below what the run has done: steps can't be undone."""
    changed, limits = run.options.changes, run.plan.settings.training
    done = progress.epoch + (progress.batch > 0)
    faults, option = [], surface.words(command="--", python="training.")
    if "training.epochs" in changed and limits.epochs < done:
        faults.append(f"{option}epochs {limits.epochs}: the run is in epoch {done}")
    if "training.steps" in changed and limits.steps is not None and limits.steps < progress.step:
        faults.append(f"{option}steps {limits.steps}: the run has taken {progress.step} steps")
    if "training.minutes" in changed and limits.minutes is not None and 60 * limits.minutes < progress.seconds:
        minutes = math.ceil(progress.seconds / 6) / 10
        faults.append(f"{option}minutes {limits.minutes:g}: the run has taken {minutes:g} minutes")
    if faults:
        error = UsageError(f"{'; '.join(faults)} already. Give at least that much, or start a new run.")
        raise collectives.same_error_on_every_rank(error)


def _require_initial(run: TrainingRun, changes: Mapping[str, tuple[Any, Any]]) -> None:
    """Raise UsageError for a changed setting that only chooses the weights a new run starts from."""
    for network in (run.plan.generator, run.plan.discriminator):
        if network is None:
            continue
        for name in ("init", *network.spec.initial):
            key = f"{network.entry.kind}.{name}"
            old, new = changes.get(key, (None, None))
            if old is not None:  # early versions did not have all of these settings
                value = json.dumps(new) if isinstance(new, bool) else new
                fault = f"{key} has no effect in a run that is continued: its checkpoint has the weights."
                error = UsageError(f"{fault} {new_run_with(run.options.folder, None, f'{key}={value}')}")
                raise collectives.same_error_on_every_rank(error)


def report_position(run: TrainingRun, progress: Progress) -> None:
    """Print where a run continues, or which limits have ended it."""
    ended = _reached_limits(run, progress)
    position = f"step {progress.step} of {run.total_steps(progress)}"
    if ended:
        run.console.print_line(
            f"The run is finished after {position}: it has reached its limit of {' and of '.join(ended.values())}. To "
            f"train longer, raise {' and '.join(ended)}."
        )
    else:
        run.console.print_line(f"Continuing after {position}.")


def _report_changes(run: TrainingRun, progress: Progress, saved: Path) -> Progress:
    """Print what has changed since a checkpoint; return the position from which the run can continue."""
    batches = len(run.epoch_batches(progress.epoch))
    is_same_order = progress.epoch_key == _epoch_key(run) if progress.epoch_key else progress.batch < batches
    is_begun_again = progress.batch > 0 and not is_same_order and not _reached_limits(run, progress)
    if is_begun_again:
        progress = replace(progress, batch=0, sums={}, pending=False)
    changes = _changes(run, progress)
    _require_initial(run, changes)
    for line in change_lines(changes):
        run.console.print_line(line)
    environment = fingerprint(run.accelerator.device, run.state.memory_format, run.state.plugins)
    for line in environment_differences(saved, environment):
        run.console.print_line(line)
    if is_begun_again:
        run.console.print_line(
            f"Epoch {progress.epoch + 1} begins again: its batches are not those that the run has seen so far."
        )
    return progress


def _settings(run: TrainingRun) -> dict[str, Any]:
    """Return the bound recipe as JSON values, without the versions of plugins, which checkpoints record anyway."""
    tree = {key: value for key, value in run.plan.tree().items() if key != "requires"}
    settings: dict[str, Any] = json.loads(json.dumps(tree))
    return settings


def _changes(run: TrainingRun, progress: Progress) -> Mapping[str, tuple[Any, Any]]:
    """Return the settings that differ from those of the checkpoint, also if its recipe.toml was edited by hand."""
    return differences(progress.settings, _settings(run)) if progress.settings else run.options.changes


def change_lines(changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Return a line that names every setting that this command changes; none if there are none."""

    def text(value: object) -> str:
        return "none" if value is None else json.dumps(value) if isinstance(value, dict | list) else str(value) or '""'

    listed = [f"{key} {text(old)}, now {text(new)}" for key, (old, new) in changes.items()]
    return [f"Changed settings: {'; '.join(listed)}."] if listed else []


def _reached_limits(run: TrainingRun, progress: Progress) -> dict[str, str]:
    """Return each limit that ends the run before its next step, in words, by the option that raises it."""
    training, patience = run.plan.settings.training, run.plan.settings.validation.patience
    option = surface.words(command="--", python="training.")
    reached = {}
    if progress.epoch >= training.epochs:
        reached[f"{option}epochs"] = counted(training.epochs, "epoch")
    if training.steps is not None and progress.step >= training.steps:
        reached[f"{option}steps"] = counted(training.steps, "step")
    if progress.step and training.minutes is not None and progress.seconds >= 60 * training.minutes:
        reached[f"{option}minutes"] = counted(training.minutes, "minute")
    if progress.step and run.is_out_of_patience(progress.stale):
        option = surface.words(command="--set validation.patience", python="validation.patience")
        reached[option] = f"{counted(patience, 'validation')} without improvement"
    return reached


def _epoch_key(run: TrainingRun) -> str:
    """Return a digest of what the order of an epoch's batches depends on."""
    settings, split = run.plan.settings, run.options.split
    photos = [split.identities.get(item, item.name) for item in split.train]
    values = [photos, settings.data.repeat, settings.training.batch, settings.seed]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
