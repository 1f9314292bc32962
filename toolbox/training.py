"""The one loop. It reads like the algorithm and yields a record a step.

A step, as published: the generator first, against the discriminator as it stands; then the discriminator on
the same restored pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import interpolate

from toolbox.color import luma
from toolbox.contracts import Judgement
from toolbox.data import Batch
from toolbox.errors import TrainingError
from toolbox.parts import Loss, Parts, Side, restore

Terms = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one step measured, before its update.

    Attributes:
        step: the number of the step, from 0.
        terms: figures by name: ``g`` and ``d`` are the totals, ``loss.LABEL`` and ``penalty.LABEL`` the terms
            without their weights, ``d.real`` and ``d.fake`` the discriminator's two sides, ``on_real`` and
            ``on_fake`` the means of its maps.
        names: the photographs of the batch.
    """

    step: int
    terms: dict[str, float]
    names: tuple[str, ...]


def train(
    parts: Parts,
    batches: Iterable[Batch],
    engine: Accelerator,
    *,
    seed: int,
    first: int,
    pause: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Take a step a batch and yield its record, one step late so that no step waits for the device.

    Args:
        parts: what trains.
        batches: the batches, on the engine's device.
        engine: precision and processes.
        seed: of the run; each step draws from (seed, step) alone, so that a continued run draws the same.
        first: the number of the first step.
        pause: asked after every step; True ends the training there, every step taken and recorded.

    Raises:
        TrainingError: a term is not finite; the message names the step, the terms and the photographs.
    """
    pending: tuple[int, Terms, tuple[str, ...]] | None = None
    for number, batch in enumerate(batches, start=first):
        terms = step(parts, batch, engine, number=number, random=randomness(seed, number))
        if pending is not None:
            yield _record(*pending)
        pending = (number, terms, batch.names)
        if pause():
            break
    if pending is not None:
        yield _record(*pending)


def randomness(seed: int, number: int) -> torch.Generator:
    """Return the random numbers of step `number`, and seed the global ones (dropout) for it."""
    state = np.random.SeedSequence([seed, number]).generate_state(2, np.uint64)
    torch.manual_seed(int(state[0] >> np.uint64(1)))
    return torch.Generator().manual_seed(int(state[1] >> np.uint64(1)))


def step(parts: Parts, batch: Batch, engine: Accelerator, *, number: int, random: torch.Generator) -> Terms:
    """Move the generator and then the discriminator by one step; return the terms, still on the device."""
    generator, discriminator = parts.generator, parts.discriminator
    generator.network.train()
    terms: Terms = {}

    # 1. Restore the batch.
    with engine.autocast():
        outputs = restore(generator.network, parts.keep, batch.image, batch.mask)
    fake = outputs["restored"]

    # 2. Move the generator: minimise the weighted losses, the discriminator standing still.
    if discriminator is not None:
        discriminator.network.train()
        discriminator.network.requires_grad_(False)
    total = _generator_loss(parts, batch, outputs, engine, terms)
    _update(generator, total, engine)
    if parts.average is not None:
        parts.average.update_parameters(generator.network)
    terms["g"] = total.detach()
    if discriminator is None or not any(loss.adversarial for loss in parts.losses):
        return terms

    # 3. Move the discriminator: tell real from fake, held in check by the penalties.
    discriminator.network.requires_grad_(True)
    total = _discriminator_loss(parts, discriminator.network, batch, fake.detach(), engine, number, random, terms)
    _update(discriminator, total, engine)
    terms["d"] = total.detach()
    return terms


def reconstruction(loss: Loss, outputs: Terms, truth: Tensor, mask: Tensor) -> Tensor:
    """Apply a reconstruction loss to the output that it looks at, with the truth brought to its form."""
    output = outputs[loss.on]
    if output.shape[1] == 1:
        truth = luma(truth)
    if output.shape[-2:] != truth.shape[-2:]:
        truth = interpolate(truth, output.shape[-2:], mode="area")
        mask = interpolate(mask, output.shape[-2:], mode="area").ceil()
    return loss.call(output, truth, mask)


def judge(network: nn.Module, picture: Tensor, batch: Batch) -> list[Tensor]:
    """Return the discriminator's maps of `picture`, in the batch's dtype."""
    return [values.to(batch.truth.dtype) for values in network(picture, batch.image, batch.mask)]


def _generator_loss(parts: Parts, batch: Batch, outputs: Terms, engine: Accelerator, terms: Terms) -> Tensor:
    adversarial = [loss for loss in parts.losses if loss.adversarial]
    fake_maps, real_maps = [], None
    if adversarial and parts.discriminator is not None:
        with engine.autocast():
            fake_maps = judge(parts.discriminator.network, outputs["restored"], batch)
            if any(loss.sees_real for loss in adversarial):
                real_maps = judge(parts.discriminator.network, batch.truth, batch)
    total = batch.truth.new_zeros(())
    for loss in parts.losses:
        if loss.adversarial:
            value = loss.call.generator(fake_maps, real_maps if loss.sees_real else None)
        else:
            value = reconstruction(loss, outputs, batch.truth, batch.mask)
        terms[f"loss.{loss.label}"] = value.detach()
        total = total + loss.weight * value
    return total


def _discriminator_loss(
    parts: Parts,
    network: nn.Module,
    batch: Batch,
    fake: Tensor,
    engine: Accelerator,
    number: int,
    random: torch.Generator,
    terms: Terms,
) -> Tensor:
    with engine.autocast():
        real_maps = judge(network, batch.truth, batch)
        fake_maps = judge(network, fake, batch)
    terms["on_real"], terms["on_fake"] = (_mean(maps).detach() for maps in (real_maps, fake_maps))
    on_fake, on_real = batch.truth.new_zeros(()), batch.truth.new_zeros(())
    for loss in parts.losses:
        if loss.adversarial:
            one_fake, one_real = loss.call.discriminator(fake_maps, real_maps)
            on_fake, on_real = on_fake + one_fake, on_real + one_real
    terms["d.real"], terms["d.fake"] = on_real.detach(), on_fake.detach()
    total = on_real + on_fake
    judgement = Judgement(
        discriminate=lambda picture: judge(network, picture, batch),
        real=batch.truth,
        fake=fake,
        real_maps=real_maps,
        fake_maps=fake_maps,
        random=random,
    )
    for penalty in parts.penalties:
        if number % penalty.every == 0:
            # Outside autocast: a penalty differentiates twice, which half precision does not carry.
            value = penalty.call(judgement)
            terms[f"penalty.{penalty.label}"] = value.detach()
            total = total + penalty.every * penalty.weight * value
    return total


def _update(side: Side, total: Tensor, engine: Accelerator) -> None:
    side.optimizer.zero_grad(set_to_none=True)
    if total.requires_grad:
        engine.backward(total)
        side.optimizer.step()


def _mean(maps: list[Tensor]) -> Tensor:
    return torch.stack([values.mean() for values in maps]).mean()


def _record(number: int, terms: Terms, names: tuple[str, ...]) -> Record:
    values = torch.stack([value.double() for value in terms.values()]).tolist()
    figures = dict(zip(terms, values, strict=True))
    wrong = [name for name, value in figures.items() if not math.isfinite(value)]
    if wrong:
        raise TrainingError(
            f"Step {number}: {', '.join(wrong)} is not finite. Batch: {', '.join(names)}. "
            "A smaller learning rate or weight helps; the last good checkpoint is in the run folder."
        )
    return Record(step=number, terms=figures, names=names)
