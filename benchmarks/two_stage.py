"""Time a training step of a two-stage generator in our loop against a Lightning loop with its default options.

    OMP_NUM_THREADS=1 python -m benchmarks two-stage

The setup is that of the best-known public solution: two U-Nets over ResNet-34 without pretrained weights, MSE on the
gray and on the colours, AdamW. Both loops have the same weights, and read the same pairs from disk in the same order.

The output has the seconds of a step with its data, and our speed-up (`benchmarks.common.timing`); ``processor_time``
has CPU time. ``first_loss`` shows that both compute the same. ``pieces`` compares the parts that differ. Without
Lightning, only our loop is measured, and ``not_installed`` says so.
"""

from __future__ import annotations

import copy
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.common import arithmetic, timing
from benchmarks.common.lightning_loop import Pairs, fit_with_lightning, loss
from benchmarks.common.published import build_as_run
from benchmarks.loader import PHOTOS, make_pairs, temporary_cache
from toolbox.config.binding import bind
from toolbox.config.plan import Plan
from toolbox.config.recipe import read
from toolbox.data import sample
from toolbox.data.batch import Batch
from toolbox.data.loader import Samples, Stream, iterate_batches, shuffled_batches
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog
from toolbox.models.samples import sample_recipe
from toolbox.training import state, step

RECIPE = """
[data]
size = {size}
[training]
batch = {batch}
precision = "{precision}"
[generator]
name = "two-stage"
[generator.optimizer]
name = "adamw"
lr = 1e-4
weight_decay = 0.01
[generator.gray]
name = "smp-unet"
encoder = "resnet34"
mask_input = true
[generator.color]
name = "smp-unet"
encoder = "resnet34"
mask_input = true
[losses.mse]
[losses.gray]
name = "mse"
on = "gray"
"""
WARM_UP = 2  # steps that are not counted; the optimizers create their state in the first


def make_plan(folder: Path, size: int, batch: int, precision: str) -> Plan:
    """Return the plan of the compared setup."""
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(size=size, batch=batch, precision=precision), "utf-8")
    loaded = catalog.load(third_party=False)
    return bind(read(str(path), lambda known: loaded.recipe(known).path), loaded)


def compare_pieces(built: state.TrainState, batch: Batch, rounds: int) -> dict[str, Any]:
    """Time the parts in which the two loops differ, on the same weights and the same batch."""
    ours = built.generator.network
    plain = copy.deepcopy(ours).to(memory_format=torch.contiguous_format)
    inputs = (batch.image, batch.mask, batch.truth)
    contiguous = [tensor.contiguous() for tensor in inputs]
    optimizers = {}
    for name, network, fused in (("ours", ours, {"fused": True}), ("plain", plain, {})):
        optimizers[name] = torch.optim.AdamW(network.parameters(), lr=1e-4, **fused)

    def forward_and_backward(network: nn.Module, pictures: Sequence[Tensor]) -> Callable[[], None]:
        def call() -> None:
            loss(network, *pictures).backward()
            arithmetic.synchronize(batch.image.device)

        return call

    def optimizer_step(name: str) -> Callable[[], None]:
        def call() -> None:
            optimizers[name].step()
            arithmetic.synchronize(batch.image.device)

        return call

    passes = {"ours": forward_and_backward(ours, inputs), "plain": forward_and_backward(plain, contiguous)}
    pieces = {
        "channels last": timing.time_alternately(passes, rounds),
        "fused optimiser": timing.time_alternately({name: optimizer_step(name) for name in optimizers}, rounds),
    }
    return {name: timing.compare(times) for name, times in pieces.items()}


class StepClock:
    """Measure the steps of two loops that alternate, in wall-clock and in CPU time."""

    CLOCKS = {"seconds": time.perf_counter, "processor": time.process_time}

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: dict[str, dict[str, list[float]]] = {name: {"ours": [], "Lightning": []} for name in self.CLOCKS}
        self.last = self.now()

    def now(self) -> dict[str, float]:
        """Wait for the device and return the times of both clocks."""
        arithmetic.synchronize(self.device)
        return {name: clock() for name, clock in self.CLOCKS.items()}

    def restart(self) -> None:
        """Do not count the time since the last call."""
        self.last = self.now()

    def record(self, loop: str) -> None:
        """Add the time since the last call to the steps of `loop`."""
        now = self.now()
        for name in self.CLOCKS:
            self.times[name][loop].append(now[name] - self.last[name])
        self.last = self.now()

    def counted(self, name: str) -> dict[str, list[float]]:
        """Return the times of one clock without the warm-up; a loop without steps is left out."""
        return {loop: values[WARM_UP:] for loop, values in self.times[name].items() if values}


def time_loops(
    records: Iterator[step.StepTerms], network: nn.Module, loader: DataLoader, steps: int, device: torch.device
) -> tuple[StepClock, dict[str, float]]:
    """Take `steps` steps of each loop, alternately; return the clock and the loss of each loop's first step.

    Each element of `records` takes one of our steps. Without Lightning, only our steps are taken.
    """
    first_loss: dict[str, float] = {}
    clock = StepClock(device)

    def take_our_step() -> None:
        record = next(records)
        clock.record("ours")
        first_loss.setdefault("ours", record.terms["g"])
        clock.restart()

    def after_lightning_step(value: Tensor) -> None:
        clock.record("Lightning")
        first_loss.setdefault("Lightning", float(value))
        clock.restart()
        take_our_step()

    if importlib.util.find_spec("lightning") is None:
        for _ in range(steps):
            take_our_step()
    else:
        fit_with_lightning(network, loader, steps, device, after_lightning_step)
    return clock, first_loss


def measure(
    size: int, batch: int, rounds: int, device: str | None, precision: str = "fp32", workers: int = 0
) -> dict[str, Any]:
    """Time both loops and the parts in which they differ; see the module docstring for the result."""
    accelerator = make_accelerator(device, precision)
    steps = rounds + WARM_UP
    photos = PHOTOS if PHOTOS.is_dir() else sample.folder() / "photos"
    with tempfile.TemporaryDirectory() as name, temporary_cache(Path(name) / "cache"):
        folder = Path(name)
        plan = make_plan(folder, size, batch, precision)
        items = make_pairs(folder, photos, batch * (steps + 1), size)
        samples = Samples(items=items, recipe=sample_recipe(plan), stream=Stream.TRAIN)
        keys = shuffled_batches(len(items), 1, batch, plan.settings.seed, epoch=0)
        loader = DataLoader(Pairs(folder / "png", samples, keys), batch_size=batch)
        built = build_as_run(plan, accelerator)
        layout = state.MEMORY_FORMATS[built.memory_format]
        network = copy.deepcopy(built.generator.network).to(memory_format=torch.contiguous_format)
        batches = iterate_batches(samples, keys, workers, accelerator.device, memory_format=layout)
        records = step.take_steps(built, batches, accelerator, seed=plan.settings.seed, first=0)
        clock, first_loss = time_loops(records, network, loader, steps, accelerator.device)
        records.close()
        loading = {
            "ours": lambda: next(iterate_batches(samples, keys, 0, accelerator.device, memory_format=layout)),
            "plain": lambda: next(iter(loader)),
        }
        loading_times = timing.compare(timing.time_alternately(loading, rounds))
        first_batch = next(iterate_batches(samples, keys, 0, accelerator.device, memory_format=layout))
    return {
        "size": size,
        "batch": batch,
        "device": str(accelerator.device),
        "precision": precision,
        "workers": workers,
        "not_installed": [] if "Lightning" in first_loss else ["lightning"],
        "first_loss": first_loss,
        **timing.compare(clock.counted("seconds")),
        "processor_time": timing.compare(clock.counted("processor")),
        "pieces": {**compare_pieces(built, first_batch, rounds), "a batch from disk": loading_times},
    }


@click.command("two-stage")
@click.option("--size", type=click.IntRange(1), default=128, show_default=True, help="Side of the pictures in pixels.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Pictures in a step.")
@click.option(
    "--rounds", type=click.IntRange(1), default=11, show_default=True, help="Steps of each loop, alternately."
)
@click.option("--device", help="The device.  [default: the best available]")
@click.option("--precision", default="fp32", show_default=True, help="Precision of our loop; Lightning uses float32.")
@timing.quick_option
@timing.json_option
def command(
    size: int, batch: int, rounds: int, device: str | None, precision: str, quick: bool, path: Path | None
) -> None:
    """Time a step of a two-stage generator in our loop against a Lightning loop; print JSON."""
    if quick:
        # With smaller pictures, the norms amplify rounding errors and the first losses differ.
        size, batch, rounds = 64, 4, 1
    timing.report(measure(size, batch, rounds, device, precision), path)
