"""The loss of the colour classes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from toolbox.color import cbcr

from .classes import shares

# Smallest probability, so that its logarithm is finite.
LEAST = 1e-8


def color_classes(vivid: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss mean w * KL(t || p), with p the predicted and t the true probabilities of the classes.

    t is the soft assignment of the true colour to the classes. The weight of a pixel with true chroma r is
    w = 1 + vivid * min(r / 0.1, 1), divided by the mean of w, because most pixels of photographs are nearly gray. The
    loss takes logits, (B, COUNT, H, W). It also takes a picture with one or three channels; then p is the soft
    assignment of the picture's colour.
    """

    def loss(output: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        is_picture = output.shape[1] in (1, 3)
        logits = shares(cbcr(output.expand(-1, 3, -1, -1))).clamp_min(LEAST).log() if is_picture else output
        with torch.no_grad():
            chroma = cbcr(truth.expand(-1, 3, -1, -1))
            target = shares(chroma)
            weight = 1 + vivid * (chroma.square().sum(1).sqrt() / 0.1).clamp_max(1)
            weight = weight / weight.mean()
        divergence = target * (target.clamp_min(LEAST).log() - logits.log_softmax(1))
        return (weight * divergence.sum(1)).mean()

    return loss
