"""The loss of the colour classes: how far the colours that a network thinks likely are from the true one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from toolbox.color import cbcr

from .classes import shares

LEAST = 1e-8


def color_classes(vivid: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss mean w * KL(t || p): p the classes' probabilities, t the shares of the true colour.

    The weight of a pixel is w = 1 + vivid * min(r / 0.1, 1) for its true chroma r, over the mean of all, since
    most pixels of photographs are nearly gray. What has one or three channels is no logits but a picture; p is then
    the shares of its own colour.
    """

    def loss(output: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        picture = output.shape[1] in (1, 3)
        logits = shares(cbcr(output.expand(-1, 3, -1, -1))).clamp_min(LEAST).log() if picture else output
        with torch.no_grad():
            chroma = cbcr(truth.expand(-1, 3, -1, -1))
            wanted = shares(chroma)
            weight = 1 + vivid * (chroma.square().sum(1).sqrt() / 0.1).clamp_max(1)
            weight = weight / weight.mean()
        apart = wanted * (wanted.clamp_min(LEAST).log() - logits.log_softmax(1))
        return (weight * apart.sum(1)).mean()

    return loss
