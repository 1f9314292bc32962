"""What a recipe's settings cost on this machine: pictures a second, the parts of a step, the peak memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from toolbox.config.plan import Plan
from toolbox.data import loader
from toolbox.data.folders import Item
from toolbox.data.loader import Samples, Stream
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import ToolboxError
from toolbox.training import state, step
from toolbox.training.run import sample_recipe
from toolbox.utils import devices, memory

WARM_UP = 1


@dataclass(frozen=True, kw_only=True)
class BenchmarkRow:
    """One way to set the recipe, measured.

    Attributes:
        settings: what was set, as ``--set`` takes it.
        steps: how many steps were timed.
        seconds: the mean time of a step, with what it waited for data.
        waiting: the share of that time spent waiting for data.
        pictures: pictures a second.
        parts: the mean time of each part of a step, in seconds.
        peak: the peak memory in bytes, of the device or, on a CPU, of the process; 0 where the system does not tell.
        fault: why it can't be used here, or None; the figures are 0 then.
    """

    settings: tuple[str, ...]
    steps: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    pictures: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    peak: int = 0
    fault: str | None = None


def variants(device: str, *, compiled: bool) -> list[tuple[str, ...]]:
    """Return the ways to set a recipe that are worth measuring on a kind of device."""
    precisions = ["fp32", "bf16"] + (["fp16"] if device == "cuda" else [])
    plain: list[tuple[str, ...]] = [(f"training.precision={precision}",) for precision in precisions]
    more: list[tuple[str, ...]] = [(*plain[-1 if device == "cuda" else 0], "training.recompute=true")]
    return plain + more + ([(*one, "training.compile=true") for one in plain] if compiled else [])


def measure_settings(
    plan: Plan, items: tuple[Item, ...], device: str | None, settings: tuple[str, ...], seconds: float
) -> BenchmarkRow:
    """Train `plan` on `items` for about `seconds` after the warm-up, and tell what it cost.

    Args:
        plan: the recipe, with `settings` in it.
        items: the photographs.
        device: see `toolbox.distributed.make_accelerator`.
        settings: what was set, for the row.
        seconds: how long to measure; one step at least is.
    """
    try:
        memory.reset_peak_memory()
        return _measure(plan, items, device, settings, seconds)
    except (ToolboxError, RuntimeError, NotImplementedError, MemoryError) as error:
        return BenchmarkRow(settings=settings, fault=" ".join(str(error).split())[:160])


def _measure(
    plan: Plan, items: tuple[Item, ...], device: str | None, settings: tuple[str, ...], seconds: float
) -> BenchmarkRow:
    chosen = plan.settings.training
    accelerator = make_accelerator(device, chosen.precision)
    if accelerator.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(accelerator.device)
    built = state.build_state(plan, accelerator, devices.weight_dtype(chosen.precision))
    samples = Samples(items=items, recipe=sample_recipe(plan), stream=Stream.TRAIN)
    keys = _endless(len(items), plan)
    batches = loader.iterate_batches(
        samples, keys, plan.settings.data.workers, accelerator.device, devices.weight_dtype(chosen.precision)
    )
    clock = _Clock(accelerator.device)
    shown = steps = 0
    with torch.random.fork_rng(devices=[]):
        for number, batch in enumerate(batches):
            clock.mark("data")
            random = step.seed_step(plan.settings.seed, number)
            step.take_step(built, batch, accelerator, number=number, random=random, mark=clock.mark)
            if number < WARM_UP:
                clock.restart()
                continue
            shown, steps = shown + len(batch.names), steps + 1
            if clock.total() >= seconds:
                break
    total = clock.total()
    cuda = accelerator.device.type == "cuda"
    return BenchmarkRow(
        settings=settings,
        steps=steps,
        seconds=total / steps,
        waiting=clock.spent["data"] / total,
        pictures=shown / total,
        parts={name: spent / steps for name, spent in clock.spent.items() if name != "data"},
        peak=torch.cuda.max_memory_allocated(accelerator.device) if cuda else memory.peak_memory(),
    )


def fastest(rows: list[BenchmarkRow]) -> BenchmarkRow | None:
    """Return the row of the most pictures a second, None if none works."""
    return max((row for row in rows if row.fault is None), key=lambda row: row.pictures, default=None)


def _endless(count: int, plan: Plan) -> Iterator[list[tuple[int, int]]]:
    settings = plan.settings
    for epoch in itertools.count():
        yield from (
            keys
            for keys in loader.shuffled_batches(
                count, settings.data.repeat, settings.training.batch, settings.seed, epoch
            )
            if len(keys) == min(settings.training.batch, count * settings.data.repeat)
        )


class _Clock:
    """Adds up the time between marks, each of which waits for the device."""

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
