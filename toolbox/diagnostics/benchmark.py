"""The cost of a recipe's settings on this machine: pictures per second, the parts of a step, the peak memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from toolbox.config.plan import Plan
from toolbox.data import loader
from toolbox.data.batch import Batch
from toolbox.data.folders import Item
from toolbox.data.loader import SampleKey, Samples, Stream
from toolbox.distributed.accelerator import Accelerator, make_accelerator
from toolbox.errors import ToolboxError, brief
from toolbox.models.samples import sample_recipe
from toolbox.training import state, step
from toolbox.training.memory_format import choose_memory_format, set_memory_format
from toolbox.training.state import MEMORY_FORMATS, TrainState
from toolbox.utils import devices, memory

WARM_UP_STEPS = 1


@dataclass(frozen=True, kw_only=True)
class BenchmarkRow:
    """The cost of one variant of the recipe.

    Attributes:
        settings: what was set, as for ``--set``.
        steps: the number of measured steps.
        seconds: the mean time of a step, including the time that it waited for data.
        waiting: the fraction of that time spent waiting for data.
        pictures: pictures per second.
        parts: the mean time of each part of a step, in seconds.
        peak: the peak memory in bytes, of the device or, on a CPU, of the process; 0 if the system does not report it.
        memory_format: the memory layout that was used.
        fault: why this variant can't be used, or None; the figures are 0 then.
    """

    settings: tuple[str, ...]
    steps: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    pictures: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    peak: int = 0
    memory_format: str = ""
    fault: str | None = None


def variants(device: str, *, compiled: bool) -> list[tuple[str, ...]]:
    """Return the settings that are worth measuring on a type of device."""
    precisions = ["fp32", "bf16"] + (["fp16"] if device == "cuda" else [])
    plain: list[tuple[str, ...]] = [(f"training.precision={precision}",) for precision in precisions]
    layouts = [(*plain[0], f"training.memory_format={name}") for name in MEMORY_FORMATS]
    recompute = (*plain[-1 if device == "cuda" else 0], "training.recompute=true")
    return plain + layouts + [recompute] + ([(*row, "training.compile=true") for row in plain] if compiled else [])


def measure_settings(
    plan: Plan, items: tuple[Item, ...], device: str | None, settings: tuple[str, ...], seconds: float
) -> BenchmarkRow:
    """Train `plan` on `items` for about `seconds` after the warm-up, and return the cost.

    Args:
        plan: the bound recipe, with `settings` applied.
        items: the photographs.
        device: see `toolbox.distributed.accelerator.make_accelerator`.
        settings: what was set, for the row.
        seconds: the time to measure; at least one step is measured.
    """
    try:
        memory.reset_peak_memory()
        return _measure(plan, items, device, settings, seconds)
    except (ToolboxError, RuntimeError, NotImplementedError, MemoryError) as error:
        return BenchmarkRow(settings=settings, fault=brief(error, 160))


def fastest(rows: list[BenchmarkRow]) -> BenchmarkRow | None:
    """Return the row with the most pictures per second, None if no variant works."""
    return max((row for row in rows if row.fault is None), key=lambda row: row.pictures, default=None)


def _measure(
    plan: Plan, items: tuple[Item, ...], device: str | None, settings: tuple[str, ...], seconds: float
) -> BenchmarkRow:
    training = plan.settings.training
    accelerator = make_accelerator(device, training.precision)
    is_cuda = accelerator.device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(accelerator.device)
    built = state.build_state(plan, accelerator, devices.weight_dtype(training.precision))
    built = set_memory_format(built, choose_memory_format(plan.settings, built, accelerator).name)
    clock = _Clock(accelerator.device)
    pictures, steps = _time_steps(plan, built, accelerator, _endless_batches(plan, items, built), clock, seconds)
    total = clock.total()
    return BenchmarkRow(
        settings=settings,
        steps=steps,
        seconds=total / steps,
        waiting=clock.spent["data"] / total,
        pictures=pictures / total,
        parts={name: spent / steps for name, spent in clock.spent.items() if name != "data"},
        peak=devices.peak_memory(accelerator.device),
        memory_format=built.memory_format,
    )


def _time_steps(
    plan: Plan,
    built: TrainState,
    accelerator: Accelerator,
    batches: Iterator[Batch],
    clock: _Clock,
    seconds: float,
) -> tuple[int, int]:
    """Take steps until the clock shows `seconds`; return the number of pictures and of steps after the warm-up."""
    pictures = steps = 0
    with torch.random.fork_rng(devices=[]):
        for number, batch in enumerate(batches):
            clock.mark("data")
            random = step.seed_step(plan.settings.seed, number)
            step.take_step(built, batch, accelerator, number=number, random=random, mark=clock.mark)
            if number < WARM_UP_STEPS:
                clock.restart()
                continue
            pictures, steps = pictures + len(batch.names), steps + 1
            if clock.total() >= seconds:
                break
    return pictures, steps


def _endless_batches(plan: Plan, items: tuple[Item, ...], built: TrainState) -> Iterator[Batch]:
    settings = plan.settings
    return loader.iterate_batches(
        Samples(items=items, recipe=sample_recipe(plan), stream=Stream.TRAIN),
        _endless_keys(len(items), plan),
        settings.data.workers,
        built.device,
        devices.weight_dtype(settings.training.precision),
        MEMORY_FORMATS[built.memory_format],
    )


def _endless_keys(count: int, plan: Plan) -> Iterator[list[SampleKey]]:
    """Yield the keys of full batches, epoch after epoch."""
    settings = plan.settings
    repeat, batch_size = settings.data.repeat, settings.training.batch
    for epoch in itertools.count():
        for keys in loader.shuffled_batches(count, repeat, batch_size, settings.seed, epoch):
            if len(keys) == min(batch_size, count * repeat):
                yield keys


class _Clock:
    """Sums up the time between marks. Each mark waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self.wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        self.restart()

    def restart(self) -> None:
        self.wait()
        self.spent: dict[str, float] = {}
        self.last = time.perf_counter()

    def mark(self, part: str) -> None:
        self.wait()
        now = time.perf_counter()
        self.spent[part] = self.spent.get(part, 0.0) + now - self.last
        self.last = now

    def total(self) -> float:
        return sum(self.spent.values())
