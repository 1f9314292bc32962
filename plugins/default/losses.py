"""The published losses: the least-squares game, the pixel error and the structural similarity."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .ssim import ssim

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def distance(maps: list[Tensor], label: float) -> Tensor:
    """Return the mean squared distance of each map to `label`, averaged over the maps; a scalar."""
    return torch.stack([(verdict - label).square().mean() for verdict in maps]).mean()


class Lsgan:
    """The least-squares game: real pictures are labelled 1, restored ones 0.

    Reference: Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017, without its halves,
    as the published system has it.
    """

    def generator(self, fake: list[Tensor], real: list[Tensor] | None) -> Tensor:
        """Return mean (D(fake) - 1)^2; `real` is not used."""
        return distance(fake, 1.0)

    def discriminator(self, fake: list[Tensor], real: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean D(fake)^2 and mean (D(real) - 1)^2."""
        return distance(fake, 0.0), distance(real, 1.0)


def mse(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return mean (restored - truth)^2 over all values of (B, C, H, W), a scalar; `mask` is not used."""
    return F.mse_loss(restored, truth)


def structural(*, window: str, side: int, kernel: str, sigma: float, data_range: float, detach: bool) -> Loss:
    """Return the loss 1 - SSIM, averaged over the batch; the arguments are those of `ssim`.

    With `detach` it is a figure alone: computed, reported, and without a gradient.
    """

    def loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        seen = restored.detach() if detach else restored
        likeness = ssim(seen, truth, side=side, kernel=kernel, sigma=sigma, window=window, data_range=data_range)
        return 1 - likeness.mean()

    return loss
