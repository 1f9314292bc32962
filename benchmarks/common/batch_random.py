"""Random numbers for a batch, drawn on its device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-7


@dataclass(frozen=True, kw_only=True)
class BatchRandom:
    """Draws one number for each picture of a batch.

    Attributes:
        count: number of pictures.
        generator: torch's generator; its device is that of the batch.
    """

    count: int
    generator: torch.Generator

    @classmethod
    def seeded(cls, count: int, device: torch.device, seed: int, step: int) -> BatchRandom:
        """Return the draws of a step; the same seed and step give the same numbers on the same device."""
        # Seeds are far apart, so that no step of one gets the numbers of a step of another.
        return cls(count=count, generator=torch.Generator(device).manual_seed(seed * 1_000_003 + step))

    @property
    def device(self) -> torch.device:
        """The device of the numbers."""
        return self.generator.device

    def uniform(self, low: float, high: float) -> Tensor:
        """Return numbers from `low` to `high`, (B, 1, 1, 1)."""
        return low + (high - low) * torch.rand(self.count, 1, 1, 1, generator=self.generator, device=self.device)

    def chance(self, share: float) -> Tensor:
        """Return True for a `share` of the pictures, (B, 1, 1, 1)."""
        return self.uniform(0, 1) < share

    def integers(self, low: int, high: int) -> Tensor:
        """Return whole numbers from `low` to `high` - 1, (B, 1, 1, 1)."""
        return torch.randint(low, high, (self.count, 1, 1, 1), generator=self.generator, device=self.device)

    def normal(self, height: int, width: int) -> Tensor:
        """Return standard normal numbers, (B, 1, height, width)."""
        return torch.randn(self.count, 1, height, width, generator=self.generator, device=self.device)

    def points(self, count: int) -> Tensor:
        """Return `count` points (y, x) in [0, 1], (B, count, 2)."""
        return torch.rand(self.count, count, 2, generator=self.generator, device=self.device)

    def weights(self, concentrations: list[int]) -> Tensor:
        """Return positive weights with the sum 1, of a Dirichlet distribution, (B, len(concentrations), 1, 1)."""
        # A sum of k exponential numbers has a gamma distribution of shape k, and their shares a Dirichlet distribution.
        draws = torch.rand(self.count, sum(concentrations), generator=self.generator, device=self.device)
        sums = torch.stack([part.sum(1) for part in (-draws.clamp_min(TINY).log()).split(concentrations, dim=1)], dim=1)
        return (sums / sums.sum(1, keepdim=True))[..., None, None]
