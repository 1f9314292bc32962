"""The competition's C in a form with a gradient: the correlation of two hue histograms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BINS = 180

# A picture of 8 bits has these many steps from black to white.
LEVELS = 255

# Pixels that are equal in all channels have no hue, and it no gradient there.
TINY = 1e-12

# In 8 bits a hue often lies exactly between two bins; OpenCV takes the upper one.
HALF_UP = 1e-3


def hue_histogram(softness: float, spread: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss 1 - r, averaged over the batch; r the correlation of `histogram` of the two pictures.

    r = sum (a - mean a)(b - mean b) / sqrt(sum (a - mean a)^2 * sum (b - mean b)^2) over the 180 bins, -1 to 1.
    With `spread` 0 and `softness` towards 0 it goes, for pictures of 8 bits, to OpenCV's HISTCMP_CORREL of the
    hue histograms, the competition's C. A picture of one channel has one hue: 0.

    A hue moves by the inverse of the pixel's span, the difference of its greatest and least channel, so that nearly
    gray pixels have by far the greatest gradients.
    """

    def loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = histogram(truth, softness, spread)
        return (1 - correlation(histogram(restored, softness, spread), wanted)).mean()

    return loss


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of each row of two (B, N), (B,)."""
    a, b = (one - one.mean(1, keepdim=True) for one in (a, b))
    return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).clamp_min(TINY).sqrt()


def histogram(picture: Tensor, softness: float, spread: float) -> Tensor:
    """Return the soft histogram of the hue, (B, 180), of RGB (B, 3 or 1, H, W) in [0, 1]; each row sums to 1.

    A pixel's hue h lies between two bins, at a share t of the way; it counts for them by 1 - s and s with
    s = clip((t - 0.5) / softness + 0.5, 0, 1): linearly for a softness of 1, for the nearer bin alone towards 0.
    A pixel whose greatest and least channel differ by less than one of 255 levels counts for hue 0 by what is
    missing to a level, since in 8 bits it would be gray, whose hue is 0. `spread` is the deviation in bins of a
    Gaussian by which the bins are mixed round the circle, so that hues attract each other from further away.
    """
    hue, span = hue_of(picture.expand(-1, 3, -1, -1))
    hue, colour = hue + HALF_UP, span.clamp_max(1)
    below = hue.detach().floor()
    share = ((hue - below - 0.5) / softness + 0.5).clamp(0, 1)
    first = below.long() % BINS
    bins = torch.stack([torch.zeros_like(first), first, (first + 1) % BINS], dim=1).flatten(1)
    counts = torch.stack([1 - colour, colour * (1 - share), colour * share], dim=1).flatten(1)
    rows = counts.new_zeros(len(picture), BINS).scatter_add(1, bins, counts) / hue[0].numel()
    return rows @ circle(spread, rows) if spread else rows


def hue_of(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return OpenCV's hue, (B, H, W) from 0 to 180, and the span in levels, 0 to 255, of RGB (B, 3, H, W)."""
    picture = picture.to(torch.promote_types(picture.dtype, torch.float32))
    red, green, blue = picture.unbind(1)
    most, span = picture.amax(1), picture.amax(1) - picture.amin(1)
    # A sixth of the circle for each of the six orders of the channels, from red.
    over = 30 / span.clamp_min(TINY)
    hue = torch.where(
        most == red,
        (green - blue) * over,
        torch.where(most == green, 60 + (blue - red) * over, 120 + (red - green) * over),
    )
    return torch.where(hue < 0, hue + BINS, hue), LEVELS * span


def circle(spread: float, like: Tensor) -> Tensor:
    """Return the (180, 180) weights of a Gaussian of deviation `spread` on the circle, rows summing to 1."""
    places = torch.arange(BINS, dtype=like.dtype, device=like.device)
    apart = (places[:, None] - places[None]).abs()
    weights = (-0.5 * (apart.minimum(BINS - apart) / spread).square()).exp()
    return weights / weights.sum(1, keepdim=True)
