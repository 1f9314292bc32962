"""Time one training step against the published step, with the same weights and the same batch.

    OMP_NUM_THREADS=1 python -m benchmarks step --size 256 --batch 2

The JSON and the table have the seconds of a step, and our speed-up (see `benchmarks.common.timing`);
``processor_time`` has the same in CPU time. ``largest_relative_difference_of_the_first_step`` shows that both compute
the same terms. ``bound`` has the multiply-accumulate operations of both, the rates of plain convolutions on the
device, and the fraction of each step's CPU time that is convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch.nn.functional import mse_loss

from benchmarks.common import arithmetic, timing
from benchmarks.common.published import (
    PublishedUNet,
    build_as_run,
    build_published,
    plan_recipe,
    published_step,
    random_batch,
)
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import Accelerator, make_accelerator
from toolbox.training import state, step

# The terms that both steps compute in the same way with the recipe `published`.
TERMS = ("g", "d.real", "d.fake", "penalty.gradient")


def build(
    size: int, batch: int, device: str | None, recipe: str = "published", overrides: Sequence[str] = ()
) -> tuple[state.TrainState, Batch, Accelerator]:
    """Return the training state of a recipe, a batch of random pictures, and the accelerator."""
    plan = plan_recipe(recipe, size, batch, overrides)
    accelerator = make_accelerator(device, plan.settings.training.precision)
    built = build_as_run(plan, accelerator)
    layout = state.MEMORY_FORMATS[built.memory_format]
    return built, random_batch(size, batch, accelerator.device, layout), accelerator


def our_step(built: state.TrainState, batch: Batch, accelerator: Accelerator, number: int = 0) -> step.Terms:
    """Take one of our steps, as the training loop does; the terms stay on the device."""
    return step.take_step(built, batch, accelerator, number=number, random=torch.Generator().manual_seed(number))


def with_step_number(call: Callable[[int], object]) -> Callable[[], None]:
    """Return a function that calls `call` with 0, then with 1, 2, and so on."""
    numbers = iter(range(1 << 30))
    return lambda: (call(next(numbers)), None)[1]


def measure_bound(size: int, batch: int, device: torch.device, rounds: int, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the operations of both steps, the rates of plain convolutions, and the share of convolution."""
    ours, our_batch, accelerator = build(size, batch, str(device), overrides=overrides)
    theirs = build_published(plan_recipe("published", size, batch, overrides), accelerator)
    published_batch = random_batch(size, batch, device, torch.contiguous_format)

    def forward_and_backward(network: torch.nn.Module, inputs: Batch) -> Callable[[], None]:
        return lambda: mse_loss(network(inputs.image, inputs.mask), inputs.truth).backward()

    counts = {
        "generator": {
            "ours": arithmetic.count_operations(forward_and_backward(ours.generator.network, our_batch)),
            "published": arithmetic.count_operations(
                forward_and_backward(PublishedUNet(ours.generator.network), published_batch)
            ),
        },
        "step": {
            "ours": arithmetic.count_operations(lambda: our_step(ours, our_batch, accelerator)),
            "published": arithmetic.count_operations(
                lambda: published_step(theirs, published_batch, torch.Generator())
            ),
        },
    }
    width = next(ours.generator.network.parameters()).shape[0]
    return {
        "multiply_accumulates": {
            part: {variant: count // 2 for variant, count in variants.items()} for part, variants in counts.items()
        },
        "bare_convolutions_multiply_accumulates_a_second": {
            name: rate / 2 for name, rate in arithmetic.convolution_rates(batch, size, width, device, rounds).items()
        },
        "convolution_share_of_our_step": arithmetic.convolution_share(lambda: our_step(ours, our_batch, accelerator)),
        "convolution_share_of_the_published_step": arithmetic.convolution_share(
            lambda: published_step(theirs, published_batch, torch.Generator())
        ),
    }


def measure(
    size: int,
    batch: int,
    rounds: int,
    device: str | None,
    overrides: Sequence[str] = (),
    our_overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Time both steps alternately, and compare the terms of the first step.

    Args:
        size: side of the pictures in pixels.
        batch: pictures in a step.
        rounds: number of steps of each.
        device: the device, or None for the best available.
        overrides: settings of both recipes.
        our_overrides: settings of our recipe only.
    """
    ours, our_batch, accelerator = build(size, batch, device, overrides=(*overrides, *our_overrides))
    theirs = build_published(plan_recipe("published", size, batch, overrides), accelerator)
    published_batch = random_batch(size, batch, accelerator.device, torch.contiguous_format)
    first_terms: dict[str, dict[str, float]] = {}

    def take_our_step(number: int) -> None:
        terms = our_step(ours, our_batch, accelerator, number)
        arithmetic.synchronize(accelerator.device)
        first_terms.setdefault("ours", {name: float(terms[name]) for name in TERMS})

    def take_published_step(number: int) -> None:
        first_terms.setdefault(
            "published", published_step(theirs, published_batch, torch.Generator().manual_seed(number))
        )

    times, cpu_times = timing.time_with_both_clocks(
        {"ours": with_step_number(take_our_step), "published": with_step_number(take_published_step)}, rounds
    )
    difference = max(
        abs(first_terms["ours"][name] - value) / abs(value) for name, value in first_terms["published"].items()
    )
    return {
        "size": size,
        "batch": batch,
        "device": str(accelerator.device),
        "set": list(our_overrides),
        "memory_format": ours.memory_format,
        "largest_relative_difference_of_the_first_step": difference,
        **timing.compare(times),
        "processor_time": timing.compare(cpu_times),
    }


@click.command("step")
@click.option("--size", type=click.IntRange(1), default=256, show_default=True, help="Side of the pictures in pixels.")
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True, help="Pictures in a step.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Steps of each, alternately.")
@click.option("--device", help="The device.  [default: the best available]")
@click.option("--bound/--no-bound", "with_bound", default=True, help="Measure operations and convolution rates too.")
@click.option(
    "--set", "our_overrides", multiple=True, help="Change a setting of our recipe, such as training.recompute=true."
)
@timing.quick_option
@timing.json_option
def command(
    size: int,
    batch: int,
    rounds: int,
    device: str | None,
    with_bound: bool,
    our_overrides: tuple[str, ...],
    quick: bool,
    path: Path | None,
) -> None:
    """Time our training step against the published step; print JSON."""
    overrides: list[str] = []
    if quick:
        size, batch, rounds, overrides = 32, 1, 1, ["generator.width=8", "discriminator.width=8"]
    result = measure(size, batch, rounds, device, overrides, our_overrides)
    if with_bound:
        result["bound"] = measure_bound(size, batch, torch.device(result["device"]), min(3, rounds), overrides)
    timing.report(result, path)
