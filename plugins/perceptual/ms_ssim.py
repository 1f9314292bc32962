"""Multi-scale structural similarity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# The exponents of Wang et al., for the full size to a sixteenth of it.
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SIDE, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2

# A factor of 0 or less has no real power. Below this value a factor is replaced by an exponential, which is positive
# and has a gradient, so that training also works for pictures of opposite structure.
FLOOR = 0.01


def ms_ssim_loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return the loss 1 - MS-SSIM, averaged over the batch, a scalar; `mask` is not used."""
    return 1 - ms_ssim(restored, truth).mean()


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the multi-scale structural similarity of each pair of pictures (B, C, H, W) in [0, 1], (B,), at most 1.

    It is prod_j cs_j^w_j * ssim_M^w_M. cs_j is the mean of the contrast and structure term at scale j over channels
    and windows; ssim_M is the mean SSIM at the coarsest scale. Each scale is half of the one before, by 2x2 means. The
    window is a Gaussian of standard deviation 1.5 and side 11; only windows inside the picture count.

    Five scales need sides of 176 pixels. For a smaller picture as many scales as fit are used, and their exponents are
    scaled to the sum of all five. A factor c below 0.01 is replaced by 0.01 exp((c - 0.01) / 0.01), which is positive
    and continues smoothly.

    Raises:
        ValueError: the shapes differ, or a side is below 11 pixels.

    Reference: Wang et al., "Multiscale structural similarity for image quality assessment", Asilomar 2003.
    """
    shortest = min(x.shape[-2:])
    if x.shape != y.shape or x.ndim != 4 or shortest < SIDE:
        raise ValueError(
            f"ms-ssim needs two tensors (B, C, H, W) of one shape with sides of {SIDE} pixels or more, "
            f"not {tuple(x.shape)} and {tuple(y.shape)}"
        )
    scales = sum(shortest >> level >= SIDE for level in range(len(EXPONENTS)))
    scale_up = sum(EXPONENTS) / sum(EXPONENTS[:scales])
    x, y = (pictures.to(torch.promote_types(pictures.dtype, torch.float32)) for pictures in (x, y))
    result = torch.ones_like(x[:, 0, 0, 0])
    for scale, exponent in enumerate(EXPONENTS[:scales]):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        similarity, contrast = ssim_and_contrast(x, y)
        factor = similarity if scale == scales - 1 else contrast
        result = result * make_positive(factor.mean((1, 2, 3))) ** (exponent * scale_up)
    return result


def make_positive(factor: Tensor) -> Tensor:
    """Return `factor` where it is above FLOOR; elsewhere an exponential with the same value and slope at FLOOR."""
    return torch.where(factor > FLOOR, factor, FLOOR * ((factor.clamp_max(FLOOR) - FLOOR) / FLOOR).exp())


def ssim_and_contrast(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps of SSIM and of its contrast and structure term, each (B, C, H - 10, W - 10)."""
    # Subtracting the same value from both does not change the variances, and reduces rounding errors.
    centre = y.mean((2, 3), keepdim=True)
    x, y = x - centre, y - centre
    mean_x, mean_y = gaussian_mean(x), gaussian_mean(y)
    cross = gaussian_mean(x * y) - mean_x * mean_y
    power = gaussian_mean(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
    contrast = (2 * cross + C2) / (power + C2)
    mean_x, mean_y = mean_x + centre, mean_y + centre
    return contrast * (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1), contrast


def gaussian_mean(x: Tensor) -> Tensor:
    """Return the Gaussian mean of `x` (B, C, H, W) over each window inside the picture, (B, C, H - 10, W - 10)."""
    offsets = torch.arange(SIDE, dtype=x.dtype, device=x.device) - SIDE // 2
    weights = (-0.5 * (offsets / SIGMA) ** 2).exp()
    weights = weights / weights.sum()
    channels = x.shape[1]
    x = F.conv2d(x, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
