"""Everything about a run that does not change while it trains, and what is computed from it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from toolbox.config.plan import Plan
from toolbox.config.settings import Settings
from toolbox.data import loader, preprocessing
from toolbox.data.batch import Batch
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import Accelerator
from toolbox.hooks.observing import StepRecord, ValidationRecord, WarningRecord
from toolbox.hooks.protocols import Horizon
from toolbox.reports import run_records
from toolbox.training.checkpoint import Progress
from toolbox.training.epoch_table import EpochTable
from toolbox.training.gan_monitor import GanMonitor
from toolbox.training.observers import Observers
from toolbox.training.options import Console, RunOptions
from toolbox.training.state import MEMORY_FORMATS, TrainState
from toolbox.utils import devices


def run_horizon(settings: Settings, photo_count: int) -> Horizon:
    """Return the length of a run with `photo_count` training photographs if no time limit ends it."""
    limits = settings.training
    steps_per_epoch = math.ceil(photo_count * settings.data.repeat / limits.batch)
    steps = limits.epochs * steps_per_epoch
    return Horizon(epochs=limits.epochs, steps_per_epoch=steps_per_epoch, steps=min(steps, limits.steps or steps))


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Everything about a run that does not change while it trains.

    Attributes:
        plan: the bound recipe.
        options: the inputs of the run besides the plan.
        console: where it prints.
        accelerator: the device, the precision and the process group.
        state: everything that trains.
        sample_recipe: how photographs become samples.
        train_samples: the training samples.
        validation_samples: the validation samples.
        metrics: the recipe's metrics by label.
        monitor: gives the warnings about the run.
        observers: called at each event; only the main process has any.
        started: the time, by `time.monotonic`, at which the run would have started without interruptions.
        table: the table of the epochs on the screen.
    """

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
    observers: Observers
    started: float
    table: EpochTable = field(default_factory=EpochTable)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and losses."""
        return devices.weight_dtype(self.plan.settings.training.precision)

    def fill_decoded_cache(self) -> None:
        """Add the photographs that are missing to the cache, with a progress bar; it may be stopped at any time."""
        cache = self.sample_recipe.cache
        if cache is None:
            return
        for samples in (self.train_samples, self.validation_samples):
            key = self.sample_recipe.preprocess_key(samples.stream)
            missing = preprocessing.uncached_items(samples.items, key, cache)
            if not missing:
                continue
            if len(missing) > 1000:
                self.console.print_line(
                    f"Decoding {len(missing)} photographs into {cache.folder}. Later runs reuse them."
                )
            with self.console.progress_bar("decoding", len(missing)) as advance:
                for _ in preprocessing.fill_cache(missing, key, cache):
                    advance()
                    if self.options.should_stop():
                        return
        for line in cache.write_failures:
            self.console.print_line(line)

    def validation_batches(self) -> Iterator[Batch]:
        """Yield this process's rows of the validation batches, in order."""
        batch_size = self.plan.settings.training.batch
        keys = loader.ordered_batches(len(self.validation_samples.items), batch_size)
        return self.load_batches(self.validation_samples, keys)

    def load_batches(self, samples: loader.Samples, batches: Sequence[list[loader.SampleKey]]) -> Iterator[Batch]:
        """Yield this process's rows of the batches with these keys."""
        slices = [collectives.rank_slice(len(keys)) for keys in batches]
        own = [keys[rows] for keys, (rows, _) in zip(batches, slices, strict=True)]
        loaded = loader.iterate_batches(
            samples,
            own,
            self.plan.settings.data.workers,
            self.accelerator.device,
            self.dtype,
            MEMORY_FORMATS[self.state.memory_format],
        )
        for batch, (_, batch_slice) in zip(loaded, slices, strict=True):
            yield replace(batch, batch_slice=batch_slice)

    def epoch_batches(self, epoch: int) -> list[list[loader.SampleKey]]:
        """Return the keys of an epoch's batches."""
        settings = self.plan.settings
        count, repeat = len(self.train_samples.items), settings.data.repeat
        return loader.shuffled_batches(count, repeat, settings.training.batch, settings.seed, epoch)

    def total_steps(self, progress: Progress) -> int:
        """Return the number of steps of the run if no time limit ends it.

        It is counted from `progress`, because a resumed run may have had another number of steps in its first epochs.
        """
        limits = self.plan.settings.training
        samples = len(self.train_samples.items) * self.plan.settings.data.repeat
        remaining = (limits.epochs - progress.epoch) * math.ceil(samples / limits.batch) - progress.batch
        steps = progress.step + remaining
        return min(steps, limits.steps or steps)

    def is_out_of_patience(self, stale: int) -> bool:
        """Return whether `stale` validations without improvement end the run."""
        return 0 < self.plan.settings.validation.patience <= stale

    def log_step(self, record: StepRecord) -> None:
        """Call the observers with a step, in the main process, and print the warnings that it causes."""
        if collectives.is_main_process():
            self.observers.notify("on_step", record)
            self._warn(record.step, record.epoch, {"step": record.step, **record.terms})

    def log_validation(self, record: ValidationRecord) -> None:
        """Call the observers with a validation, in the main process, and print the warnings that it causes."""
        if collectives.is_main_process():
            self.observers.notify("on_validation", record)
            self._warn(record.step, record.epoch, {"step": record.step, "validation": {"loss": record.loss}})

    def log_epoch(self, record: Mapping[str, Any]) -> None:
        """Write the means of an epoch to the metrics file, in the main process, and print the warnings they cause."""
        if collectives.is_main_process():
            self.observers.notify("write_epoch", record)
            self._warn(record["step"], record["epoch"], record)

    def _warn(self, step: int, epoch: int, figures: Mapping[str, Any]) -> None:
        for warning in self.monitor.update(figures):
            self.log_warning(WarningRecord(step=step, epoch=epoch, cause=warning.cause, line=warning.line))

    def log_warning(self, record: WarningRecord) -> None:
        """Print a warning, call the observers with it, and add it to the summary, in the main process."""
        if not collectives.is_main_process():
            return
        self.console.print_line(f"warning: {record.line}")
        self.observers.notify("on_warning", record)
        folder = self.options.folder
        summary = run_records.read_summary(folder)
        if summary is not None:
            warnings = {**summary.warnings, record.cause: record.line}
            run_records.write_summary(folder, replace(summary, warnings=warnings))

    def report_luma_mismatches(self) -> None:
        """Print in how many pairs the input is not the luma of the truth. All processes call it."""
        mismatches = self.train_samples.luma_mismatches | self.validation_samples.luma_mismatches
        names = {name for names in collectives.gather_objects(sorted(mismatches)) for name in names}
        if names:
            self.console.print_line(
                f"In {len(names)} pairs the input is not the luma of the truth outside the lost region (JPEG, another "
                "gray formula). Their lost region is found in the input alone."
            )

    def elapsed_seconds(self) -> float:
        """Return the time spent so far, over all sessions."""
        return time.monotonic() - self.started

    def is_past_time_limit(self) -> bool:
        """Return whether the recipe's time limit has passed by this process's clock."""
        minutes = self.plan.settings.training.minutes
        return minutes is not None and self.elapsed_seconds() >= 60 * minutes

    def is_time_up(self) -> bool:
        """Return whether the recipe's time limit has passed by the main process's clock. All processes call it."""
        return collectives.any_rank(collectives.is_main_process() and self.is_past_time_limit())

    def is_stopped(self) -> bool:
        """Return whether any process was asked to stop. All processes call it."""
        return collectives.any_rank(self.options.should_stop())
