"""The LeCam penalty, which keeps running means of the discriminator's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .losses import mean_of_maps

if TYPE_CHECKING:
    from toolbox import PenaltyContext


class LeCam(nn.Module):
    """mean max(0, r - F)^2 + mean max(0, R - f)^2.

    r and f are the values of the maps of real and of restored pictures; R and F are running means of r and f. Before
    each use, R <- decay R + (1 - decay) mean r, and F likewise. The first batch sets both. All maps share one R and
    one F.

    The paper prints the squares without max(0, ·). Its code has it, so only values that the discriminator tells
    apart are penalized. With a cadence (`every`), the running means use only the batches at which the penalty is
    computed.

    Reference: Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data", CVPR 2021.
    """

    def __init__(self, decay: float = 0.99) -> None:
        """Make the penalty without running means; `decay` is in [0, 1)."""
        super().__init__()
        self.decay = decay
        self.real: Tensor
        self.fake: Tensor
        self.uses: Tensor
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))
        self.register_buffer("uses", torch.zeros((), dtype=torch.int64))

    def forward(self, context: PenaltyContext) -> Tensor:
        """Update the running means with the batch and return the penalty, a scalar."""
        with torch.no_grad():
            # torch.where on the device: reading `uses` in Python would make the step wait for the device.
            weight = torch.where(self.uses == 0, 1.0, 1 - self.decay).to(self.real)
            self.real.lerp_(mean_of_maps(context.real_maps).to(self.real), weight)
            self.fake.lerp_(mean_of_maps(context.fake_maps).to(self.fake), weight)
            self.uses += 1
        # Copies: the next use overwrites the buffers, and the graph of this one may still be needed then.
        real_mean, fake_mean = self.real.clone(), self.fake.clone()
        real_term = mean_of_maps([F.relu(output - fake_mean).square() for output in context.real_maps])
        return real_term + mean_of_maps([F.relu(real_mean - output).square() for output in context.fake_maps])
