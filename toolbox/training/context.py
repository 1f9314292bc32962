"""What a run is made of: what it is given, where it speaks, what does not change while it goes on, how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator

from toolbox.config.plan import Plan
from toolbox.data import loader, preprocessing
from toolbox.data.batch import Batch
from toolbox.distributed import collectives
from toolbox.training import metric_log, run_dir
from toolbox.training.gan_monitor import GanMonitor
from toolbox.training.options import Console, RunOptions
from toolbox.training.state import TrainState
from toolbox.utils import devices


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Everything of a run that does not change while it goes on."""

    plan: Plan
    options: RunOptions
    console: Console
    accelerator: Accelerator
    state: TrainState
    sample_recipe: loader.SampleRecipe
    train_samples: loader.Samples
    validation_samples: loader.Samples
    metrics: dict[str, Any]
    monitor: GanMonitor
    started: float

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and losses."""
        return devices.weight_dtype(self.plan.settings.training.precision)

    def keep_decoded(self) -> None:
        """Put the photographs that the cache has not got into it, with a bar; it may be stopped at any time."""
        cache = self.sample_recipe.cache
        if cache is None:
            return
        for samples in (self.train_samples, self.validation_samples):
            form = self.sample_recipe.form(samples.stream)
            missing = preprocessing.missing(samples.items, form, cache)
            if not missing:
                continue
            if len(missing) > 1000:
                self.console.print_line(f"Decoding {len(missing)} photographs into {cache.folder}; this is done once.")
            with self.console.progress_bar("decoding", len(missing)) as advance:
                for _ in preprocessing.fill_cache(missing, form, cache):
                    advance()
                    if self.options.stop():
                        return
        for line in cache.trouble:
            self.console.print_line(line)

    def validation(self) -> Iterator[Batch]:
        """Return the validation photographs in order."""
        keys = loader.ordered_batches(len(self.validation_samples.items), self.plan.settings.training.batch)
        return self.batches(self.validation_samples, keys)

    def batches(self, samples: loader.Samples, keys: Sequence[list[tuple[int, int]]]) -> Iterator[Batch]:
        """Return this process's rows of the batches of `keys`."""
        places = [collectives.rank_slice(len(batch)) for batch in keys]
        own = [batch[rows] for batch, (rows, _) in zip(keys, places, strict=True)]
        loaded = loader.iterate_batches(
            samples, own, self.plan.settings.data.workers, self.accelerator.device, self.dtype
        )
        for batch, (_, place) in zip(loaded, places, strict=True):
            yield replace(batch, batch_slice=place)

    def order(self, epoch: int) -> list[list[tuple[int, int]]]:
        """Return an epoch's batches as keys."""
        settings = self.plan.settings
        count, repeat = len(self.train_samples.items), settings.data.repeat
        return loader.shuffled_batches(count, repeat, settings.training.batch, settings.seed, epoch)

    def steps(self) -> int:
        """Return the steps of the whole run, if no clock ends it."""
        limits = self.plan.settings.training
        samples = len(self.train_samples.items) * self.plan.settings.data.repeat
        full = limits.epochs * math.ceil(samples / limits.batch)
        return min(full, limits.steps or full)

    def gave_up(self, stale: int) -> bool:
        """Return whether so many validations without a better figure are as many as the recipe waits for."""
        return 0 < self.plan.settings.validation.patience <= stale

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a record to the log, of several processes by the first, and say what the watch finds in it."""
        if not collectives.is_main_process():
            return
        folder = self.options.folder
        metric_log.append_record(folder, record)
        for alarm in self.monitor.see(record):
            self.console.print_line(f"warning: {alarm.line}")
            metric_log.append_record(
                folder, {"step": record["step"], "epoch": record["epoch"], "warning": asdict(alarm)}
            )
            figures = run_dir.read_summary(folder)
            warned = figures.get("warnings", {}) | {alarm.cause: alarm.line}
            run_dir.write_summary(folder, figures | {"warnings": warned})

    def say_luma_mismatches(self) -> None:
        """Say how many pairs, of all processes, are not what competition data are."""
        found = collectives.gather_objects(
            sorted(self.train_samples.luma_mismatches | self.validation_samples.luma_mismatches)
        )
        names = {name for part in found for name in part}
        if names:
            self.console.print_line(
                f"{len(names)} pairs are not the luma of their truth outside the lost region (JPEG, another gray "
                "formula): their lost region is found in the input alone."
            )

    def seconds(self) -> float:
        """Return the time spent so far, over all sessions."""
        return time.monotonic() - self.started

    def late(self) -> bool:
        """Return whether the recipe's minutes are over by this process's clock."""
        minutes = self.plan.settings.training.minutes
        return minutes is not None and self.seconds() >= 60 * minutes

    def time_up(self) -> bool:
        """Return whether the recipe's minutes are over by the first process's clock; all of them ask."""
        return collectives.any_rank(collectives.is_main_process() and self.late())

    def stopped(self) -> bool:
        """Return whether any process was asked to stop; all of them ask."""
        return collectives.any_rank(self.options.stop())
