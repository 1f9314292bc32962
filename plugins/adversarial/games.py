"""Adversarial losses. Each is a mean over the values of every map, averaged over the maps.

Letters: r a value of a map of real pictures, f of restored ones; softplus(x) = ln(1 + e^x).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Maps = list[Tensor]


def mean(maps: Sequence[Tensor]) -> Tensor:
    """Return the mean of the maps' means, a scalar: every map counts alike, whatever its size."""
    return torch.stack([one.mean() for one in maps]).mean()


class Hinge:
    """Discriminator: mean max(0, 1 + f) + mean max(0, 1 - r); generator: -mean f.

    Reference: Lim and Ye, "Geometric GAN", 2017; Miyato et al., "Spectral Normalization", ICLR 2018.
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return -mean f; `real` is not used."""
        return -mean(fake)

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return mean max(0, 1 + f) and mean max(0, 1 - r): 0 where they are parted by the margin."""
        return mean([F.relu(1 + one) for one in fake]), mean([F.relu(1 - one) for one in real])


class NonSaturating:
    """Discriminator: mean softplus(f) + mean softplus(-r); generator: mean softplus(-f).

    These are -ln(1 - D), -ln D on real and -ln D on fake with D the sigmoid of a map, stable for any value.

    Reference: Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014.
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return mean softplus(-f); `real` is not used."""
        return mean([F.softplus(-one) for one in fake])

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return mean softplus(f) and mean softplus(-r)."""
        return mean([F.softplus(one) for one in fake]), mean([F.softplus(-one) for one in real])


class Wasserstein:
    """Discriminator: mean f - mean r; generator: -mean f.

    It has no floor: without a penalty on the gradient the discriminator's loss falls without end.

    Reference: Arjovsky et al., "Wasserstein GAN", ICML 2017.
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return -mean f; `real` is not used."""
        return -mean(fake)

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return mean f and -mean r."""
        return mean(fake), -mean(real)


class RelativisticAverage:
    """Is real more real than fake is on average, and fake less so than real is?

    Discriminator: mean softplus(f - mean r) + mean softplus(mean f - r); generator: the same with r and f
    exchanged. The inner means are over all values of a map, the batch included.

    Reference: Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019 (RaGAN).
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return mean softplus(r - mean f) + mean softplus(mean r - f)."""
        on_real, on_fake = self.discriminator(_given(real), fake)
        return on_real + on_fake

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return mean softplus(f - mean r) and mean softplus(mean f - r)."""
        pairs = list(zip(fake, real, strict=True))
        on_fake = mean([F.softplus(f - r.mean()) for f, r in pairs])
        return on_fake, mean([F.softplus(f.mean() - r) for f, r in pairs])


class RelativisticPaired:
    """Is each real picture more real than its own restoration, patch by patch?

    Discriminator: mean softplus(f - r); generator: mean softplus(r - f).

    References: Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019 (RGAN); as in Huang et al.,
    "The GAN is dead; long live the GAN!", NeurIPS 2024 (R3GAN).
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return mean softplus(r - f)."""
        return mean([F.softplus(r - f) for f, r in zip(fake, _given(real), strict=True)])

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return half of mean softplus(f - r) twice: the loss is one term, which belongs to neither side."""
        half = mean([F.softplus(f - r) for f, r in zip(fake, real, strict=True)]) / 2
        return half, half


RELATIVISTIC: dict[str, Callable[[], RelativisticAverage | RelativisticPaired]] = {
    "average": RelativisticAverage,
    "paired": RelativisticPaired,
}


def _given(real: Maps | None) -> Maps:
    if real is None:
        raise ValueError("a relativistic loss compares with the maps of real pictures; its spec has sees_real = True")
    return real
