"""The losses of the published system: least-squares GAN, mean squared error and SSIM."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .ssim import ssim

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def squared_distance(maps: list[Tensor], label: float) -> Tensor:
    """Return the mean of (map - label)^2 for each map, averaged over the maps; a scalar."""
    return torch.stack([(output - label).square().mean() for output in maps]).mean()


class Lsgan:
    """Least-squares adversarial loss: real pictures have label 1, restored pictures have label 0.

    Reference: Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017. The factors 1/2 of the paper
    are left out, as in the published system.
    """

    def generator(self, fake: list[Tensor], real: list[Tensor] | None) -> Tensor:
        """Return mean (D(fake) - 1)^2; `real` is not used."""
        return squared_distance(fake, 1.0)

    def discriminator(self, fake: list[Tensor], real: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean D(fake)^2 and mean (D(real) - 1)^2."""
        return squared_distance(fake, 0.0), squared_distance(real, 1.0)


def mse(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return mean (restored - truth)^2 over all values of (B, C, H, W), a scalar; `mask` is not used."""
    return F.mse_loss(restored, truth)


def ssim_loss(*, window: str, side: int, kernel: str, sigma: float, data_range: float, detach: bool) -> Loss:
    """Return the loss 1 - SSIM, averaged over the batch.

    The arguments are those of `ssim`. With `detach` the loss has no gradient: it is reported but trains nothing.
    """

    def loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        if detach:
            restored = restored.detach()
        similarity = ssim(restored, truth, side=side, kernel=kernel, sigma=sigma, window=window, data_range=data_range)
        return 1 - similarity.mean()

    return loss
