"""What a run is made of: what it is given, where it speaks, what does not change while it goes on, how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator

from toolbox import data, engine, metrics, parts, prepared, processes, report, runfolder
from toolbox.balance import Watch
from toolbox.data import Batch
from toolbox.plan import Plan
from toolbox.sources import Source
from toolbox.split import Sides


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
        initial: the weight file that a new run's generator starts from, or None.
        changed: whether the plan is not the recipe in the folder; it is written there once the checkpoint has gone in.
    """

    source: Source
    sides: Sides
    folder: Path
    device: str | None = None
    stop: Callable[[], bool] = lambda: False
    initial: Path | None = None
    changed: bool = False


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
    watch: Watch
    began: float

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and losses."""
        return engine.dtype(self.plan.settings.training.precision)

    def keep_decoded(self) -> None:
        """Put the photographs that the cache has not got into it, with a bar; it may be stopped at any time."""
        cache = self.how.cache
        if cache is None:
            return
        for samples in (self.training, self.held_out):
            form = self.how.form(samples.stream)
            missing = prepared.missing(samples.items, form, cache)
            if not missing:
                continue
            if len(missing) > 1000:
                self.screen.say(f"Decoding {len(missing)} photographs into {cache.folder}; this is done once.")
            with self.screen.bar("decoding", len(missing)) as advance:
                for _ in prepared.keep(missing, form, cache):
                    advance()
                    if self.options.stop():
                        return
        for line in cache.trouble:
            self.screen.say(line)

    def validation(self) -> Iterator[Batch]:
        """Return the validation photographs in order."""
        keys = data.in_order(len(self.held_out.items), self.plan.settings.training.batch)
        return self.batches(self.held_out, keys)

    def batches(self, samples: data.Samples, keys: Sequence[list[tuple[int, int]]]) -> Iterator[Batch]:
        """Return this process's rows of the batches of `keys`."""
        places = [processes.place(len(batch)) for batch in keys]
        own = [batch[rows] for batch, (rows, _) in zip(keys, places, strict=True)]
        loaded = data.batches(samples, own, self.plan.settings.data.workers, self.engine.device, self.dtype)
        for batch, (_, place) in zip(loaded, places, strict=True):
            yield replace(batch, part=place)

    def order(self, epoch: int) -> list[list[tuple[int, int]]]:
        """Return an epoch's batches as keys."""
        settings = self.plan.settings
        count, repeat = len(self.training.items), settings.data.repeat
        return data.order(count, repeat, settings.training.batch, settings.seed, epoch)

    def steps(self) -> int:
        """Return the steps of the whole run, if no clock ends it."""
        limits = self.plan.settings.training
        samples = len(self.training.items) * self.plan.settings.data.repeat
        full = limits.epochs * math.ceil(samples / limits.batch)
        return min(full, limits.steps or full)

    def gave_up(self, stale: int) -> bool:
        """Return whether so many validations without a better figure are as many as the recipe waits for."""
        return 0 < self.plan.settings.validation.patience <= stale

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a record to the log, of several processes by the first, and say what the watch finds in it."""
        if not processes.first():
            return
        folder = self.options.folder
        report.append(folder, record)
        for alarm in self.watch.see(record):
            self.screen.say(f"warning: {alarm.line}")
            report.append(folder, {"step": record["step"], "epoch": record["epoch"], "warning": asdict(alarm)})
            figures = runfolder.summary(folder)
            warned = figures.get("warnings", {}) | {alarm.cause: alarm.line}
            runfolder.write_summary(folder, figures | {"warnings": warned})

    def say_unlike(self) -> None:
        """Say how many pairs, of all processes, are not what competition data are."""
        found = processes.gathered(sorted(self.training.unlike | self.held_out.unlike))
        names = {name for part in found for name in part}
        if names:
            self.screen.say(
                f"{len(names)} pairs are not the luma of their truth outside the lost region (JPEG, another gray "
                "formula): their lost region is found in the input alone."
            )

    def seconds(self) -> float:
        """Return the time spent so far, over all sessions."""
        return time.monotonic() - self.began

    def late(self) -> bool:
        """Return whether the recipe's minutes are over by this process's clock."""
        minutes = self.plan.settings.training.minutes
        return minutes is not None and self.seconds() >= 60 * minutes

    def time_up(self) -> bool:
        """Return whether the recipe's minutes are over by the first process's clock; all of them ask."""
        return processes.agreed(processes.first() and self.late())

    def stopped(self) -> bool:
        """Return whether any process was asked to stop; all of them ask."""
        return processes.agreed(self.options.stop())
