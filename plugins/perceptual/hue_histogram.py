"""A differentiable form of the competition's C: the correlation of two soft hue histograms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BINS = 180

# The number of steps from black to white in an 8-bit picture.
LEVELS = 255

# Prevents a division by 0 in pixels whose channels are all equal; they have no hue and get no gradient.
TINY = 1e-12

# The hue of an 8-bit pixel is often exactly halfway between two bins. OpenCV rounds up, so a small amount is added.
HALF_UP = 1e-3


def hue_histogram(softness: float, spread: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss 1 - r, averaged over the batch, with r the correlation of the two pictures' `histogram`.

    r = sum (a - mean a)(b - mean b) / sqrt(sum (a - mean a)^2 * sum (b - mean b)^2) over the 180 bins, in [-1, 1].
    For 8-bit pictures with `spread` 0, r approaches the competition's C, which is OpenCV's HISTCMP_CORREL of the hue
    histograms, as `softness` approaches 0. The loss of pictures with one channel is 0.

    The gradient of a pixel's hue is proportional to 1 / (largest channel - smallest channel), so nearly gray pixels
    have by far the largest gradients.
    """

    def loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            truth_histogram = histogram(truth, softness, spread)
        return (1 - correlation(histogram(restored, softness, spread), truth_histogram)).mean()

    return loss


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of each row of `a` and `b` (B, N), (B,)."""
    a, b = (rows - rows.mean(1, keepdim=True) for rows in (a, b))
    return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).clamp_min(TINY).sqrt()


def histogram(picture: Tensor, softness: float, spread: float) -> Tensor:
    """Return the soft hue histogram, (B, 180), of RGB (B, 3 or 1, H, W) in [0, 1]; each row sums to 1.

    A pixel's hue lies between two bins, at a fraction t of the distance. The pixel adds 1 - s to the lower and s to
    the upper bin, with s = clip((t - 0.5) / softness + 0.5, 0, 1). With softness 1 this is linear; as softness
    approaches 0, only the nearer bin counts.

    In 8 bits a gray pixel has hue 0. So a pixel whose largest and smallest channel differ by d < 1 of 255 levels adds
    1 - d to bin 0, and only d to the bins of its hue.

    `spread` is the standard deviation, in bins, of a circular Gaussian that smooths the histogram, so that hues that
    are several bins apart have a gradient towards each other.
    """
    hue, span = hue_and_span(picture.expand(-1, 3, -1, -1))
    hue, chromatic = hue + HALF_UP, span.clamp_max(1)
    below = hue.detach().floor()
    upper = ((hue - below - 0.5) / softness + 0.5).clamp(0, 1)
    first = below.long() % BINS
    bins = torch.stack([torch.zeros_like(first), first, (first + 1) % BINS], dim=1).flatten(1)
    counts = torch.stack([1 - chromatic, chromatic * (1 - upper), chromatic * upper], dim=1).flatten(1)
    rows = counts.new_zeros(len(picture), BINS).scatter_add(1, bins, counts) / hue[0].numel()
    return rows @ circular_gaussian(spread, rows) if spread else rows


def hue_and_span(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return OpenCV's hue, 0 to 180, and the largest minus the smallest channel, 0 to 255, of RGB (B, 3, H, W).

    Both have the shape (B, H, W).
    """
    picture = picture.to(torch.promote_types(picture.dtype, torch.float32))
    red, green, blue = picture.unbind(1)
    largest, span = picture.amax(1), picture.amax(1) - picture.amin(1)
    # OpenCV's hue is half of the angle in degrees: red is 0, green 60, blue 120.
    scale = 30 / span.clamp_min(TINY)
    hue = torch.where(
        largest == red,
        (green - blue) * scale,
        torch.where(largest == green, 60 + (blue - red) * scale, 120 + (red - green) * scale),
    )
    return torch.where(hue < 0, hue + BINS, hue), LEVELS * span


def circular_gaussian(spread: float, like: Tensor) -> Tensor:
    """Return the (180, 180) weights of a circular Gaussian of standard deviation `spread`; rows sum to 1."""
    bins = torch.arange(BINS, dtype=like.dtype, device=like.device)
    distance = (bins[:, None] - bins[None]).abs()
    weights = (-0.5 * (distance.minimum(BINS - distance) / spread).square()).exp()
    return weights / weights.sum(1, keepdim=True)
