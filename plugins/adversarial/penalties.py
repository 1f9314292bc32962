"""Penalties on the discriminator's gradient at real pictures, at restored ones, and near real ones.

In all of them D(x) is the sum over all maps and patches, so that one gradient of the size of a picture comes
out. Patches add up: at twice the side the squared gradient is about four times as great.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from toolbox import PenaltyContext


def slopes(discriminate: Callable[[Tensor], list[Tensor]], pictures: Tensor) -> Tensor:
    """Return the gradient of D at `pictures` (B, 3, H, W), flat, (B, 3 H W), differentiable in D's weights."""
    at = pictures.detach().requires_grad_()
    verdict = torch.stack([one.sum() for one in discriminate(at)]).sum()
    (gradient,) = torch.autograd.grad(verdict, at, create_graph=True)
    return gradient.flatten(1)


def r1(judgement: PenaltyContext) -> Tensor:
    """Return mean |dD/dx|^2 / 2 at real pictures x; the recipe's weight is the paper's gamma.

    Reference: Mescheder et al., "Which Training Methods for GANs do actually Converge?", ICML 2018.
    """
    return slopes(judgement.discriminate, judgement.real).square().sum(1).mean() / 2


def r2(judgement: PenaltyContext) -> Tensor:
    """Return mean |dD/dx|^2 / 2 at restored pictures x; the recipe's weight is the paper's gamma.

    Reference: Mescheder et al., "Which Training Methods for GANs do actually Converge?", ICML 2018.
    """
    return slopes(judgement.discriminate, judgement.fake).square().sum(1).mean() / 2


def dragan(*, spread: float, target: float) -> Callable[[PenaltyContext], Tensor]:
    """Return the penalty mean (|dD/dp|_2 - target)^2 at points p near real pictures.

    p = x + a spread s u: x real, s the standard deviation of all values of the batch, u ~ U(0, 1) a value,
    a ~ U(0, 1) a sample.

    Reference: Kodali et al., "On Convergence and Stability of GANs", 2017, with the noise of its code.
    """

    def penalty(judgement: PenaltyContext) -> Tensor:
        real = judgement.real
        amount, noise = judgement.uniform(1, 1, 1), judgement.uniform(*real.shape[1:])
        near = real + amount * spread * real.std() * noise
        return (slopes(judgement.discriminate, near).norm(2, dim=1) - target).square().mean()

    return penalty
