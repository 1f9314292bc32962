"""Adversarial losses. Each is the mean over the values of a discriminator's output map, averaged over the maps.

In the formulas, r is a value of a map of real pictures, f a value of a map of restored pictures, and
softplus(x) = ln(1 + e^x).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Maps = list[Tensor]


def mean_of_maps(maps: Sequence[Tensor]) -> Tensor:
    """Return the mean of the maps' means, a scalar. All maps have equal weight, whatever their sizes."""
    return torch.stack([output.mean() for output in maps]).mean()


class Hinge:
    """Discriminator: mean max(0, 1 + f) + mean max(0, 1 - r); generator: -mean f.

    Reference: Lim and Ye, "Geometric GAN", 2017; Miyato et al., "Spectral Normalization", ICLR 2018.
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return -mean f; `real` is not used."""
        return -mean_of_maps(fake)

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return mean max(0, 1 + f) and mean max(0, 1 - r). Values beyond the margin of 1 add nothing."""
        return mean_of_maps([F.relu(1 + f) for f in fake]), mean_of_maps([F.relu(1 - r) for r in real])


class NonSaturating:
    """Discriminator: mean softplus(f) + mean softplus(-r); generator: mean softplus(-f).

    With D = sigmoid(map), these are -ln(1 - D) on fake, -ln D on real, and -ln D on fake. The softplus form is
    numerically stable for all values.

    Reference: Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014.
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return mean softplus(-f); `real` is not used."""
        return mean_of_maps([F.softplus(-f) for f in fake])

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return mean softplus(f) and mean softplus(-r)."""
        return mean_of_maps([F.softplus(f) for f in fake]), mean_of_maps([F.softplus(-r) for r in real])


class Wasserstein:
    """Discriminator: mean f - mean r; generator: -mean f.

    The discriminator's loss has no lower bound. Use it with a gradient penalty; otherwise it decreases without end.

    Reference: Arjovsky et al., "Wasserstein GAN", ICML 2017.
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return -mean f; `real` is not used."""
        return -mean_of_maps(fake)

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return mean f and -mean r."""
        return mean_of_maps(fake), -mean_of_maps(real)


class RelativisticAverage:
    """Compare each real picture with the average restored one, and each restored picture with the average real one.

    Discriminator: mean softplus(f - mean r) + mean softplus(mean f - r); generator: the same with r and f
    exchanged. The inner means are over all values of a map, including all pictures of the batch.

    Reference: Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019 (RaGAN).
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return mean softplus(r - mean f) + mean softplus(mean r - f)."""
        real_term, fake_term = self.discriminator(_require_real(real), fake)
        return real_term + fake_term

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return mean softplus(f - mean r) and mean softplus(mean f - r)."""
        pairs = list(zip(fake, real, strict=True))
        fake_term = mean_of_maps([F.softplus(f - r.mean()) for f, r in pairs])
        return fake_term, mean_of_maps([F.softplus(f.mean() - r) for f, r in pairs])


class RelativisticPaired:
    """Compare each real picture with its own restoration, patch by patch.

    Discriminator: mean softplus(f - r); generator: mean softplus(r - f).

    References: Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019 (RGAN); as in Huang et al.,
    "The GAN is dead; long live the GAN!", NeurIPS 2024 (R3GAN).
    """

    def generator(self, fake: Maps, real: Maps | None) -> Tensor:
        """Return mean softplus(r - f)."""
        return mean_of_maps([F.softplus(r - f) for f, r in zip(fake, _require_real(real), strict=True)])

    def discriminator(self, fake: Maps, real: Maps) -> tuple[Tensor, Tensor]:
        """Return half of mean softplus(f - r), twice: the loss has one term, which depends on both fake and real."""
        half = mean_of_maps([F.softplus(f - r) for f, r in zip(fake, real, strict=True)]) / 2
        return half, half


RELATIVISTIC: dict[str, Callable[[], RelativisticAverage | RelativisticPaired]] = {
    "average": RelativisticAverage,
    "paired": RelativisticPaired,
}


def _require_real(real: Maps | None) -> Maps:
    """Return `real`; raise ValueError if it is None."""
    if real is None:
        raise ValueError("a relativistic loss needs the maps of real pictures; set sees_real = True in its spec")
    return real
