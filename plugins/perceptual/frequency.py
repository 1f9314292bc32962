"""The focal frequency loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def focal_frequency(alpha: float, *, detach_weights: bool = True) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss mean w |F(restored) - F(truth)|^2 over all values and frequencies, a scalar.

    F is the orthonormal two-dimensional Fourier transform of a channel; w = |F(restored) - F(truth)|^alpha,
    divided by its greatest value in that channel, so that the frequencies that are hardest count most. With
    `detach_weights`, as published, w is held fixed in the gradient. With `alpha` 0 it is the mean squared error.

    Reference: Jiang et al., "Focal Frequency Loss for Image Reconstruction and Synthesis", ICCV 2021.
    """

    def loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        difference = restored - truth
        # The transform has no half precision.
        difference = difference.to(torch.promote_types(difference.dtype, torch.float32))
        spectrum = torch.view_as_real(torch.fft.fft2(difference, norm="ortho"))
        power = spectrum.square().sum(-1)
        # Without it the gradient of a power of 0 would be infinite.
        held = power.detach() if detach_weights else power.clamp_min(torch.finfo(power.dtype).tiny)
        weight = held ** (alpha / 2)
        weight = weight / weight.amax((-2, -1), keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        return (weight * power).mean()

    return loss
