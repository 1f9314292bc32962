"""The end of an epoch: step the schedules, validate, keep the best weights, write a submission."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from toolbox.config import recipe
from toolbox.config.plan import Plan
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import grad_scaler_state
from toolbox.errors import TrainingError
from toolbox.hooks import blame
from toolbox.hooks.observing import EpochRecord, ValidationRecord, WarningRecord
from toolbox.hooks.specs import MetricSpec
from toolbox.models.weight_file import WeightsHeader, not_finite, saved_state
from toolbox.reports import run_records
from toolbox.reports.run_records import BestWeights
from toolbox.training import best_weights, checkpoint, metric_log, run_dir, validate
from toolbox.training.checkpoint import Progress
from toolbox.training.context import TrainingRun
from toolbox.training.epoch_table import epoch_columns, epoch_record
from toolbox.training.submit import restore_test_photos
from toolbox.training.validation_result import NO_SCORE, ValidationResult
from toolbox.utils import surface
from toolbox.utils.plural import counted
from toolbox.utils.run_names import BEST
from toolbox.utils.shell import shell_word

# The figure of weights whose metric is not defined. It is finite because JSON, in checkpoints and headers of weights,
# has no infinity.
LOWEST_RANK = -sys.float_info.max


def end_epoch(run: TrainingRun, progress: Progress, *, run_has_ended: bool = False) -> Progress:
    """End an epoch, complete or not: step the schedules if it is complete, validate, keep the best, submit.

    Args:
        run: the run.
        progress: its position after the epoch's last step.
        run_has_ended: the run has ended here before its last validation, which is done now; the schedules have been
            stepped already.

    Returns:
        The position after the validation.
    """
    settings = run.plan.settings
    is_complete = progress.batch == 0
    epoch = progress.epoch if is_complete else progress.epoch + 1
    is_last = run_has_ended or progress.step >= run.total_steps(progress) or run.is_time_up()
    figures = epoch_record(epoch, progress, run.state, run.table)
    may_be_logged = run_has_ended or progress.pending
    if not (may_be_logged and collectives.on_main_process(lambda: _has_epoch_record(run, progress.step))):
        run.log_epoch(figures)
    if is_complete and not run_has_ended and not progress.pending:
        for trained in run.state.networks().values():
            trained.end("epoch")
    validation = None
    if is_last or epoch % settings.validation.every == 0:
        if not progress.pending:
            # A validation calls metrics, which may fail in any way; with this checkpoint, no training is lost.
            save_progress(run, replace(progress, pending=True))
        validation, progress = _validate(run, replace(progress, pending=False), epoch)
    if epoch == 1:
        run.report_luma_mismatches()
    columns = epoch_columns(epoch, settings.training.epochs, progress, validation, run.table)
    for line in run.table.lines(columns):
        run.console.print_line(line)
    if is_complete:
        run.table.end_epoch()
    if run.is_out_of_patience(progress.stale):
        run.console.print_line(
            f"The run ends here, after {counted(progress.stale, 'validation')} without improvement "
            "(validation.patience)."
        )
    run.observers.notify("on_epoch", _observed_epoch(figures, progress.step, run.elapsed_seconds()))
    submit_every = settings.validation.submit_every
    if submit_every and epoch % submit_every == 0 and not is_last:
        target = run.options.folder / run_dir.SUBMISSIONS / f"epoch-{epoch:03d}"
        restore_test_photos(run, target.with_suffix(".zip"), target)
    return replace(progress, sums={}) if is_complete else progress


def save_progress(run: TrainingRun, progress: Progress) -> None:
    """Write a checkpoint. All processes call it.

    Raises:
        TrainingError: weights are not finite; the earlier checkpoints and the best weights stay.
    """
    collectives.require_equal_state(run.state.tensors())
    _require_finite_weights(run, progress)
    folder = run.options.folder / run_dir.CHECKPOINTS
    checkpoint.save_checkpoint(folder, run.state, replace(progress, scale=grad_scaler_state(run.accelerator)))


def _require_finite_weights(run: TrainingRun, progress: Progress) -> None:
    for name, module in run.state.modules().items():
        if wrong := not_finite(saved_state(module), module):
            folder = run.options.folder
            remedy = surface.words(
                command=f"toolbox run --resume {shell_word(folder)} --set generator.optimizer.lr=...",
                python=f"set generator.optimizer.lr in the recipe, then toolbox.train(recipe, resume={str(folder)!r})",
            )
            trained = run.state.networks().get(name, run.state.generator)  # the generator's trains losses, too
            entry = trained.watch.entry
            updated = f" {blame.title(entry)} has updated it." if entry else ""
            error = TrainingError(
                f"After step {progress.step - 1}, {wrong[0]} of the {name} is not finite, so the run stops.{updated} "
                f"The earlier checkpoint and the best weights stay. Try a smaller learning rate: {remedy}"
            )
            raise collectives.same_error_on_every_rank(error)


def _how_to_resume(folder: Path) -> str:
    return surface.words(
        command=f"toolbox run --resume {shell_word(folder)}", python=f"toolbox.train(resume={str(folder)!r})"
    )


def _observed_epoch(figures: Mapping[str, Any], step: int, seconds: float) -> EpochRecord:
    """Return the record of an epoch for observers, from that for metrics.jsonl."""
    values = figures["epoch_end"]
    return EpochRecord(
        epoch=figures["epoch"],
        step=step,
        means=values["means"],
        seconds=seconds,
        learning_rates=values["learning_rate"],
        images_per_second=values["images_per_second"],
        memory=values["memory"],
    )


def _has_epoch_record(run: TrainingRun, step: int) -> bool:
    """Return whether the log has the record of the epoch that ended before `step`."""
    records = run_records.read_records(run.options.folder)
    return any("epoch_end" in record and record.get("step") == step - 1 for record in records)


def _validate(run: TrainingRun, progress: Progress, epoch: int) -> tuple[ValidationResult, Progress]:
    previews = run.plan.settings.validation.previews
    result = validate.validate(run.state, run.validation_batches(), run.accelerator, run.metrics, previews)
    preview = run.options.folder / run_dir.PREVIEWS / f"epoch-{epoch:03d}.png"
    if collectives.is_main_process():
        metric_log.write_preview(preview, result.previews)
        if result.previews:
            run.console.show_picture(preview)
    chosen = run.plan.settings.validation.choose_by
    if chosen in result.failures:
        line = (
            f"metrics.{chosen}, which chooses the best weights, failed, so the run stops. {result.failures[chosen]} "
            f"Nothing is lost: correct it, then {_how_to_resume(run.options.folder)}"
        )
        raise collectives.same_error_on_every_rank(TrainingError(line))
    for label, reason in result.failures.items():
        del run.metrics[label]
        line = f"metrics.{label} is left out from here on; a resumed run tries it again. {reason}"
        run.log_warning(WarningRecord(step=progress.step - 1, epoch=epoch - 1, cause=f"metrics.{label}", line=line))
    undefined = [f"metrics.{label}" for label, value in result.metrics.items() if value is None and label != chosen]
    if undefined:
        run.console.print_line(f"warning: {', '.join(undefined)}: no value for any photograph of this validation.")
    run.log_validation(
        ValidationRecord(
            step=progress.step - 1,
            epoch=epoch - 1,
            loss=result.loss,
            scores={} if result.score == NO_SCORE else asdict(result.score),
            metrics=dict(result.metrics),
            preview=preview if result.previews else None,
        )
    )
    figure = ranking_figure(run.plan, result)
    if not math.isfinite(result.loss):
        titles = [f"losses.{loss.label}" for loss in run.state.losses if loss.label in result.not_finite]
        source = f" ({', '.join(titles)})" if titles else ""
        run.console.print_line(f"warning: the loss of this validation is not finite{source}, which ranks last.")
    elif figure == LOWEST_RANK:
        run.console.print_line(
            f"warning: '{chosen}' chooses the best weights and is not defined in this validation, which ranks last."
        )
    progress = replace(progress, stale=progress.stale + 1, validated=progress.step)
    if progress.best is None or figure > progress.best:
        progress = replace(progress, best=figure, best_step=progress.step, stale=0)
        _save_best(run, progress, result, figure)
    return result, progress


def ranking_figure(plan: Plan, result: ValidationResult) -> float:
    """Return the number by which weights are ranked; higher is better.

    By default it is the score; without a score, the negative loss. See `validation.choose_by`. What is not defined or
    not finite ranks last, and so does a validation whose loss is not finite: its pictures are not either.
    """
    figure = _ranked_figure(plan, result)
    is_defined = figure is not None and math.isfinite(figure) and math.isfinite(result.loss)
    return figure if figure is not None and is_defined else LOWEST_RANK


def _ranked_figure(plan: Plan, result: ValidationResult) -> float | None:
    choose_by = plan.settings.validation.choose_by
    if choose_by == "loss" or (choose_by == "score" and result.score.score is None):
        return -result.loss
    if choose_by == "score":
        assert result.score.score is not None
        return result.score.score
    value = result.metrics.get(choose_by)  # a metric that failed is left out
    if value is None:
        return None
    metric = next((bound for bound in plan.metrics if bound.label == choose_by), None)
    if metric is None:  # a figure of the training step
        return value
    return value if cast(MetricSpec, metric.spec).better == "higher" else -value


def _save_best(run: TrainingRun, progress: Progress, validation: ValidationResult, figure: float) -> None:
    """Write the best weights and record them in the summary, unless the file has better ones of this run.

    It has better ones if the run was resumed from a checkpoint older than they are.
    """
    folder = run.options.folder
    if collectives.on_main_process(lambda: best_weights.has_better(folder, run.plan, progress, figure)):
        return
    write_best(run, progress.step, validation, figure)


def write_best(run: TrainingRun, step: int, validation: ValidationResult, figure: float) -> None:
    """Write the evaluated generator as the best weights, of this step and figure, and record them in the summary."""
    folder = run.options.folder
    # Nobody who uses the weights needs the observers. The training step is needed only for a network that restores no
    # pictures: it says so.
    omitted = {"observer": (), "step": ()} if run.state.restores else {"observer": ()}
    plan = replace(run.plan, components={**run.plan.components, **omitted})
    header = WeightsHeader(
        recipe=recipe.dump(plan.tree()),
        recipe_name=run.plan.name,
        step=step,
        score=asdict(validation.score),
        loss=validation.loss,
        kinds=run.plan.kinds if run.plan.step.uses_labels else (),
        ranking=None if run.plan.settings.validation.choose_by == "score" else figure,
    )
    checkpoint.save_network(folder / BEST, run.state.eval_generator, header)
    summary = run_records.read_summary(folder) if collectives.is_main_process() else None
    if summary is not None:
        figures = {} if run.state.restores else validation.metrics
        best = BestWeights(step=step, score=validation.score, figures=figures, loss=validation.loss)
        run_records.write_summary(folder, replace(summary, best=best))
