"""The whole run, told from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from accelerate import Accelerator

from toolbox import checkpoint, data, engine, metrics, parts, recipe, report, restore, runfolder, validation
from toolbox import training as loop
from toolbox.checkpoint import Progress
from toolbox.contracts import Degradation
from toolbox.data import Batch, Stream
from toolbox.plan import Plan
from toolbox.sources import Source
from toolbox.specs import DegradationSpec
from toolbox.split import Sides
from toolbox.submission import submit


class Screen(Protocol):
    """Where a run speaks: lines that stay, and a bar that moves."""

    def say(self, line: str) -> None:
        """Show a line."""

    def bar(self, title: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[], None]]:
        """Show a bar of `total` steps; the function that it gives moves it by one."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run needs besides the plan.

    Attributes:
        source: the photographs.
        sides: which of them train and which validate.
        folder: the run folder, begun by `toolbox.runfolder.begin`.
        device: see `toolbox.engine.make`.
        stop: asked after every step; True ends the run with a checkpoint.
    """

    source: Source
    sides: Sides
    folder: Path
    device: str | None = None
    stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended.

    Attributes:
        finished: False if it was stopped before its end; it can be resumed.
        scores: S, M, C and the score by row: doing nothing, OpenCV's inpainting, this run at its best.
        pixel_loss: mean squared error on a fixed validation batch before the first step and of the best
            weights, None until the run has finished.
        steps: the steps taken in all.
        submission: the zip, if there were test photographs and the run finished.
    """

    finished: bool
    scores: dict[str, metrics.Score]
    pixel_loss: tuple[float, float | None]
    steps: int
    submission: Path | None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Everything of a run that does not change while it goes on."""

    plan: Plan
    options: Options
    screen: Screen
    engine: Accelerator
    parts: parts.Parts
    how: data.Recipe
    training: data.Samples
    held_out: data.Samples
    measures: dict[str, Any]
    began: float

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and losses."""
        return engine.dtype(self.plan.settings.training.precision)

    def validation(self) -> Iterator[Batch]:
        """Return the validation photographs in order."""
        keys = data.in_order(len(self.held_out.items), self.plan.settings.training.batch)
        workers = self.plan.settings.data.workers
        return data.batches(self.held_out, keys, workers, self.engine.device, self.dtype)

    def order(self, epoch: int) -> list[list[tuple[int, int]]]:
        """Return an epoch's batches as keys."""
        settings = self.plan.settings
        count, repeat = len(self.training.items), settings.data.repeat
        return data.order(count, repeat, settings.training.batch, settings.seed, epoch)

    def steps(self) -> int:
        """Return the steps of the whole run, if no clock ends it."""
        limits = self.plan.settings.training
        full = limits.epochs * len(self.order(0))
        return min(full, limits.steps or full)

    def seconds(self) -> float:
        """Return the time spent so far, over all sessions."""
        return time.monotonic() - self.began

    def time_up(self) -> bool:
        """Return whether the recipe's minutes are over."""
        minutes = self.plan.settings.training.minutes
        return minutes is not None and self.seconds() >= 60 * minutes


def run(plan: Plan, options: Options, screen: Screen) -> Result:
    """Train what `plan` describes, or continue it, and leave everything in the run folder.

    Raises:
        ToolboxError: with one message for the user; what was written before stays whole.
    """
    # 1. Build everything, from the seed.
    bench = _set_up(plan, options, screen)

    # 2. Continue where the run stood, or measure what there is to beat.
    progress = _resume(bench)
    bench = replace(bench, began=bench.began - progress.seconds)
    _measure_before(bench)

    # 3. Train; after every epoch step the schedules, validate, keep the best; save.
    total = bench.steps()
    with screen.bar("training", total, progress.step) as advance:
        while progress.step < total and not bench.time_up():
            progress = _train(bench, progress, total, advance)
            if not options.stop() and (progress.batch == 0 or progress.step >= total or bench.time_up()):
                progress = _close_epoch(bench, progress)
            checkpoint.save_state(options.folder / runfolder.CHECKPOINTS, bench.parts, progress)
            if options.stop():
                break

    # 4. Restore the test photographs from the best weights, and say what came of it all.
    if options.stop():
        return _result(bench, progress, None)
    checkpoint.load_weights(options.folder / runfolder.BEST, bench.parts.generator.network)
    archive = _submit(bench, options.folder / runfolder.SUBMISSION, options.folder / runfolder.TEST)
    figures = runfolder.summary(options.folder)
    figures["pixel_loss"]["after"] = validation.pixel_loss(bench.parts, next(bench.validation()))
    runfolder.write_summary(options.folder, figures)
    return _result(bench, progress, archive)


def degradations(plan: Plan, role: str) -> tuple[Degradation, ...]:
    """Return the plan's degradations of a role, built, in the order in which they are applied."""
    chosen = [bound for bound in plan.degradations if cast(DegradationSpec, bound.spec).role == role]
    return tuple(parts.component(bound) for bound in chosen)


def recipe_for_data(plan: Plan) -> data.Recipe:
    """Return how the plan makes samples of photographs."""
    return data.Recipe(
        size=plan.settings.data.size,
        seed=plan.settings.seed,
        damage=degradations(plan, "damage"),
        augment=degradations(plan, "augment"),
    )


def _set_up(plan: Plan, options: Options, screen: Screen) -> Bench:
    precision = plan.settings.training.precision
    power = engine.make(options.device, precision)
    how = recipe_for_data(plan)
    saved = options.folder / runfolder.CHECKPOINTS
    return Bench(
        plan=plan,
        options=options,
        screen=screen,
        engine=power,
        parts=parts.build(plan, power, engine.dtype(precision), fresh=not checkpoint.exists(saved)),
        how=how,
        training=data.Samples(items=options.sides.train, recipe=how, stream=Stream.TRAIN),
        held_out=data.Samples(items=options.sides.validation, recipe=how, stream=Stream.VALIDATION),
        measures={bound.label: parts.component(bound) for bound in plan.metrics},
        began=time.monotonic(),
    )


def _resume(bench: Bench) -> Progress:
    folder = bench.options.folder
    runfolder.prepare(folder)
    found = checkpoint.load_state(folder / runfolder.CHECKPOINTS, bench.parts)
    progress, passed = found if found is not None else (Progress(), ())
    for line in passed:
        bench.screen.say(line)
    if found is not None:
        bench.screen.say(f"Continuing after step {progress.step} of {bench.steps()}.")
    report.rewind(folder, progress.step)
    return progress


def _measure_before(bench: Bench) -> None:
    folder = bench.options.folder
    if runfolder.summary(folder):
        return
    before = validation.pixel_loss(bench.parts, next(bench.validation()))
    rows = validation.baselines(bench.validation())
    figures = {name: asdict(score) for name, score in rows.items()}
    runfolder.write_summary(folder, {"pixel_loss": {"before": before}, "baselines": figures})


def _train(bench: Bench, progress: Progress, total: int, advance: Callable[[], None]) -> Progress:
    """Train to the end of the epoch, of the run or of the time, or until a checkpoint or a stop is due."""
    settings = bench.plan.settings
    keys = bench.order(progress.epoch)
    left = keys[progress.batch : progress.batch + total - progress.step]
    batches = data.batches(bench.training, left, settings.data.workers, bench.engine.device, bench.dtype)
    save_at = time.monotonic() + 60 * settings.training.checkpoint_minutes

    def pause() -> bool:
        return bench.options.stop() or bench.time_up() or time.monotonic() > save_at

    for record in loop.train(bench.parts, batches, bench.engine, seed=settings.seed, first=progress.step, pause=pause):
        report.append(bench.options.folder, {"step": record.step, "epoch": progress.epoch, **record.terms})
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


def _close_epoch(bench: Bench, progress: Progress) -> Progress:
    plan, folder = bench.plan, bench.options.folder
    limits, shown = plan.settings.training, plan.settings.validation
    whole = progress.batch == 0
    number = progress.epoch if whole else progress.epoch + 1
    last = progress.step >= bench.steps() or bench.time_up()
    if whole:
        for side in bench.parts.sides().values():
            if side.optimizer.state:
                side.schedule.step()
    outcome = None
    if last or number % shown.every == 0:
        outcome = validation.validate(bench.parts, bench.validation(), bench.engine, bench.measures, shown.previews)
        report.preview(folder / runfolder.PREVIEWS / f"epoch-{number:03d}.png", outcome.previews)
        report.append(folder, report.validation_record(progress.step, number, outcome))
        figure = -outcome.loss if outcome.score.score is None else outcome.score.score
        if progress.best is None or figure > progress.best:
            progress = replace(progress, best=figure, best_step=progress.step)
            _keep_best(bench, progress, outcome)
    bench.screen.say(report.epoch_line(number, limits.epochs, progress.step, progress.sums, outcome))
    if shown.submit_every and number % shown.submit_every == 0 and not last:
        name = f"epoch-{number:03d}"
        _submit(bench, folder / "submissions" / f"{name}.zip", folder / "submissions" / name)
    return replace(progress, sums={}) if whole else progress


def _keep_best(bench: Bench, progress: Progress, outcome: validation.Outcome) -> None:
    folder = bench.options.folder
    facts = {
        "recipe": recipe.dump(bench.plan.tree()),
        "recipe_name": bench.plan.name,
        "step": progress.step,
        "score": asdict(outcome.score),
    }
    checkpoint.save_weights(folder / runfolder.BEST, bench.parts.generator.network, facts)
    figures = runfolder.summary(folder) | {"best": {"step": progress.step, **asdict(outcome.score)}}
    runfolder.write_summary(folder, figures)


def _submit(bench: Bench, archive: Path, folder: Path) -> Path | None:
    tests = bench.options.source.tests
    if not tests:
        return None
    restorer = restore.restorer(bench.parts.generator.network, bench.parts.keep, bench.engine.device)
    with bench.screen.bar("restoring the test photos", len(tests)) as advance:
        return submit(restorer, tests, bench.how, folder, archive, advance)


def _result(bench: Bench, progress: Progress, archive: Path | None) -> Result:
    figures = runfolder.summary(bench.options.folder)
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
