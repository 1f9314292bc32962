"""Fit the colours of a trained network to photographs that it was not trained on.

During training a network learns how frequent each colour is, and how certain it can be. For other photographs both can
be wrong. The calibration fits three things and does not train the network:

- a temperature T: the probabilities p of the classes become p^(1/T) (Guo et al., "On Calibration of Modern Neural
  Networks", ICML 2017);
- a slope l over the colour plane: the probability of a class with the colour c is multiplied by exp(l . c) (Saerens et
  al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities", 2002);
- a saturation for each degree of uncertainty: the factor of the mean colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .classes import centres
from .lab import ab
from .network import to_rgb
from .uncertainty import KNOTS, saturation_at, uncertainty

LEARNING_RATE = 0.05
MAX_SATURATION = 3.0
OFFSET = 2.0  # in units of a*, b*


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The fitted values.

    Attributes:
        temperature: T; above 1 makes the network less certain.
        slope: l, (2,), over Cb and Cr.
        saturation: (KNOTS,), from certain to uncertain.
    """

    temperature: float
    slope: tuple[float, ...]
    saturation: tuple[float, ...]


def fit(
    logits: Tensor, luma: Tensor, truth: Tensor, *, colorfulness: float, penalty: float = 10.0, steps: int = 150
) -> Calibration:
    """Minimise the distance in a*, b* to photographs, with a lower limit of the colourfulness.

    The distance of each photograph is divided by that of its gray version plus `OFFSET`. So photographs of few colours
    count as much as others, and their results are less often farther from the truth than gray. The square of the mean
    cast of all photographs is added.

    Args:
        logits: of the colour classes, (B, COUNT, h, w).
        luma: (B, 1, h, w) in [0, 1].
        truth: RGB (B, 3, h, w) in [0, 1].
        colorfulness: lower limit of the mean colourfulness, divided by that of the truth.
        penalty: weight of the squared shortfall of the colourfulness.
        steps: steps of Adam.
    """
    true_ab = ab(truth)
    gray, true_color = distances(torch.zeros_like(true_ab), true_ab), colorfulness_of(truth).mean()
    weights = 1 / (gray + OFFSET)
    log_temperature, slope = torch.zeros((), requires_grad=True), torch.zeros(2, requires_grad=True)
    log_saturation = torch.zeros(KNOTS, requires_grad=True)
    optimizer = torch.optim.Adam([log_temperature, slope, log_saturation], lr=LEARNING_RATE)
    for _ in range(steps):
        picture = render(logits, luma, log_temperature.exp(), slope, log_saturation.exp().clamp_max(MAX_SATURATION))
        shortfall = (colorfulness - colorfulness_of(picture).mean() / true_color).clamp_min(0)
        roughness = (log_saturation[2:] - 2 * log_saturation[1:-1] + log_saturation[:-2]).square().sum()
        restored_ab = ab(picture)
        cast = (restored_ab - true_ab).mean((0, 2, 3)).square().sum() / gray.mean() ** 2
        loss = (
            (weights * distances(restored_ab, true_ab)).mean() + penalty * shortfall**2 + 0.5 * cast + 0.01 * roughness
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Calibration(
        temperature=float(log_temperature.detach().exp()),
        slope=tuple(slope.tolist()),
        saturation=tuple(log_saturation.exp().clamp_max(MAX_SATURATION).tolist()),
    )


def render(logits: Tensor, luma: Tensor, temperature: Tensor, slope: Tensor, curve: Tensor) -> Tensor:
    """Return RGB (B, 3, h, w) of the luma and the fitted colours."""
    class_centres = centres().to(logits)
    scaled = logits / temperature + (class_centres @ slope).view(1, -1, 1, 1)
    chroma = torch.einsum("bkhw,kc->bchw", scaled.softmax(1), class_centres)
    return to_rgb(luma, chroma * saturation_at(uncertainty(scaled), curve))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean distance, (B,), between the colours (B, 2, h, w) of each two pictures."""
    return (a - b).square().sum(1).add(1e-6).sqrt().mean((1, 2))


def colorfulness_of(picture: Tensor) -> Tensor:
    """Return the colourfulness of Hasler and Süsstrunk (2003), (B,), of RGB (B, 3, h, w), for values in [0, 1]."""
    red, green, blue = picture.flatten(2).unbind(1)
    parts = torch.stack([red - green, (red + green) / 2 - blue])
    spread = parts.var(-1).sum(0).add(1e-9).sqrt()
    return spread + 0.3 * parts.mean(-1).square().sum(0).add(1e-9).sqrt()
