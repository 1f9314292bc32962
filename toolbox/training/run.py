"""A training run from its start to its submission.

Several processes run the same code, each with its rows of every batch; the main process writes all files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from toolbox.config.plan import Plan
from toolbox.data import loader
from toolbox.data.loader import Stream
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import Accelerator, make_accelerator
from toolbox.errors import TrainingError, WeightsError
from toolbox.hooks import blame
from toolbox.hooks.observing import RunEnded, StepRecord
from toolbox.models.samples import build_metrics, sample_recipe
from toolbox.reports import run_records
from toolbox.reports.run_records import RunSummary
from toolbox.training import checkpoint, metric_log, resume, run_dir, state, validate
from toolbox.training import step as training_loop
from toolbox.training.baselines import score_baselines
from toolbox.training.checkpoint import Progress
from toolbox.training.context import TrainingRun, run_horizon
from toolbox.training.epoch_end import end_epoch, save_progress
from toolbox.training.fingerprint import OLD_MEMORY_FORMAT, read_fingerprint
from toolbox.training.gan_monitor import make_monitor
from toolbox.training.lost_files import restore_lost_at_end, restore_lost_files
from toolbox.training.memory_format import choose_memory_format, set_memory_format
from toolbox.training.nonfinite import save_nonfinite_steps
from toolbox.training.observers import failed, make_observers, started
from toolbox.training.options import Console, RunOptions, RunResult
from toolbox.training.submit import check_restoring, submit_best
from toolbox.utils import devices, surface
from toolbox.utils.memory import is_out_of_memory
from toolbox.utils.run_names import BEST
from toolbox.utils.shell import shell_word


def train(plan: Plan, options: RunOptions, console: Console) -> RunResult:
    """Train what `plan` describes, or resume it, and leave everything in the run folder.

    Raises:
        ToolboxError: with one message for the user; files written before stay valid.
    """
    try:
        with blame.explained():
            return _train_run(plan, options, console)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(_out_of_memory_line(plan, options, blame.place(error))) from error


def _out_of_memory_line(plan: Plan, options: RunOptions, place: str) -> str:
    """Return that memory ran out in a run, where (a component of a plugin, or empty), and what to do."""
    size, batch = plan.settings.data.size, plan.settings.training.batch
    changes = [surface.words(command=f"--batch {batch // 2}", python=f"training.batch {batch // 2}")] * (batch > 1)
    side = max(16, size // 2)
    changes += [surface.words(command=f"--size {side}", python=f"data.size {side}")] * (side < size)
    precision = surface.words(command=" or --precision bf16", python=" or training.precision bf16")
    remedy = f"{', '.join(changes)}{precision}".removeprefix(" or ")
    resume = surface.words(command=f"--resume {shell_word(options.folder)}", python=f"resume={str(options.folder)!r}")
    where = f" in {place}" if place else ""
    return f"Memory ran out at {size} pixels and batch {batch}{where}. Try {remedy}, with {resume} or in a new run."


def _train_run(plan: Plan, options: RunOptions, console: Console) -> RunResult:
    # 1. Build everything, or load the newest checkpoint; fill the cache of decoded photographs.
    accelerator = make_accelerator(options.device, plan.settings.training.precision, distributed=True)
    newest = collectives.on_main_process(lambda: resume.newest_checkpoint(options.folder, console))
    saved = None if newest is None else Path(newest)
    # The first process of a machine downloads and decodes; the others then read its results from the cache.
    with collectives.local_main_process_first():
        run = _set_up(plan, options, console, accelerator, from_checkpoint=saved is not None)
        run.fill_decoded_cache()
    run = replace(run, state=_choose_memory_format(run, saved))
    progress = resume.load_position(run, saved)
    collectives.require_equal_state(run.state.tensors())
    run = replace(run, started=run.started - progress.seconds)
    run.observers.notify(
        "on_start", started(plan, options, accelerator.device, progress.step, run.total_steps(progress))
    )
    try:
        result = _train_and_submit(run, progress, is_continued=saved is not None)
    except BaseException as error:
        run.observers.notify("on_end", failed(error))
        raise
    run.observers.notify("on_end", RunEnded(status="finished" if result.finished else "stopped", step=result.steps))
    return result


def _train_and_submit(run: TrainingRun, progress: Progress, *, is_continued: bool) -> RunResult:
    options = run.options
    # 2. Before the first step, score the baselines, and check that the generator can restore photographs. Changed
    # settings are recorded now that the networks work with them.
    progress = score_baselines(run, progress)
    if is_continued:  # now, because lost best weights, or others to compare with, may let the run go on
        resume.report_position(run, progress)
    check_restoring(run)
    if options.plan_changed and collectives.is_main_process():
        run_dir.record_changes(options.folder, run.plan, options.changes)

    # 3. Train; at the end of each epoch validate and keep the best weights; save a checkpoint.
    first = progress.step
    progress = _train_epochs(run, progress)
    while not run.is_stopped() and not _load_best(run):  # it was deleted just now: it is validated and written again
        progress = _train_epochs(run, progress)
    if run.is_stopped():
        return _result(run, progress)

    # 4. Restore the test photographs with the best weights.
    archive = submit_best(run, has_trained=progress.step > first)
    if run.is_stopped():
        return _result(run, progress)
    loss_after = validate.pixel_loss(run.state, next(run.validation_batches()))
    if not math.isfinite(loss_after):
        option = surface.words(command="--set generator.optimizer.lr=...", python="generator.optimizer.lr")
        error = TrainingError(
            "The best weights give pictures that are not finite. Start a new run with a smaller learning rate: "
            f"{option}"
        )
        raise collectives.same_error_on_every_rank(error)
    restore_lost_at_end(run, progress)
    if collectives.is_main_process():
        run_records.write_summary(options.folder, replace(_summary(options.folder), loss_after=loss_after))
    return replace(_result(run, progress), finished=True, submission=archive)


def _set_up(
    plan: Plan, options: RunOptions, console: Console, accelerator: Accelerator, *, from_checkpoint: bool
) -> TrainingRun:
    dtype = devices.weight_dtype(plan.settings.training.precision)
    recipe = sample_recipe(plan)
    horizon = run_horizon(plan.settings, len(options.split.train))
    built = state.build_state(plan, accelerator, dtype, from_checkpoint=from_checkpoint, horizon=horizon)
    if not from_checkpoint:
        for line in checkpoint.load_initial(plan, options.initial, built):
            console.print_line(line)
    return TrainingRun(
        plan=plan,
        options=options,
        console=console,
        accelerator=accelerator,
        state=built,
        sample_recipe=recipe,
        train_samples=loader.Samples(items=options.split.train, recipe=recipe, stream=Stream.TRAIN),
        validation_samples=loader.Samples(items=options.split.validation, recipe=recipe, stream=Stream.VALIDATION),
        metrics=build_metrics(plan.metrics),
        monitor=make_monitor(
            built.losses, pretrained="generator" in plan.initial, is_scaled=accelerator.scaler is not None
        ),
        observers=make_observers(plan, options, console.print_line),
        started=time.monotonic(),
    )


def _choose_memory_format(run: TrainingRun, saved: Path | None) -> state.TrainState:
    """Return the run's state in the memory layout of its checkpoint, its recipe, or a measurement."""
    recorded = None if saved is None else str(read_fingerprint(saved).get("memory_format", OLD_MEMORY_FORMAT))

    def choose() -> str:
        choice = choose_memory_format(run.plan.settings, run.state, run.accelerator, recorded)
        if choice.is_new:
            run.console.print_line(f"Memory layout, measured once for this network and device: {choice}.")
        return choice.name

    return set_memory_format(run.state, collectives.on_main_process(choose))


def _train_epochs(run: TrainingRun, progress: Progress) -> Progress:
    """Train to the end of the run, or until it is stopped; return its position, saved as a checkpoint."""
    total = run.total_steps(progress)
    if not _is_over(run, progress, total) and collectives.is_main_process():
        _mark_unfinished(run.options.folder)
    with run.console.progress_bar("training", total, progress.step) as advance:
        if progress.pending:
            progress = end_epoch(run, progress)
            save_progress(run, progress)
        while not _is_over(run, progress, total):
            progress = restore_lost_files(run, _train_epoch(run, progress, total, advance))
            # A complete epoch is ended even if the run is stopped: after a resume its schedules must be stepped.
            if progress.batch == 0 or (not run.is_stopped() and (progress.step >= total or run.is_time_up())):
                progress = end_epoch(run, progress)
            save_progress(run, progress)
            if run.is_stopped():
                return restore_lost_files(run, progress)
    progress = restore_lost_files(run, progress)
    # The time limit may end the run while a checkpoint is saved, or the best weights may be lost; then its end has not
    # been validated.
    if not run.is_stopped() and progress.validated != progress.step:
        if collectives.is_main_process():
            metric_log.drop_records_after(run.options.folder, progress.step, progress.validated)
        progress = end_epoch(run, progress, run_has_ended=True)
        save_progress(run, progress)
    return progress


def _is_over(run: TrainingRun, progress: Progress, total: int) -> bool:
    """Return whether no step is left.

    At least one step is taken, even if the time limit is shorter. All processes call it.
    """
    is_time_up = progress.step > 0 and run.is_time_up()
    return progress.step >= total or is_time_up or run.is_out_of_patience(progress.stale)


def _train_epoch(run: TrainingRun, progress: Progress, total: int, advance: Callable[[], None]) -> Progress:
    """Train to the end of the epoch, of the run or of the time limit, or until a checkpoint or a stop is due."""
    settings = run.plan.settings
    keys = run.epoch_batches(progress.epoch)
    remaining = keys[progress.batch : progress.batch + total - progress.step]
    batches = run.load_batches(run.train_samples, remaining)
    begun, first = time.monotonic(), progress.batch
    save_time = begun + 60 * settings.training.checkpoint_minutes

    def should_stop() -> bool:
        # Any process may be asked to stop; time is measured by the main process only.
        is_due = collectives.is_main_process() and (run.is_past_time_limit() or time.monotonic() > save_time)
        return run.options.should_stop() or is_due

    records = training_loop.take_steps(
        run.state, batches, run.accelerator, seed=settings.seed, first=progress.step, should_stop=should_stop
    )
    for record in save_nonfinite_steps(records, run, progress):
        run.log_step(StepRecord(step=record.step, epoch=progress.epoch, terms=record.terms, names=record.names))
        progress = replace(
            progress,
            step=record.step + 1,
            batch=progress.batch + 1,
            sums=metric_log.add_to_sums(progress.sums, record.terms),
        )
        advance()
    progress = replace(progress, seconds=run.elapsed_seconds())
    run.table.add(sum(map(len, keys[first : progress.batch])), time.monotonic() - begun)
    if progress.batch == len(keys):
        progress = replace(progress, epoch=progress.epoch + 1, batch=0)
    return progress


def _load_best(run: TrainingRun) -> bool:
    """Load the best weights; return False if their file is missing. All processes call it."""
    path, is_missing = run.options.folder / BEST, False
    try:
        checkpoint.load_network(path, run.state.eval_generator)
    except WeightsError:
        is_missing = not path.exists()
        if not is_missing:
            raise
    return not collectives.any_rank(is_missing)


def _mark_unfinished(folder: Path) -> None:
    """Record that a finished run is continued, before its first step: this process may be killed."""
    summary = run_records.read_summary(folder)
    if summary is not None and summary.is_finished:
        run_records.write_summary(folder, replace(summary, loss_after=None))


def _summary(folder: Path) -> RunSummary:
    summary = run_records.read_summary(folder)
    if summary is None:
        raise TrainingError(f"{folder / run_records.SUMMARY} was deleted or damaged during the run.")
    return summary


def _result(run: TrainingRun, progress: Progress) -> RunResult:
    """Return the result of a run that was stopped, the same in all processes."""
    folder = run.options.folder
    stored = collectives.on_main_process(lambda: run_records.summary_to_json(_summary(folder)))
    summary = run_records.summary_from_json(stored)
    rows = dict(summary.baselines)
    if summary.best is not None:
        rows[f"this run, after step {summary.best.step}"] = summary.best.score
    return RunResult(
        finished=False,
        scores=rows,
        best=summary.best,
        pixel_loss=(summary.loss_before, summary.loss_after),
        steps=progress.step,
        submission=None,
        pixel_loss_step=summary.loss_before_step,
    )
