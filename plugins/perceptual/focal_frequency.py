"""The focal frequency loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def focal_frequency(alpha: float, *, detach_weights: bool = True) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss mean w |F(restored) - F(truth)|^2 over all frequencies, a scalar.

    F is the orthonormal two-dimensional Fourier transform of a channel. The weight w is |F(restored) - F(truth)|^alpha,
    divided by its maximum in the channel, so the frequencies with the largest errors count most. With
    `detach_weights`, as published, the gradient treats w as a constant. With `alpha` 0 the loss is the mean squared
    error.

    Reference: Jiang et al., "Focal Frequency Loss for Image Reconstruction and Synthesis", ICCV 2021.
    """

    def loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        difference = restored - truth
        # torch's FFT does not support half precision on a CPU.
        difference = difference.to(torch.promote_types(difference.dtype, torch.float32))
        spectrum = torch.view_as_real(torch.fft.fft2(difference, norm="ortho"))
        power = spectrum.square().sum(-1)
        # The clamp prevents an infinite gradient where the power is 0.
        weight_power = power.detach() if detach_weights else power.clamp_min(torch.finfo(power.dtype).tiny)
        weight = weight_power ** (alpha / 2)
        weight = weight / weight.amax((-2, -1), keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        return (weight * power).mean()

    return loss
