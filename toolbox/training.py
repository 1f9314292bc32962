"""The one loop. It reads like the algorithm and yields a record a step.

A step, as published: the generator first, against the discriminator as it stands; then the discriminator on
the same restored pictures. A batch that is too large for the memory goes through in parts, whose gradients add up.
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
from toolbox.engine import scaled
from toolbox.errors import TrainingError
from toolbox.parts import Loss, Parts, restore

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


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the discriminator was shown of a batch.

    Attributes:
        batch: the pictures.
        fake: the restored ones, cut off from the generator's graph.
        fake_maps: its maps of `fake`, with their graph; none if no adversarial loss asks for them.
        real_maps: its maps of the true pictures, where the generator's side asked for them.
        share: of the pictures of the step.
    """

    batch: Batch
    fake: Tensor
    fake_maps: list[Tensor]
    real_maps: list[Tensor] | None
    share: float


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
    """Move the generator and then the discriminator by one step; return the terms, still on the device.

    The discriminator looks at the restored pictures once: the generator's side and its own are two ends of the
    same maps, since its weights do not change between the two.
    """
    generator, discriminator = parts.generator, parts.discriminator
    for side in parts.sides().values():
        side.network.train()
        side.optimizer.zero_grad(set_to_none=True)
    terms: Terms = {}
    shown: list[Shown] = []
    for part, share in _parts_of(batch, parts.accumulate):
        # 1. Restore the pictures, and let the discriminator judge them.
        with engine.autocast():
            outputs = restore(generator.network, parts.keep, part.image, part.mask)
        one = _show(parts, part, outputs["restored"].detach(), engine, share)

        # 2. Differentiate the generator's losses.
        _differentiate_generator(parts, outputs, one, engine, terms)
        shown += [one] if one.fake_maps else []

    # 3. Move the generator.
    generator.optimizer.step()
    if parts.average is not None:
        parts.average.update_parameters(generator.network)

    # 4. Move the discriminator: tell real from fake, held in check by the penalties.
    if discriminator is not None and shown:
        for one in shown:
            _differentiate_discriminator(parts, discriminator.network, one, engine, number, random, terms)
        discriminator.optimizer.step()
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


def _parts_of(batch: Batch, count: int) -> Iterator[tuple[Batch, float]]:
    """Yield the batch in up to `count` parts, each with its share of the pictures."""
    size = math.ceil(len(batch.names) / count)
    for start in range(0, len(batch.names), size):
        rows = slice(start, start + size)
        part = Batch(image=batch.image[rows], mask=batch.mask[rows], truth=batch.truth[rows], names=batch.names[rows])
        yield part, len(part.names) / len(batch.names)


def _show(parts: Parts, batch: Batch, fake: Tensor, engine: Accelerator, share: float) -> Shown:
    adversarial = [loss for loss in parts.losses if loss.adversarial]
    fake_maps: list[Tensor] = []
    real_maps = None
    if adversarial and parts.discriminator is not None:
        fake.requires_grad_(True)
        with engine.autocast():
            fake_maps = judge(parts.discriminator.network, fake, batch)
            if any(loss.sees_real for loss in adversarial):
                real_maps = judge(parts.discriminator.network, batch.truth, batch)
    return Shown(batch=batch, fake=fake, fake_maps=fake_maps, real_maps=real_maps, share=share)


def _differentiate_generator(parts: Parts, outputs: Terms, shown: Shown, engine: Accelerator, terms: Terms) -> None:
    batch = shown.batch
    nothing = batch.truth.new_zeros(())
    adversarial, pictures = nothing, nothing
    for loss in parts.losses:
        if loss.adversarial:
            value = loss.call.generator(shown.fake_maps, shown.real_maps if loss.sees_real else None)
            adversarial = adversarial + loss.weight * value
        else:
            value = reconstruction(loss, outputs, batch.truth, batch.mask)
            pictures = pictures + loss.weight * value
        _add(terms, f"loss.{loss.label}", value, shown.share)
    _add(terms, "g", adversarial + pictures, shown.share)
    ends: list[tuple[Tensor, Tensor | None]] = []
    if pictures.requires_grad:
        ends.append((scaled(engine, pictures * shown.share), None))
    if adversarial.requires_grad:
        # The discriminator's own gradients wait for its side; the graph is kept for it.
        scaled(engine, adversarial * shown.share).backward(inputs=[shown.fake], retain_graph=True)
        ends.append((outputs["restored"], shown.fake.grad))
    ends = [(end, gradient) for end, gradient in ends if end.requires_grad]
    if ends:
        torch.autograd.backward([end for end, _ in ends], [gradient for _, gradient in ends])


def _differentiate_discriminator(
    parts: Parts,
    network: nn.Module,
    shown: Shown,
    engine: Accelerator,
    number: int,
    random: torch.Generator,
    terms: Terms,
) -> None:
    batch, fake_maps, real_maps = shown.batch, shown.fake_maps, shown.real_maps
    if real_maps is None:
        with engine.autocast():
            real_maps = judge(network, batch.truth, batch)
    _add(terms, "on_real", _mean(real_maps), shown.share)
    _add(terms, "on_fake", _mean(fake_maps), shown.share)
    on_fake, on_real = batch.truth.new_zeros(()), batch.truth.new_zeros(())
    for loss in parts.losses:
        if loss.adversarial:
            one_fake, one_real = loss.call.discriminator(fake_maps, real_maps)
            on_fake, on_real = on_fake + one_fake, on_real + one_real
    _add(terms, "d.real", on_real, shown.share)
    _add(terms, "d.fake", on_fake, shown.share)
    total = on_real + on_fake
    judgement = Judgement(
        discriminate=lambda picture: judge(network, picture, batch),
        real=batch.truth,
        fake=shown.fake.detach(),
        real_maps=real_maps,
        fake_maps=fake_maps,
        random=random,
    )
    for penalty in parts.penalties:
        if number % penalty.every == 0:
            # Outside autocast: a penalty differentiates twice, which half precision does not carry.
            value = penalty.call(judgement)
            _add(terms, f"penalty.{penalty.label}", value, shown.share)
            total = total + penalty.every * penalty.weight * value
    _add(terms, "d", total, shown.share)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if weights and total.requires_grad:
        scaled(engine, total * shown.share).backward(inputs=weights)


def _add(terms: Terms, name: str, value: Tensor, share: float) -> None:
    value = value.detach() if share == 1 else value.detach() * share
    terms[name] = terms[name] + value if name in terms else value


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
