"""What the loop costs beside the mathematics: a step as a run takes it, against the same parts called by hand.

A step of a run loads and damages its batch, draws from its seed, gathers the terms, checks them, writes the record.
The bare step is given one batch that is there already, and calls the same networks, losses, penalty and optimisers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import torch
from torch import Tensor

from benchmarks import _measure
from benchmarks.loader import cache_in
from toolbox.config.binding import bind
from toolbox.config.plan import Plan
from toolbox.config.recipe import read
from toolbox.data import folders, loader
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog
from toolbox.hooks.protocols import PenaltyContext
from toolbox.training import metric_log, run, state, step


def bare_step(built: state.TrainState, batch: Batch, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Take a step of both sides by hand, the discriminator's maps of what was restored used by both; the totals."""
    assert built.discriminator is not None
    generator, discriminator = built.generator.network, built.discriminator.network
    for side in (built.generator, built.discriminator):
        side.optimizer.zero_grad(set_to_none=True)
    restored = generator(batch.image, batch.mask)
    fake = restored.detach().requires_grad_()
    fake_maps = discriminator(fake, batch.image, batch.mask)
    adversarial = [loss for loss in built.losses if loss.adversarial]
    played = torch.stack([loss.weight * loss.call.generator(fake_maps, None) for loss in adversarial]).sum()
    others = [loss for loss in built.losses if not loss.adversarial]
    pixels = torch.stack([loss.weight * loss.call(restored, batch.truth, batch.mask) for loss in others]).sum()
    played.backward(inputs=[fake], retain_graph=True)
    torch.autograd.backward([pixels, restored], [None, fake.grad])
    built.generator.optimizer.step()

    real_maps = discriminator(batch.truth, batch.image, batch.mask)
    judged = torch.stack([sum(loss.call.discriminator(fake_maps, real_maps)) for loss in adversarial]).sum()
    judgement = PenaltyContext(
        discriminate=lambda picture: discriminator(picture, batch.image, batch.mask),
        real=batch.truth,
        fake=fake.detach(),
        real_maps=real_maps,
        fake_maps=fake_maps,
        random=random,
    )
    total = judged + torch.stack([one.weight * one.call(judgement) for one in built.penalties]).sum()
    total.backward(inputs=list(discriminator.parameters()))
    built.discriminator.optimizer.step()
    return (played + pixels).detach(), total.detach()


def waiting(batches: Iterable[Batch], seconds: list[float]) -> Iterator[Batch]:
    """Yield the batches, and put into `seconds` how long the loop stood still for each of them."""
    source = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(source, None)
        if batch is None:
            return
        seconds.append(time.perf_counter() - started)
        yield batch


def small(name: str, quick: bool) -> Plan:
    """Return the plan of a recipe as it runs on the sample photographs."""
    loaded = catalog.load(third_party=False)
    changes = ["generator.width=4", "discriminator.width=4", "data.size=32"] if quick else []
    return bind(read(name, lambda known: loaded.recipe(known).path, changes, sample=True), loaded)


@click.command("overhead")
@click.option("--rounds", default=61, show_default=True, help="Steps of each kind, in turn.")
@click.option("--device", help="The device; the best there is if not given.")
@_measure.quick
@_measure.json_path
def command(rounds: int, device: str | None, quick: bool, path: Path | None) -> None:
    """Time a step of the recipe `default` on the sample photographs against its bare mathematics; print JSON."""
    plan = small("default", quick)
    rounds = 2 if quick else rounds
    accelerator = make_accelerator(device)
    settings = plan.settings
    with tempfile.TemporaryDirectory() as made, cache_in(Path(made) / "cache"):
        how = run.sample_recipe(plan)
        items = folders.open_folder(None).items
        samples = loader.Samples(items=items, recipe=how, stream=loader.Stream.TRAIN)
        keys = loader.shuffled_batches(len(items), rounds, settings.training.batch, settings.seed, epoch=0)
        seconds: list[float] = []
        batches = loader.iterate_batches(samples, keys, settings.data.workers, accelerator.device)
        built = state.build_state(plan, accelerator)
        records = step.take_steps(built, waiting(batches, seconds), accelerator, seed=settings.seed, first=0)
        by_hand = state.build_state(plan, accelerator)
        given = next(loader.iterate_batches(samples, keys, 0, accelerator.device))
        totals = bare_step(by_hand, given, step.seed_step(settings.seed, 0))
        record = next(records)  # of the same step, from the same weights and the same batch
        apart = max(abs(float(a) - record.terms[name]) for a, name in zip(totals, ("g", "d"), strict=True))
        sums: dict[str, tuple[float, int]] = {}

        def loop() -> None:
            nonlocal sums
            record = next(records)
            metric_log.append_record(Path(made), {"step": record.step, "epoch": 0, **record.terms})
            sums = metric_log.add_to_sums(sums, record.terms)

        def bare() -> None:
            bare_step(by_hand, given, torch.Generator().manual_seed(0))
            if accelerator.device.type == "cuda":
                torch.cuda.synchronize()

        spent: dict[str, list[float]] = {"ours": [], "bare": []}

        def counted(name: str, call: Callable[[], None]) -> Callable[[], None]:
            def once() -> None:
                started = time.process_time()
                call()
                spent[name].append(time.process_time() - started)

            return once

        times = _measure.in_turn({"ours": counted("ours", loop), "bare": counted("bare", bare)}, rounds)
        records.close()
        spent = {name: values[-rounds:] for name, values in spent.items()}  # without the warm-up
    result = _measure.summary(times)
    # On a busy machine the processor time, which is not given to others in the middle of a step, is the steadier.
    overhead = {
        kind: _measure.spread([mine / other - 1 for mine, other in zip(one["ours"], one["bare"], strict=True)])
        for kind, one in (("time", times), ("processor_time", spent))
    }
    waited = sum(seconds[-rounds:]) / sum(times["ours"])
    _measure.report(
        {
            "recipe": plan.name,
            "size": settings.data.size,
            "batch": settings.training.batch,
            "device": str(accelerator.device),
            "overhead": overhead,
            "share_waiting_for_data": waited,
            "largest_difference_of_the_first_step": apart,
            **result,
            "raw_processor_time": spent,
        },
        path,
    )
