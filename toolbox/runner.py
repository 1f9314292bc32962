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

from toolbox import checkpoint, data, engine, metrics, parts, processes, report, runfolder, validation
from toolbox import training as loop
from toolbox.balance import watch
from toolbox.cache import open_cache
from toolbox.checkpoint import Progress
from toolbox.closing import close, submission
from toolbox.conditions import unlike
from toolbox.contracts import Degradation
from toolbox.data import Batch, Stream
from toolbox.errors import TrainingError, UsageError
from toolbox.misstep import kept
from toolbox.plan import Plan
from toolbox.session import Bench, Options, Result, Screen
from toolbox.settings import Generator
from toolbox.specs import DegradationSpec
from toolbox.tiles import out_of_memory


def run(plan: Plan, options: Options, screen: Screen) -> Result:
    """Train what `plan` describes, or continue it, and leave everything in the run folder.

    Raises:
        ToolboxError: with one message for the user; what was written before stays whole.
    """
    try:
        return _run(plan, options, screen)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        size, batch = plan.settings.data.size, plan.settings.training.batch
        raise TrainingError(
            f"Memory ran out at {size} pixels and batch {batch}. What helps: --batch {max(1, batch // 2)}, "
            f"--size {max(16, size // 2)}, --precision bf16; then --resume {options.folder} or a new run."
        ) from error


def _run(plan: Plan, options: Options, screen: Screen) -> Result:
    # 1. Build everything, from the seed; what a checkpoint brings is not fetched first.
    power = engine.make(options.device, plan.settings.training.precision, several=True)
    saved = processes.from_first(lambda: _newest(options.folder, screen))
    # What is fetched or decoded is there for a machine's other processes once its first has it.
    with power.local_main_process_first():
        bench = _set_up(plan, options, screen, power, fresh=saved is None)
        bench.keep_decoded()

    # 2. Continue where the run stood, or measure what there is to beat.
    progress = _resume(bench, None if saved is None else Path(saved))
    processes.demand_equal(bench.parts.state())
    bench = replace(bench, began=bench.began - progress.seconds)
    _measure_before(bench)

    # 3. Train; after every epoch step the schedules, validate, keep the best; save.
    total = bench.steps()
    with screen.bar("training", total, progress.step) as advance:
        # However few the minutes, they are enough for a step.
        while progress.step < total and not (progress.step and bench.time_up()) and not bench.gave_up(progress.stale):
            progress = _train(bench, progress, total, advance)
            # An epoch that is whole is closed even then: what continues must find its schedules stepped.
            if progress.batch == 0 or (not bench.stopped() and (progress.step >= total or bench.time_up())):
                progress = close(bench, progress)
            _save(bench, progress)
            if bench.stopped():
                break
    # Stopped in its last step, or out of time while it was saved: what ends here has not been validated.
    if not bench.stopped() and progress.validated != progress.step:
        progress = close(bench, progress, late=True)
        _save(bench, progress)

    # 4. Restore the test photographs from the best weights, and say what came of it all.
    if bench.stopped():
        return _result(bench, progress, None)
    checkpoint.load_weights(options.folder / runfolder.BEST, bench.parts.restorer)
    archive = submission(bench, options.folder / runfolder.SUBMISSION, options.folder / runfolder.TEST, options.stop)
    if bench.stopped():
        return _result(bench, progress, None)
    after = validation.pixel_loss(bench.parts, next(bench.validation()))
    if processes.first():
        figures = runfolder.summary(options.folder)
        figures["pixel_loss"]["after"] = after
        runfolder.write_summary(options.folder, figures)
    return _result(bench, progress, archive)


def degradations(plan: Plan, role: str) -> tuple[Degradation, ...]:
    """Return the plan's degradations of a role, built, in the order in which they are applied."""
    chosen = [bound for bound in plan.degradations if cast(DegradationSpec, bound.spec).role == role]
    return tuple(parts.component(bound) for bound in chosen)


def recipe_for_data(plan: Plan) -> data.Recipe:
    """Return how the plan makes samples of photographs, with the cache if the plan wants it."""
    return data.Recipe(
        size=plan.settings.data.size,
        seed=plan.settings.seed,
        zoom=plan.settings.data.zoom,
        cache=open_cache() if plan.settings.data.cache else None,
        damage=degradations(plan, "damage"),
        augment=degradations(plan, "augment"),
    )


def _newest(folder: Path, screen: Screen) -> str | None:
    saved, passed = checkpoint.newest(folder / runfolder.CHECKPOINTS)
    for line in passed:
        screen.say(line)
    checkpoint.set_aside(folder / runfolder.CHECKPOINTS)
    return None if saved is None else str(saved)


def _set_up(plan: Plan, options: Options, screen: Screen, power: Accelerator, *, fresh: bool) -> Bench:
    precision = plan.settings.training.precision
    how = recipe_for_data(plan)
    built = parts.build(plan, power, engine.dtype(precision), fresh=fresh)
    if fresh and options.initial is not None:
        for network in built.generators():
            checkpoint.load_weights(options.initial, network)
        screen.say(f"The generator starts from {options.initial.name}.")
    return Bench(
        plan=plan,
        options=options,
        screen=screen,
        engine=power,
        parts=built,
        how=how,
        training=data.Samples(items=options.sides.train, recipe=how, stream=Stream.TRAIN),
        held_out=data.Samples(items=options.sides.validation, recipe=how, stream=Stream.VALIDATION),
        measures={bound.label: parts.component(bound) for bound in plan.metrics},
        watch=watch(built.losses, trained=cast(Generator, plan.generator.place).init != ""),
        began=time.monotonic(),
    )


def _resume(bench: Bench, saved: Path | None) -> Progress:
    folder = bench.options.folder
    progress = Progress() if saved is None else checkpoint.load_state(saved, bench.parts)
    engine.set_scale(bench.engine, progress.scale)
    if saved is not None:
        for line in (f"Continuing after step {progress.step} of {bench.steps()}.", *unlike(saved, bench.engine.device)):
            bench.screen.say(line)
    if processes.first():
        runfolder.prepare(folder)
        if bench.options.changed:
            runfolder.write_recipe(folder, bench.plan)
        checkpoint.demand_space(folder / runfolder.CHECKPOINTS, bench.parts)
        report.rewind(folder, progress.step, progress.validated)
        for record in report.records(folder):
            bench.watch.see(record)
    return progress


def _save(bench: Bench, progress: Progress) -> None:
    processes.demand_equal(bench.parts.state())
    target = bench.options.folder / runfolder.CHECKPOINTS
    checkpoint.save_state(target, bench.parts, replace(progress, scale=engine.scale(bench.engine)))


def _measure_before(bench: Bench) -> None:
    folder = bench.options.folder
    if processes.from_first(lambda: bool(runfolder.summary(folder))):
        return
    before = _first_look(bench, next(bench.validation()))
    rows = validation.baselines(bench.validation())
    figures = {name: asdict(score) for name, score in rows.items()}
    if processes.first():
        runfolder.write_summary(folder, {"pixel_loss": {"before": before}, "baselines": figures})


def _first_look(bench: Bench, batch: Batch) -> float:
    """Return the pixel loss before the first step; what can't work at this size ends here, in one line."""
    try:
        before = validation.pixel_loss(bench.parts, batch)
        if bench.parts.discriminator is not None:
            network = bench.parts.discriminator.network.eval()
            with torch.inference_mode():
                loop.judge(network, batch.truth, batch)
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error) or processes.lost(error):
            raise
        size, text = bench.plan.settings.data.size, " ".join(str(error).split())
        fault = f"don't work at {size} pixels: {text}. Try another --size."
        if "DTensor" in text:
            fault = f"read a block's weights outside of its call: {text} Set training.shard=false."
        raise processes.everywhere(UsageError(f"The networks of recipe '{bench.plan.name}' {fault}")) from error
    return before


def _train(bench: Bench, progress: Progress, total: int, advance: Callable[[], None]) -> Progress:
    """Train to the end of the epoch, of the run or of the time, or until a checkpoint or a stop is due."""
    settings = bench.plan.settings
    keys = bench.order(progress.epoch)
    left = keys[progress.batch : progress.batch + total - progress.step]
    batches = bench.batches(bench.training, left)
    save_at = time.monotonic() + 60 * settings.training.checkpoint_minutes

    def pause() -> bool:
        # Anyone may be told to stop; of the clocks the first process's counts.
        return bench.options.stop() or (processes.first() and (bench.late() or time.monotonic() > save_at))

    taken = loop.train(bench.parts, batches, bench.engine, seed=settings.seed, first=progress.step, pause=pause)
    for record in kept(taken, bench, progress):
        bench.log({"step": record.step, "epoch": progress.epoch, **record.terms})
        progress = replace(
            progress,
            step=record.step + 1,
            batch=progress.batch + 1,
            sums=report.add(progress.sums, record.terms),
        )
        advance()
    progress = replace(progress, seconds=bench.seconds())
    if progress.batch == len(keys):
        progress = replace(progress, epoch=progress.epoch + 1, batch=0)
    return progress


def _result(bench: Bench, progress: Progress, archive: Path | None) -> Result:
    figures = processes.from_first(lambda: runfolder.summary(bench.options.folder))
    rows = {name: metrics.Score(**values) for name, values in figures["baselines"].items()}
    if "best" in figures:
        best = dict(figures["best"])
        step = best.pop("step")
        rows[f"this run, after step {step}"] = metrics.Score(**best)
    loss = figures["pixel_loss"]
    return Result(
        finished="after" in loss,
        scores=rows,
        pixel_loss=(loss["before"], loss.get("after")),
        steps=progress.step,
        submission=archive,
    )
