"""The one loop. It reads like the algorithm and yields a record a step.

A step, as published: the generator first, against the discriminator as it stands; then the discriminator on
the same restored pictures. A batch that is too large for the memory goes through in parts, whose gradients add up,
and so do those of several processes, each of which has its own rows of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import interpolate

from toolbox.color import luma
from toolbox.data.batch import Batch
from toolbox.distributed import collectives, fsdp
from toolbox.distributed.accelerator import scale_loss, step_optimizers, unscale_norm
from toolbox.distributed.batch_slice import BatchSlice
from toolbox.hooks.protocols import PenaltyContext
from toolbox.models.forward import run_generator
from toolbox.training.state import LossTerm, NetworkState, TrainState
from toolbox.training.step_metrics import (
    PendingRecord,
    StepRecord,
    Terms,
    discriminator_stats,
    measure_step,
    read_record,
)


@dataclass(frozen=True, kw_only=True)
class AdversarialPass:
    """What the discriminator was shown of a batch.

    Attributes:
        batch: the pictures.
        fake: the restored ones, cut off from the generator's graph.
        fake_maps: its maps of `fake`, with their graph; none if no adversarial loss asks for them.
        real_maps: its maps of the true pictures, where the generator's side asked for them.
    """

    batch: Batch
    fake: Tensor
    fake_maps: list[Tensor]
    real_maps: list[Tensor] | None


def take_steps(
    parts: TrainState,
    batches: Iterable[Batch],
    accelerator: Accelerator,
    *,
    seed: int,
    first: int,
    pause: Callable[[], bool] = lambda: False,
) -> Iterator[StepRecord]:
    """Take a step a batch and yield its record, one step late so that no step waits for the device.

    Args:
        parts: what trains.
        batches: the batches, on the accelerator's device.
        accelerator: precision and processes.
        seed: of the run; each step draws from (seed, step) alone, so that a continued run draws the same.
        first: the number of the first step.
        pause: asked after every step; True ends the training there, every step taken and recorded. Among several
            processes one that asks is enough: with its record the others read of it, so all take one step more.

    Raises:
        NotFinite: a term is not; what trains is then as it was before that step.
    """
    pending: PendingRecord | None = None
    halted = torch.zeros((), device=accelerator.device)
    for number, batch in enumerate(batches, start=first):
        terms = take_step(parts, batch, accelerator, number=number, random=seed_step(seed, number), halted=halted)
        asks = pause()
        taken = measure_step(number, terms, batch, asks)
        # Among several processes what all of them read of a step decides, so that all end after the same one.
        ending = asks and collectives.world_size() == 1
        if pending is not None:
            told, asked = read_record(pending)
            ending = ending or asked
            yield told
        pending = taken
        if ending:
            break
    if pending is not None:
        yield read_record(pending)[0]


def seed_step(seed: int, number: int) -> torch.Generator:
    """Return the random numbers of step `number`, and seed the global ones (dropout) for it.

    Those returned are the same in every process, the global ones are each process's own.
    """
    state = np.random.SeedSequence([seed, number]).generate_state(2, np.uint64)
    own = np.random.SeedSequence([seed, number, *[collectives.rank()] * (collectives.world_size() > 1)])
    torch.manual_seed(int(own.generate_state(1, np.uint64)[0] >> np.uint64(1)))
    return torch.Generator().manual_seed(int(state[1] >> np.uint64(1)))


def take_step(
    parts: TrainState,
    batch: Batch,
    accelerator: Accelerator,
    *,
    number: int,
    random: torch.Generator,
    mark: Callable[[str], None] = lambda part: None,
    halted: Tensor | None = None,
) -> Terms:
    """Move the generator and then the discriminator by one step; return the terms, still on the device.

    The discriminator looks at the restored pictures once: the generator's side and its own are two ends of the
    same maps, since its weights do not change between the two. `mark` is told the name of each part of the step
    when it has been launched, for measuring. Among several processes the terms are this one's part of the sums.
    `halted`, a scalar on the device, becomes 1 once a step is not finite, and where it is 1 nothing moves: the host
    learns of such a step when the next is under way.
    """
    generator, discriminator = parts.generator, parts.discriminator
    for side in parts.sides().values():
        side.network.train()
        side.optimizer.zero_grad(set_to_none=True)
    terms: Terms = {}
    shown: list[AdversarialPass] = []
    learned = [(value, value.clone()) for value in parts.buffers()]
    for part in _micro_batches(batch, parts.accumulate):
        # 1. Restore the pictures, and let the discriminator judge them.
        with accelerator.autocast():
            outputs = run_generator(generator.network, parts.keep, part.image, part.mask)
        one = _adversarial_pass(parts, part, outputs["restored"].detach(), accelerator)

        mark("restore and judge")

        # 2. Differentiate the generator's losses.
        _backward_generator(parts, outputs, one, accelerator, terms)
        shown += [one] if one.fake_maps else []
        mark("generator's losses and gradients")

    # 3. Differentiate the discriminator's: tell real from fake, held in check by the penalties.
    moved, sums = [generator], [_sum_gradients(generator.network)]
    state = random.get_state()
    if discriminator is not None and shown:
        for one in shown:
            drawn = random.set_state(state)
            _backward_discriminator(parts, discriminator.network, one, accelerator, number, drawn, terms)
        moved, sums = [*moved, discriminator], [*sums, _sum_gradients(discriminator.network)]
        mark("discriminator's losses and gradients")

    # 4. Move both, by the gradients of all processes, which travel meanwhile; so does whether a term of one is wrong.
    wrong = (~torch.stack([value.float() for value in terms.values()]).isfinite()).any().float()
    for finish in [*sums, collectives.all_reduce_sum([wrong])]:
        finish()
    wrong = _note_norms(moved, terms, wrong, halted, accelerator)
    with fsdp.LocalShards():
        step_optimizers(accelerator, [side.optimizer for side in moved], wrong)
    for value, before in learned:
        value.copy_(torch.where(wrong > 0, before, value))
    collectives.all_reduce_mean(parts.buffers(), batch.position.weight)
    if parts.average is not None:
        parts.average.update_parameters(generator.network)
    mark("updates")
    return terms


def reconstruction_loss(loss: LossTerm, outputs: Terms, truth: Tensor, mask: Tensor) -> Tensor:
    """Apply a reconstruction loss to the output that it looks at, with the truth brought to its form."""
    output = outputs[loss.on]
    if output.shape[1] == 1:
        truth = luma(truth)
    if output.shape[-2:] != truth.shape[-2:]:
        truth = interpolate(truth, output.shape[-2:], mode="area")
        mask = interpolate(mask, output.shape[-2:], mode="area").ceil()
    return loss.call(output, truth, mask)


def discriminate(network: nn.Module, picture: Tensor, batch: Batch) -> list[Tensor]:
    """Return the discriminator's maps of `picture`, in the batch's dtype."""
    return [values.to(batch.truth.dtype) for values in network(picture, batch.image, batch.mask)]


def _sum_gradients(network: nn.Module) -> Callable[[], None]:
    # What is spread over the processes was summed on its way to them.
    gradients = (weight.grad for weight in network.parameters() if weight.grad is not None)
    return collectives.all_reduce_sum(collectives.replicated(gradients))


def _note_norms(
    moved: list[NetworkState], terms: Terms, wrong: Tensor, halted: Tensor | None, accelerator: Accelerator
) -> Tensor:
    """Note the gradients' norms; return what is not 0 where one is not finite, or a term, or one was before."""
    for name, side in zip(("g", "d"), moved, strict=False):
        gradients = [weight.grad for weight in side.network.parameters() if weight.grad is not None]
        if gradients:
            norm = unscale_norm(accelerator, fsdp.total_norm(gradients).detach())
            wrong = torch.maximum(wrong, (~norm.isfinite()).to(wrong))
            # The same in every process, and summed over them like every term.
            terms[f"gradient.{name}"] = norm / collectives.world_size()
    return wrong if halted is None else halted.copy_(torch.maximum(halted, wrong))


def _micro_batches(batch: Batch, count: int) -> Iterator[Batch]:
    """Yield the batch in up to `count` parts of nearly the same size."""
    here, place = len(batch.image), batch.position
    # From what every process has at least, so that all go through the networks equally often.
    least = max(1, place.total // collectives.world_size())
    number = math.ceil(least / math.ceil(least / count))
    for start, stop in pairwise(here * part // number for part in range(number + 1)):
        rows = slice(start, stop)
        yield Batch(
            image=batch.image[rows],
            mask=batch.mask[rows],
            truth=batch.truth[rows],
            names=batch.names[rows],
            batch_slice=BatchSlice(
                start=place.start + start, total=place.total, weight=place.weight * (stop - start) / here
            ),
        )


def _adversarial_pass(parts: TrainState, batch: Batch, fake: Tensor, accelerator: Accelerator) -> AdversarialPass:
    adversarial = [loss for loss in parts.losses if loss.adversarial]
    fake_maps: list[Tensor] = []
    real_maps = None
    if adversarial and parts.discriminator is not None:
        fake.requires_grad_(True)
        with accelerator.autocast():
            fake_maps = discriminate(parts.discriminator.network, fake, batch)
            if any(loss.sees_real for loss in adversarial):
                real_maps = discriminate(parts.discriminator.network, batch.truth, batch)
    return AdversarialPass(batch=batch, fake=fake, fake_maps=fake_maps, real_maps=real_maps)


def _backward_generator(
    parts: TrainState, outputs: Terms, shown: AdversarialPass, accelerator: Accelerator, terms: Terms
) -> None:
    batch = shown.batch
    adversarial = pictures = batch.truth.new_zeros(())
    for loss in parts.losses:
        if loss.adversarial:
            value = loss.call.generator(shown.fake_maps, shown.real_maps if loss.sees_real else None)
            adversarial = adversarial + loss.weight * value
        else:
            value = reconstruction_loss(loss, outputs, batch.truth, batch.mask)
            pictures = pictures + loss.weight * value
        _add_term(terms, f"loss.{loss.label}", value, shown.batch.position.weight)
    _add_term(terms, "g", adversarial + pictures, shown.batch.position.weight)
    ends: list[tuple[Tensor, Tensor | None]] = []
    if pictures.requires_grad:
        ends.append((scale_loss(accelerator, pictures * shown.batch.position.weight), None))
    if adversarial.requires_grad:
        # The discriminator's own gradients wait for its side; the graph is kept for it.
        scale_loss(accelerator, adversarial * shown.batch.position.weight).backward(
            inputs=[shown.fake], retain_graph=True
        )
        ends.append((outputs["restored"], shown.fake.grad))
    ends = [(end, gradient) for end, gradient in ends if end.requires_grad]
    if ends:
        torch.autograd.backward([end for end, _ in ends], [gradient for _, gradient in ends])


def _backward_discriminator(
    parts: TrainState,
    network: nn.Module,
    shown: AdversarialPass,
    accelerator: Accelerator,
    number: int,
    random: torch.Generator,
    terms: Terms,
) -> None:
    batch, fake_maps, real_maps = shown.batch, shown.fake_maps, shown.real_maps
    if real_maps is None:
        with accelerator.autocast():
            real_maps = discriminate(network, batch.truth, batch)
    for name, value in discriminator_stats(real_maps, fake_maps).items():
        _add_term(terms, name, value, shown.batch.position.weight)
    on_fake, on_real = batch.truth.new_zeros(()), batch.truth.new_zeros(())
    for loss in parts.losses:
        if loss.adversarial:
            one_fake, one_real = loss.call.discriminator(fake_maps, real_maps)
            on_fake, on_real = on_fake + one_fake, on_real + one_real
    _add_term(terms, "d.real", on_real, shown.batch.position.weight)
    _add_term(terms, "d.fake", on_fake, shown.batch.position.weight)
    total = on_real + on_fake
    judgement = PenaltyContext(
        discriminate=lambda picture: discriminate(network, picture, batch),
        real=batch.truth,
        fake=shown.fake.detach(),
        real_maps=real_maps,
        fake_maps=fake_maps,
        random=random,
        batch_start=batch.position.start,
        batch_total=batch.position.total,
    )
    for penalty in parts.penalties:
        if number % penalty.every == 0:
            # Outside autocast: a penalty differentiates twice, which half precision does not carry.
            value = penalty.call(judgement)
            _add_term(terms, f"penalty.{penalty.label}", value, shown.batch.position.weight)
            total = total + penalty.every * penalty.weight * value
    _add_term(terms, "d", total, shown.batch.position.weight)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if weights and total.requires_grad:
        scale_loss(accelerator, total * shown.batch.position.weight).backward(inputs=weights)


def _add_term(terms: Terms, name: str, value: Tensor, share: float) -> None:
    value = value.detach() if share == 1 else value.detach() * share
    terms[name] = terms[name] + value if name in terms else value
