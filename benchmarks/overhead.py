"""Measure the overhead of the training loop: a step of a run against the same computation without the loop.

    OMP_NUM_THREADS=1 python -m benchmarks overhead

A step of a run also loads and damages its batch, draws from its seed, collects and checks the terms, and writes a
record. The bare step calls the same networks, losses, penalty and optimizers on one batch in memory.

``overhead`` is the additional time of our step as a fraction of the bare step, in wall-clock time and in CPU time:
median, minimum and maximum. ``share_waiting_for_data`` is the fraction of our step that waits for data.
``largest_difference_of_the_first_step`` shows that both compute the same.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from benchmarks.common import timing
from benchmarks.loader import temporary_cache
from toolbox.config.binding import bind
from toolbox.config.plan import Plan
from toolbox.config.recipe import read
from toolbox.data import folders, loader
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog
from toolbox.hooks.protocols import PenaltyContext
from toolbox.models.samples import sample_recipe
from toolbox.training import metric_log, state, step


def bare_step(built: state.TrainState, batch: Batch, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Take a step of both networks without the loop, and return the totals of generator and discriminator.

    Both use the same discriminator maps of the restored pictures.
    """
    assert built.discriminator is not None
    generator, discriminator = built.generator.network, built.discriminator.network
    for side in (built.generator, built.discriminator):
        side.optimizer.zero_grad(set_to_none=True)
    restored = generator(batch.image, batch.mask)
    fake = restored.detach().requires_grad_()
    fake_maps = discriminator(fake, batch.image, batch.mask)
    adversarial = [loss for loss in built.losses if loss.adversarial]
    adversarial_loss = torch.stack([loss.weight * loss.call.generator(fake_maps, None) for loss in adversarial]).sum()
    reconstruction = [loss for loss in built.losses if not loss.adversarial]
    reconstruction_loss = torch.stack(
        [loss.weight * loss.call(restored, batch.truth, batch.mask) for loss in reconstruction]
    ).sum()
    adversarial_loss.backward(inputs=[fake], retain_graph=True)
    torch.autograd.backward([reconstruction_loss, restored], [None, fake.grad])
    built.generator.optimizer.step()

    real_maps = discriminator(batch.truth, batch.image, batch.mask)
    discriminator_loss = torch.stack([sum(loss.call.discriminator(fake_maps, real_maps)) for loss in adversarial]).sum()
    context = PenaltyContext(
        discriminate=lambda picture: discriminator(picture, batch.image, batch.mask),
        real=batch.truth,
        fake=fake.detach(),
        real_maps=real_maps,
        fake_maps=fake_maps,
        random=random,
    )
    penalties = [penalty.weight * penalty.call(context) for penalty in built.penalties]
    total = discriminator_loss + torch.stack(penalties).sum()
    total.backward(inputs=list(discriminator.parameters()))
    built.discriminator.optimizer.step()
    return (adversarial_loss + reconstruction_loss).detach(), total.detach()


def record_waiting(batches: Iterable[Batch], seconds: list[float]) -> Iterator[Batch]:
    """Yield the batches, and append to `seconds` how long the loop waited for each."""
    source = iter(batches)
    while True:
        start = time.perf_counter()
        batch = next(source, None)
        if batch is None:
            return
        seconds.append(time.perf_counter() - start)
        yield batch


def plan_for_sample(name: str, quick: bool) -> Plan:
    """Return the plan of a recipe for the sample photographs; smaller networks and pictures if `quick`."""
    loaded = catalog.load(third_party=False)
    overrides = ["generator.width=4", "discriminator.width=4", "data.size=32"] if quick else []
    return bind(read(name, lambda known: loaded.recipe(known).path, overrides, sample=True), loaded)


def measure(plan: Plan, rounds: int, device: str | None) -> dict[str, Any]:
    """Time steps of a run and bare steps alternately; see the module docstring for the result."""
    accelerator = make_accelerator(device)
    settings = plan.settings
    with tempfile.TemporaryDirectory() as folder, temporary_cache(Path(folder) / "cache"):
        items = folders.open_folder(None).items
        samples = loader.Samples(items=items, recipe=sample_recipe(plan), stream=loader.Stream.TRAIN)
        keys = loader.shuffled_batches(len(items), rounds, settings.training.batch, settings.seed, epoch=0)
        waits: list[float] = []
        batches = loader.iterate_batches(samples, keys, settings.data.workers, accelerator.device)
        built = state.build_state(plan, accelerator)
        records = step.take_steps(built, record_waiting(batches, waits), accelerator, seed=settings.seed, first=0)
        bare_state = state.build_state(plan, accelerator)
        batch = next(loader.iterate_batches(samples, keys, 0, accelerator.device))
        totals = bare_step(bare_state, batch, step.seed_step(settings.seed, 0))
        record = next(records)  # the same step, from the same weights and the same batch
        difference = max(abs(float(a) - record.terms[name]) for a, name in zip(totals, ("g", "d"), strict=True))
        sums: dict[str, tuple[float, int]] = {}

        def take_loop_step() -> None:
            nonlocal sums
            record = next(records)
            metric_log.append_record(Path(folder), {"step": record.step, "epoch": 0, **record.terms})
            sums = metric_log.add_to_sums(sums, record.terms)

        def take_bare_step() -> None:
            bare_step(bare_state, batch, torch.Generator().manual_seed(0))
            if accelerator.device.type == "cuda":
                torch.cuda.synchronize()

        variants = {"ours": take_loop_step, "bare": take_bare_step}
        times, cpu_times = timing.time_with_both_clocks(variants, rounds)
        records.close()
    return {
        "recipe": plan.name,
        "size": settings.data.size,
        "batch": settings.training.batch,
        "device": str(accelerator.device),
        # The CPU time varies less on a busy machine: it does not include the time of other processes.
        "overhead": {
            clock: timing.spread([ours / bare - 1 for ours, bare in zip(values["ours"], values["bare"], strict=True)])
            for clock, values in (("time", times), ("processor_time", cpu_times))
        },
        "share_waiting_for_data": sum(waits[-rounds:]) / sum(times["ours"]),
        "largest_difference_of_the_first_step": difference,
        **timing.compare(times),
        "raw_processor_time": cpu_times,
    }


@click.command("overhead")
@click.option("--rounds", type=click.IntRange(1), default=61, show_default=True, help="Steps of each, alternately.")
@click.option("--device", help="The device.  [default: the best available]")
@timing.quick_option
@timing.json_option
def command(rounds: int, device: str | None, quick: bool, path: Path | None) -> None:
    """Time a step of the recipe `default` on the sample photographs against the bare computation; print JSON."""
    timing.report(measure(plan_for_sample("default", quick), 2 if quick else rounds, device), path)
