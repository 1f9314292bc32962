"""The gradient penalty of the published discriminator (WGAN-GP)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from toolbox import PenaltyContext


def gradient_penalty(target: float) -> Callable[[PenaltyContext], Tensor]:
    """Return the penalty mean (|dD/dp|_2 - target)^2, with p a random blend of a real and a restored picture.

    p = a real + (1 - a) fake, with one a ~ U(0, 1) for each sample. D is the sum of all values of all output maps,
    so each sample has one gradient (3, H, W). The norm is taken over all its values.

    Reference: Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017.
    """

    def penalty(context: PenaltyContext) -> Tensor:
        real, fake = context.real, context.fake
        alpha = context.uniform(1, 1, 1)
        blend = (alpha * real + (1 - alpha) * fake).requires_grad_()
        output_sum = torch.stack([output.sum() for output in context.discriminate(blend)]).sum()
        (gradient,) = torch.autograd.grad(output_sum, blend, create_graph=True)
        return (gradient.flatten(1).norm(2, dim=1) - target).square().mean()

    return penalty
