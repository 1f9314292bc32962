"""One training step: ours against the published step's operations, same weights, same batch, in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch.nn.functional import mse_loss

from benchmarks import _measure, _work
from benchmarks._published import PublishedUNet, build_as_run, pictures, planned, published, published_step
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import Accelerator, make_accelerator
from toolbox.training import state, step

# The numerics of both sides of a pair are the same in the published recipe alone.
TERMS = ("g", "d.real", "d.fake", "penalty.gradient")


def build(
    size: int, batch: int, device: str | None, recipe: str = "published", changes: Sequence[str] = ()
) -> tuple[state.TrainState, Batch, Accelerator]:
    """Return the parts of a recipe, drawn from its seed, and a batch of random pictures."""
    plan = planned(recipe, size, batch, changes)
    accelerator = make_accelerator(device, plan.settings.training.precision)
    built = build_as_run(plan, accelerator)
    layout = state.MEMORY_FORMATS[built.memory_format]
    return built, pictures(size, batch, accelerator.device, layout), accelerator


def our_step(built: state.TrainState, batch: Batch, accelerator: Accelerator, number: int = 0) -> step.Terms:
    """Take our step, as the loop does; the terms are still on the device."""
    return step.take_step(built, batch, accelerator, number=number, random=torch.Generator().manual_seed(number))


def counting(call: Callable[[int], object]) -> Callable[[], None]:
    """Return a call that hands on 0, 1, 2, … in turn."""
    numbers = iter(range(1 << 30))
    return lambda: (call(next(numbers)), None)[1]


def bound(size: int, batch: int, device: torch.device, rounds: int, changes: Sequence[str]) -> dict[str, Any]:
    """Return what a step has to compute, and how fast this device does bare convolutions."""
    ours, given, accelerator = build(size, batch, str(device), changes=changes)
    theirs = published(planned("published", size, batch, changes), accelerator)
    plain = pictures(size, batch, device, torch.contiguous_format)

    def both_ways(network: torch.nn.Module, one: Batch) -> Callable[[], None]:
        return lambda: mse_loss(network(one.image, one.mask), one.truth).backward()

    counts = {
        "generator": {
            "ours": _work.operations(both_ways(ours.generator.network, given)),
            "published": _work.operations(both_ways(PublishedUNet(ours.generator.network), plain)),
        },
        "step": {
            "ours": _work.operations(lambda: our_step(ours, given, accelerator)),
            "published": _work.operations(lambda: published_step(theirs, plain, torch.Generator())),
        },
    }
    width = next(ours.generator.network.parameters()).shape[0]
    return {
        "multiply_accumulates": {
            what: {side: count // 2 for side, count in sides.items()} for what, sides in counts.items()
        },
        "bare_convolutions_multiply_accumulates_a_second": {
            name: rate / 2 for name, rate in _work.convolution_rates(batch, size, width, device, rounds).items()
        },
        "convolution_share_of_our_step": _work.convolution_share(lambda: our_step(ours, given, accelerator)),
        "convolution_share_of_the_published_step": _work.convolution_share(
            lambda: published_step(theirs, plain, torch.Generator())
        ),
    }


def measure(
    size: int, batch: int, rounds: int, device: str | None, changes: Sequence[str] = (), ours_alone: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the seconds of both steps, in turn, and how far the first step's terms lie apart.

    `changes` go to both recipes, `ours_alone` to ours.
    """
    ours, given, accelerator = build(size, batch, device, changes=(*changes, *ours_alone))
    theirs = published(planned("published", size, batch, changes), accelerator)
    plain = pictures(size, batch, accelerator.device, torch.contiguous_format)
    first: dict[str, dict[str, float]] = {}

    def mine(number: int) -> None:
        terms = our_step(ours, given, accelerator, number)
        _work.wait(accelerator.device)
        first.setdefault("ours", {name: float(terms[name]) for name in TERMS})

    def other(number: int) -> None:
        first.setdefault("published", published_step(theirs, plain, torch.Generator().manual_seed(number)))

    times, spent = _measure.by_both_clocks({"ours": counting(mine), "published": counting(other)}, rounds)
    apart = max(abs(first["ours"][name] - value) / abs(value) for name, value in first["published"].items())
    return {
        "size": size,
        "batch": batch,
        "device": str(accelerator.device),
        "set": list(ours_alone),
        "memory_format": ours.memory_format,
        "largest_relative_difference_of_the_first_step": apart,
        **_measure.summary(times),
        "processor_time": _measure.summary(spent),
    }


@click.command("step")
@click.option("--size", default=256, show_default=True, help="Side of the pictures in pixels.")
@click.option("--batch", default=2, show_default=True, help="Pictures a step.")
@click.option("--rounds", default=5, show_default=True, help="Steps of each kind, in turn.")
@click.option("--device", help="The device; the best there is if not given.")
@click.option("--bound/--no-bound", "near", default=True, help="Say how near to its bound the step comes.")
@click.option("--set", "ours_alone", multiple=True, help="Change our recipe, such as training.recompute=true.")
@_measure.quick
@_measure.json_path
def command(
    size: int,
    batch: int,
    rounds: int,
    device: str | None,
    near: bool,
    ours_alone: tuple[str, ...],
    quick: bool,
    path: Path | None,
) -> None:
    """Time our training step against the published step's operations; print JSON."""
    changes: list[str] = []
    if quick:
        size, batch, rounds, changes = 32, 1, 1, ["generator.width=8", "discriminator.width=8"]
    result = measure(size, batch, rounds, device, changes, ours_alone)
    if near:
        result["bound"] = bound(size, batch, torch.device(result["device"]), min(3, rounds), changes)
    _measure.report(result, path)
