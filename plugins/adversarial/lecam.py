"""The LeCam penalty, which remembers how the discriminator judged so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .games import mean

if TYPE_CHECKING:
    from toolbox import PenaltyContext


class LeCam(nn.Module):
    """Holds the verdict on real pictures near the running mean of that on restored ones, and the reverse.

    mean max(0, r - F)^2 + mean max(0, R - f)^2, with r and f the values of the maps of real and of restored
    pictures, and R and F running means of theirs: R <- decay R + (1 - decay) mean r before each use, and the
    first batch's means to begin with. One R and one F serve all maps. The paper prints the squares without
    max(0, ·); its code has it, so that only what the discriminator parts is drawn together.

    With a cadence the means run over the batches that it is used on.

    Reference: Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data", CVPR 2021.
    """

    def __init__(self, decay: float = 0.99) -> None:
        """Make the penalty with nothing remembered."""
        super().__init__()
        self.decay = decay
        self.real: Tensor
        self.fake: Tensor
        self.uses: Tensor
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))
        self.register_buffer("uses", torch.zeros((), dtype=torch.int64))

    def forward(self, judgement: PenaltyContext) -> Tensor:
        """Take the batch into the running means and return the penalty, a scalar."""
        with torch.no_grad():
            # A tensor on the device, so that no step waits for its value.
            share = torch.where(self.uses == 0, 1.0, 1 - self.decay).to(self.real)
            self.real.lerp_(mean(judgement.real_maps).to(self.real), share)
            self.fake.lerp_(mean(judgement.fake_maps).to(self.fake), share)
            self.uses += 1
        # Copies, since the next use writes into the buffers and this graph may still be needed.
        real, fake = self.real.clone(), self.fake.clone()
        on_real = mean([F.relu(one - fake).square() for one in judgement.real_maps])
        return on_real + mean([F.relu(real - one).square() for one in judgement.fake_maps])
