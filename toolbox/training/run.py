"""The whole run, told from top to bottom.

Several processes go through it together, each with its rows of every batch; the first alone writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator

from toolbox.config.plan import Plan
from toolbox.data import loader
from toolbox.data.batch import Batch
from toolbox.data.decoded_cache import open_cache
from toolbox.data.loader import Stream
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import grad_scaler_state, load_grad_scaler_state, make_accelerator
from toolbox.errors import TrainingError, UsageError
from toolbox.evaluation import metrics
from toolbox.hooks.protocols import Degradation
from toolbox.hooks.specs import DegradationSpec
from toolbox.models import build, weight_file
from toolbox.training import checkpoint, metric_log, run_dir, state, validate
from toolbox.training import step as loop
from toolbox.training.checkpoint import Progress
from toolbox.training.context import TrainingRun
from toolbox.training.epoch_end import end_epoch, restore_test_photos
from toolbox.training.fingerprint import environment_differences
from toolbox.training.gan_monitor import make_monitor
from toolbox.training.nonfinite import save_nonfinite_steps
from toolbox.training.options import Console, RunOptions, RunResult
from toolbox.utils import devices
from toolbox.utils.memory import is_out_of_memory


def train(plan: Plan, options: RunOptions, screen: Console) -> RunResult:
    """Train what `plan` describes, or continue it, and leave everything in the run folder.

    Raises:
        ToolboxError: with one message for the user; what was written before stays whole.
    """
    try:
        return _train_run(plan, options, screen)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        size, batch = plan.settings.data.size, plan.settings.training.batch
        raise TrainingError(
            f"Memory ran out at {size} pixels and batch {batch}. What helps: --batch {max(1, batch // 2)}, "
            f"--size {max(16, size // 2)}, --precision bf16; then --resume {options.folder} or a new run."
        ) from error


def _train_run(plan: Plan, options: RunOptions, screen: Console) -> RunResult:
    # 1. Build everything, from the seed; what a checkpoint brings is not fetched first.
    accelerator = make_accelerator(options.device, plan.settings.training.precision, several=True)
    saved = collectives.on_main_process(lambda: _newest_checkpoint(options.folder, screen))
    # What is fetched or decoded is there for a machine's other processes once its first has it.
    with accelerator.local_main_process_first():
        run = _set_up(plan, options, screen, accelerator, fresh=saved is None)
        run.keep_decoded()

    # 2. Continue where the run stood, or measure what there is to beat.
    progress = _resume(run, None if saved is None else Path(saved))
    collectives.require_equal_state(run.state.state())
    run = replace(run, started=run.started - progress.seconds)
    _measure_before(run)

    # 3. Train; after every epoch step the schedules, validate, keep the best; save.
    total = run.steps()
    with screen.progress_bar("training", total, progress.step) as advance:
        # However few the minutes, they are enough for a step.
        while progress.step < total and not (progress.step and run.time_up()) and not run.gave_up(progress.stale):
            progress = _train_epoch(run, progress, total, advance)
            # An epoch that is whole is closed even then: what continues must find its schedules stepped.
            if progress.batch == 0 or (not run.stopped() and (progress.step >= total or run.time_up())):
                progress = end_epoch(run, progress)
            _save(run, progress)
            if run.stopped():
                break
    # Stopped in its last step, or out of time while it was saved: what ends here has not been validated.
    if not run.stopped() and progress.validated != progress.step:
        progress = end_epoch(run, progress, late=True)
        _save(run, progress)

    # 4. Restore the test photographs from the best weights, and say what came of it all.
    if run.stopped():
        return _result(run, progress, None)
    checkpoint.load_network(options.folder / weight_file.BEST, run.state.restorer)
    archive = restore_test_photos(run, options.folder / run_dir.SUBMISSION, options.folder / run_dir.TEST, options.stop)
    if run.stopped():
        return _result(run, progress, None)
    after = validate.pixel_loss(run.state, next(run.validation()))
    if collectives.is_main_process():
        figures = run_dir.read_summary(options.folder)
        figures["pixel_loss"]["after"] = after
        run_dir.write_summary(options.folder, figures)
    return _result(run, progress, archive)


def build_degradations(plan: Plan, role: str) -> tuple[Degradation, ...]:
    """Return the plan's degradations of a role, built, in the order in which they are applied."""
    chosen = [bound for bound in plan.degradations if cast(DegradationSpec, bound.spec).role == role]
    return tuple(build.build_component(bound) for bound in chosen)


def sample_recipe(plan: Plan) -> loader.SampleRecipe:
    """Return how the plan makes samples of photographs, with the cache if the plan wants it."""
    return loader.SampleRecipe(
        size=plan.settings.data.size,
        seed=plan.settings.seed,
        zoom=plan.settings.data.zoom,
        cache=open_cache() if plan.settings.data.cache else None,
        damage=build_degradations(plan, "damage"),
        augment=build_degradations(plan, "augment"),
    )


def _newest_checkpoint(folder: Path, screen: Console) -> str | None:
    saved, passed = checkpoint.newest_checkpoint(folder / run_dir.CHECKPOINTS)
    for line in passed:
        screen.print_line(line)
    checkpoint.rename_damaged(folder / run_dir.CHECKPOINTS)
    return None if saved is None else str(saved)


def _set_up(plan: Plan, options: RunOptions, screen: Console, accelerator: Accelerator, *, fresh: bool) -> TrainingRun:
    precision = plan.settings.training.precision
    how = sample_recipe(plan)
    built = state.build_state(plan, accelerator, devices.weight_dtype(precision), fresh=fresh)
    if fresh and options.initial is not None:
        for network in built.generators():
            checkpoint.load_network(options.initial, network)
        screen.print_line(f"The generator starts from {options.initial.name}.")
    return TrainingRun(
        plan=plan,
        options=options,
        console=screen,
        accelerator=accelerator,
        state=built,
        sample_recipe=how,
        train_samples=loader.Samples(items=options.split.train, recipe=how, stream=Stream.TRAIN),
        validation_samples=loader.Samples(items=options.split.validation, recipe=how, stream=Stream.VALIDATION),
        metrics={bound.label: build.build_component(bound) for bound in plan.metrics},
        monitor=make_monitor(built.losses, trained=plan.initial_weights != ""),
        started=time.monotonic(),
    )


def _resume(run: TrainingRun, saved: Path | None) -> Progress:
    folder = run.options.folder
    progress = Progress() if saved is None else checkpoint.load_checkpoint(saved, run.state)
    load_grad_scaler_state(run.accelerator, progress.scale)
    if saved is not None:
        for line in (
            f"Continuing after step {progress.step} of {run.steps()}.",
            *environment_differences(saved, run.accelerator.device),
        ):
            run.console.print_line(line)
    if collectives.is_main_process():
        run_dir.prepare_run_dir(folder)
        if run.options.changed:
            run_dir.write_recipe(folder, run.plan)
        checkpoint.require_disk_space(folder / run_dir.CHECKPOINTS, run.state)
        metric_log.drop_records_after(folder, progress.step, progress.validated)
        for record in metric_log.read_records(folder):
            run.monitor.see(record)
    return progress


def _save(run: TrainingRun, progress: Progress) -> None:
    collectives.require_equal_state(run.state.state())
    target = run.options.folder / run_dir.CHECKPOINTS
    checkpoint.save_checkpoint(target, run.state, replace(progress, scale=grad_scaler_state(run.accelerator)))


def _measure_before(run: TrainingRun) -> None:
    folder = run.options.folder
    if collectives.on_main_process(lambda: bool(run_dir.read_summary(folder))):
        return
    before = _loss_before_training(run, next(run.validation()))
    rows = validate.baseline_scores(run.validation())
    figures = {name: asdict(score) for name, score in rows.items()}
    if collectives.is_main_process():
        run_dir.write_summary(folder, {"pixel_loss": {"before": before}, "baselines": figures})


def _loss_before_training(run: TrainingRun, batch: Batch) -> float:
    """Return the pixel loss before the first step; what can't work at this size ends here, in one line."""
    try:
        before = validate.pixel_loss(run.state, batch)
        if run.state.discriminator is not None:
            network = run.state.discriminator.network.eval()
            with torch.inference_mode():
                loop.discriminate(network, batch.truth, batch)
    except (RuntimeError, ValueError) as error:
        if is_out_of_memory(error) or collectives.is_lost_peer(error):
            raise
        size, text = run.plan.settings.data.size, " ".join(str(error).split())
        fault = f"don't work at {size} pixels: {text}. Try another --size."
        if "DTensor" in text:
            fault = f"read a block's weights outside of its call: {text} Set training.shard=false."
        raise collectives.same_error_on_every_rank(
            UsageError(f"The networks of recipe '{run.plan.name}' {fault}")
        ) from error
    return before


def _train_epoch(run: TrainingRun, progress: Progress, total: int, advance: Callable[[], None]) -> Progress:
    """Train to the end of the epoch, of the run or of the time, or until a checkpoint or a stop is due."""
    settings = run.plan.settings
    keys = run.order(progress.epoch)
    left = keys[progress.batch : progress.batch + total - progress.step]
    batches = run.batches(run.train_samples, left)
    save_at = time.monotonic() + 60 * settings.training.checkpoint_minutes

    def pause() -> bool:
        # Anyone may be told to stop; of the clocks the first process's counts.
        return run.options.stop() or (collectives.is_main_process() and (run.late() or time.monotonic() > save_at))

    taken = loop.take_steps(run.state, batches, run.accelerator, seed=settings.seed, first=progress.step, pause=pause)
    for record in save_nonfinite_steps(taken, run, progress):
        run.log({"step": record.step, "epoch": progress.epoch, **record.terms})
        progress = replace(
            progress,
            step=record.step + 1,
            batch=progress.batch + 1,
            sums=metric_log.add_to_sums(progress.sums, record.terms),
        )
        advance()
    progress = replace(progress, seconds=run.seconds())
    if progress.batch == len(keys):
        progress = replace(progress, epoch=progress.epoch + 1, batch=0)
    return progress


def _result(run: TrainingRun, progress: Progress, archive: Path | None) -> RunResult:
    figures = collectives.on_main_process(lambda: run_dir.read_summary(run.options.folder))
    rows = {name: metrics.Score(**values) for name, values in figures["baselines"].items()}
    if "best" in figures:
        best = dict(figures["best"])
        step = best.pop("step")
        rows[f"this run, after step {step}"] = metrics.Score(**best)
    loss = figures["pixel_loss"]
    return RunResult(
        finished="after" in loss,
        scores=rows,
        pixel_loss=(loss["before"], loss.get("after")),
        steps=progress.step,
        submission=archive,
    )
