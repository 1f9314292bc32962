"""The adversarial training step, as published: the generator first, then the discriminator.

Both use the same restored pictures, and the discriminator is called on them only once: its weights do not change within
a step, so the gradients of both networks are computed from the same maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toolbox.data.batch import Batch
from toolbox.hooks.protocols import PenaltyContext
from toolbox.models.component_calls import call_adversarial_discriminator, call_adversarial_generator, call_penalty
from toolbox.models.component_watch import watch_of
from toolbox.models.gradient_checks import no_picture_gradient, require_weight_gradient
from toolbox.training.step_context import StepContext, discriminate, require_trained_output
from toolbox.training.step_metrics import Terms, discriminator_stats


@dataclass(frozen=True, kw_only=True)
class AdversarialPass:
    """The discriminator's maps of a batch.

    Attributes:
        batch: the pictures.
        fake: the restored pictures, detached from the generator's graph.
        fake_maps: the discriminator's maps of `fake`, with their graph; empty without an adversarial loss.
        real_maps: the maps of the true pictures, if the generator's side of a loss needs them.
    """

    batch: Batch
    fake: Tensor
    fake_maps: list[Tensor]
    real_maps: list[Tensor] | None


def adversarial_step(context: StepContext, batch: Batch) -> None:
    """Compute the gradients of the generator and of the discriminator on a batch, and record the terms."""
    state = context.state
    passes: list[AdversarialPass] = []
    for part in context.micro_batches(batch):
        # 1. Restore the pictures; the discriminator rates them.
        outputs = context.generate(part)
        adversarial = _adversarial_pass(context, part, outputs["restored"].detach())
        context.mark("forward passes")

        # 2. Differentiate the generator's losses.
        _backward_generator(context, outputs, adversarial)
        passes += [adversarial] if adversarial.fake_maps else []
        context.mark("generator's losses and gradients")
    context.gradients_complete("generator")

    # 3. Differentiate the discriminator's losses and penalties.
    if state.discriminator is not None and passes:
        random_state = context.random.get_state()
        for adversarial in passes:
            context.random.set_state(random_state)
            _backward_discriminator(context, state.discriminator.network, adversarial)
        context.gradients_complete("discriminator")
        context.mark("discriminator's losses and gradients")


def _adversarial_pass(context: StepContext, batch: Batch, fake: Tensor) -> AdversarialPass:
    losses = [loss for loss in context.state.losses if loss.adversarial]
    fake_maps: list[Tensor] = []
    real_maps = None
    if losses and context.state.discriminator is not None:
        network = context.state.discriminator.network
        fake.requires_grad_(True)
        with context.autocast():
            fake_maps = discriminate(network, fake, batch)
            if any(loss.sees_real for loss in losses):
                real_maps = discriminate(network, batch.truth, batch)
    return AdversarialPass(batch=batch, fake=fake, fake_maps=fake_maps, real_maps=real_maps)


def _backward_generator(context: StepContext, outputs: Terms, adversarial: AdversarialPass) -> None:
    batch = adversarial.batch
    adversarial_total = reconstruction_total = batch.truth.new_zeros(())
    for loss in context.state.losses:
        if loss.adversarial:
            real_maps = adversarial.real_maps if loss.sees_real else None
            value = call_adversarial_generator(loss.watch, loss.call, adversarial.fake_maps, real_maps)
            require_trained_output(context.generator, loss, outputs["restored"])
            adversarial_total = adversarial_total + loss.weight * value
        else:
            value = context.reconstruction(loss, outputs, batch)
            reconstruction_total = reconstruction_total + loss.weight * value
        context.record(f"loss.{loss.label}", value, batch)
    context.record("g", adversarial_total + reconstruction_total, batch)
    roots: list[tuple[Tensor, Tensor | None]] = []
    if reconstruction_total.requires_grad:
        roots.append((context.scaled(reconstruction_total, batch), None))
    if adversarial_total.requires_grad:
        # The gradients stop at the restored pictures and at the weights of losses: those of the discriminator come from
        # its own losses. The graph of the maps is kept for them.
        inputs = [adversarial.fake, *context.loss_weights(adversarial=True)]
        context.backward(adversarial_total, batch, inputs=inputs, retain_graph=True)
        if adversarial.fake.grad is None and context.state.discriminator is not None:
            network = context.state.discriminator.network
            raise no_picture_gradient(watch_of(network), network)
        roots.append((outputs["restored"], adversarial.fake.grad))
    roots = [(root, gradient) for root, gradient in roots if root.requires_grad]
    if roots:
        torch.autograd.backward([root for root, _ in roots], [gradient for _, gradient in roots])
        require_weight_gradient(watch_of(context.generator), context.generator)


def _backward_discriminator(context: StepContext, network: nn.Module, adversarial: AdversarialPass) -> None:
    batch, fake_maps, real_maps = adversarial.batch, adversarial.fake_maps, adversarial.real_maps
    if real_maps is None:
        with context.autocast():
            real_maps = discriminate(network, batch.truth, batch)
    for name, value in discriminator_stats(real_maps, fake_maps).items():
        context.record(name, value, batch)
    on_fake, on_real = batch.truth.new_zeros(()), batch.truth.new_zeros(())
    for loss in context.state.losses:
        if loss.adversarial:
            fake_term, real_term = call_adversarial_discriminator(loss.watch, loss.call, fake_maps, real_maps)
            on_fake, on_real = on_fake + fake_term, on_real + real_term
    context.record("d.real", on_real, batch)
    context.record("d.fake", on_fake, batch)
    total = on_real + on_fake
    penalty_context = PenaltyContext(
        # Without autocast: a penalty differentiates twice, and half precision is not accurate enough for that.
        discriminate=lambda picture: discriminate(network, picture, batch),
        real=batch.truth,
        fake=adversarial.fake.detach(),
        real_maps=real_maps,
        fake_maps=fake_maps,
        random=context.random,
        batch_start=batch.position.start,
        batch_total=batch.position.total,
    )
    for penalty in context.state.penalties:
        if context.number % penalty.every == 0:
            value = call_penalty(penalty.watch, penalty.call, penalty_context, network)
            context.record(f"penalty.{penalty.label}", value, batch)
            total = total + penalty.every * penalty.weight * value
    context.record("d", total, batch)
    weights: list[Tensor] = [weight for weight in network.parameters() if weight.requires_grad]
    if weights and total.requires_grad:
        context.backward(total, batch, inputs=weights)
        require_weight_gradient(watch_of(network), network)
