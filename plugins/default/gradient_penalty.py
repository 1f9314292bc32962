"""The published penalty on the discriminator's gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from toolbox import PenaltyContext


def gradient_penalty(target: float) -> Callable[[PenaltyContext], Tensor]:
    """Return the penalty mean (|dD/dp|_2 - target)^2 at points p between real and restored pictures.

    p = a real + (1 - a) fake with one a ~ U(0, 1) a sample; D is the sum over all maps and patches, so that
    one gradient (3, H, W) a sample comes out, whose norm is over all its values.

    Reference: Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017.
    """

    def penalty(judgement: PenaltyContext) -> Tensor:
        real, fake = judgement.real, judgement.fake
        alpha = judgement.uniform(1, 1, 1)
        between = (alpha * real + (1 - alpha) * fake).requires_grad_()
        verdict = torch.stack([one.sum() for one in judgement.discriminate(between)]).sum()
        (gradient,) = torch.autograd.grad(verdict, between, create_graph=True)
        return (gradient.flatten(1).norm(2, dim=1) - target).square().mean()

    return penalty
