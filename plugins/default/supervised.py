"""The training step without a discriminator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolbox.steps import Batch, StepContext


def supervised_step(context: StepContext, batch: Batch) -> None:
    """Compute the gradients of the weighted sum of all reconstruction losses, and record the terms."""
    for part in context.micro_batches(batch):
        outputs = context.generate(part)
        context.mark("forward pass")
        total = part.truth.new_zeros(())
        for loss in context.losses:
            value = context.reconstruction(loss, outputs, part)
            context.record(f"loss.{loss.label}", value, part)
            total = total + loss.weight * value
        context.record("g", total, part)
        context.backward(total, part)
        context.mark("losses and gradients")
