"""Multi-scale structural similarity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Wang's exponents, from the full size to a sixteenth of it.
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SIDE, DEVIATION = 11, 1.5
C1, C2 = 0.01**2, 0.03**2

# A factor of 0 or less has no power; below this one it goes on as an exponential, which keeps a gradient, so
# that pictures of opposite structure still learn.
FLOOR = 0.01


def ms_ssim_loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return the loss 1 - MS-SSIM, averaged over the batch, a scalar; `mask` is not used."""
    return 1 - ms_ssim(restored, truth).mean()


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the multi-scale structural similarity of each of B pictures (B, C, H, W) in [0, 1], (B,), at most 1.

    prod_j cs_j^w_j * ssim_M^w_M: cs_j the mean of the contrast and structure terms at scale j, over channels
    and windows, ssim_M the mean SSIM at the coarsest; each scale is half of the one above by 2x2 means. The
    window is a Gaussian of deviation 1.5, side 11, only where it lies inside. Five scales want a side of
    176 pixels; of a smaller picture as many as fit are used, their exponents scaled to the sum of all five.
    A factor c under 0.01 counts as 0.01 exp((c - 0.01) / 0.01), which is above 0 and goes on smoothly.

    Raises:
        ValueError: the pictures differ in shape, or have a side under 11 pixels.

    Reference: Wang et al., "Multiscale structural similarity for image quality assessment", Asilomar 2003.
    """
    least = min(x.shape[-2:])
    if x.shape != y.shape or x.ndim != 4 or least < SIDE:
        raise ValueError(
            f"ms-ssim compares two (B, C, H, W) of one shape and sides of {SIDE} at least, "
            f"not {tuple(x.shape)} and {tuple(y.shape)}"
        )
    scales = sum(least >> level >= SIDE for level in range(len(EXPONENTS)))
    share = sum(EXPONENTS) / sum(EXPONENTS[:scales])
    x, y = (one.to(torch.promote_types(one.dtype, torch.float32)) for one in (x, y))
    result = torch.ones_like(x[:, 0, 0, 0])
    for scale, exponent in enumerate(EXPONENTS[:scales]):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        similarity, contrast = terms(x, y)
        factor = similarity if scale == scales - 1 else contrast
        result = result * positive(factor.mean((1, 2, 3))) ** (exponent * share)
    return result


def positive(factor: Tensor) -> Tensor:
    """Return `factor` where it is above `FLOOR`, and else an exponential of the same value and slope there."""
    return torch.where(factor > FLOOR, factor, FLOOR * ((factor.clamp_max(FLOOR) - FLOOR) / FLOOR).exp())


def terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps of SSIM and of its contrast and structure term, each (B, C, H - 10, W - 10)."""
    # Variances are the same around any middle, and lose fewer digits around one nearby.
    middle = y.mean((2, 3), keepdim=True)
    x, y = x - middle, y - middle
    mean_x, mean_y = smooth(x), smooth(y)
    cross = smooth(x * y) - mean_x * mean_y
    power = smooth(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
    contrast = (2 * cross + C2) / (power + C2)
    mean_x, mean_y = mean_x + middle, mean_y + middle
    return contrast * (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1), contrast


def smooth(x: Tensor) -> Tensor:
    """Return the Gaussian mean of (B, C, H, W) where the window lies inside."""
    offsets = torch.arange(SIDE, dtype=x.dtype, device=x.device) - SIDE // 2
    bell = (-0.5 * (offsets / DEVIATION) ** 2).exp()
    bell = bell / bell.sum()
    channels = x.shape[1]
    x = F.conv2d(x, bell.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, bell.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
