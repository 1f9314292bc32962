"""The training step of flow matching."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .network import scaled_colors

if TYPE_CHECKING:
    from toolbox.steps import Batch, StepContext


def flow_matching_step(context: StepContext, batch: Batch) -> None:
    """Compute the gradients of the squared error of the velocity, at a random time of each picture.

    The colours move in a straight line from Gaussian noise to those of the photograph, so the velocity is their
    difference. Only known pixels count, because the luma of the lost region is not known.
    """
    # Drawn for the full batch: a picture gets the same numbers however the batch is split.
    height, width = batch.truth.shape[-2:]
    all_noise = torch.randn(batch.position.total, 2, height, width, generator=context.random)
    all_times = torch.rand(batch.position.total, generator=context.random)
    for part in context.micro_batches(batch):
        rows = slice(part.position.start, part.position.start + len(part.truth))
        noise, time = all_noise[rows].to(part.truth), all_times[rows].to(part.truth)
        colors = scaled_colors(part.truth)
        moved = torch.lerp(noise, colors, time[:, None, None, None])
        with context.autocast():
            velocity = context.generator(part.image, part.mask, moved, time)
        context.mark("forward pass")
        error = (velocity.to(colors.dtype) - (colors - noise)).square()
        loss = (error * (1 - part.mask)).mean()
        context.record("g", loss, part)
        context.backward(loss, part)
        context.mark("loss and gradients")
