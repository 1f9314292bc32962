"""Penalties on the discriminator's gradient: at real pictures, at restored pictures, and near real pictures.

In all of them, D(x) is the sum of all values of all output maps, so each picture has one gradient of its own size.
The values add up: at twice the side, the squared gradient is about four times as large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from toolbox import PenaltyContext


def input_gradients(discriminate: Callable[[Tensor], list[Tensor]], pictures: Tensor) -> Tensor:
    """Return the gradients of D at `pictures` (B, 3, H, W), flattened to (B, 3 H W).

    They can be differentiated in the weights of D.
    """
    inputs = pictures.detach().requires_grad_()
    output_sum = torch.stack([output.sum() for output in discriminate(inputs)]).sum()
    (gradient,) = torch.autograd.grad(output_sum, inputs, create_graph=True)
    return gradient.flatten(1)


def r1(context: PenaltyContext) -> Tensor:
    """Return mean |dD/dx|^2 / 2 at real pictures x; the weight in the recipe is the paper's gamma.

    Reference: Mescheder et al., "Which Training Methods for GANs do actually Converge?", ICML 2018.
    """
    return input_gradients(context.discriminate, context.real).square().sum(1).mean() / 2


def r2(context: PenaltyContext) -> Tensor:
    """Return mean |dD/dx|^2 / 2 at restored pictures x; the weight in the recipe is the paper's gamma.

    Reference: Mescheder et al., "Which Training Methods for GANs do actually Converge?", ICML 2018.
    """
    return input_gradients(context.discriminate, context.fake).square().sum(1).mean() / 2


def dragan(*, spread: float, target: float) -> Callable[[PenaltyContext], Tensor]:
    """Return the penalty mean (|dD/dp|_2 - target)^2 at points p near real pictures.

    p = x + a spread s u, with a real picture x, the standard deviation s of all values of the batch, u ~ U(0, 1) for
    each value, and a ~ U(0, 1) for each sample.

    Reference: Kodali et al., "On Convergence and Stability of GANs", 2017, with the noise of its code.
    """

    def penalty(context: PenaltyContext) -> Tensor:
        real = context.real
        amount, noise = context.uniform(1, 1, 1), context.uniform(*real.shape[1:])
        noisy = real + amount * spread * real.std() * noise
        return (input_gradients(context.discriminate, noisy).norm(2, dim=1) - target).square().mean()

    return penalty
