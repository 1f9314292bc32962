"""What the decoder is made of: upsampling without a checkerboard, and convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky-relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "gelu": nn.GELU,
    "silu": lambda: nn.SiLU(inplace=True),
}

GROUPS = 8


def norm_of(kind: str, channels: int) -> list[nn.Module]:
    """Return the norm `kind` for `channels` channels, or nothing for "none"."""
    if kind == "batch":
        return [nn.BatchNorm2d(channels)]
    if kind == "group":
        return [nn.GroupNorm(math.gcd(GROUPS, channels), channels)]
    if kind == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    return []


def conv(inputs: int, outputs: int, norm: str, activation: str) -> nn.Sequential:
    """Return a 3x3 convolution with norm and activation, the size kept."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=norm == "none")
    # Without a norm the default draw would shrink the values level by level.
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layer, *norm_of(norm, outputs), ACTIVATIONS[activation]())


def icnr(layer: nn.Conv2d, factor: int) -> None:
    """Draw the weights of the convolution before a pixel shuffle so that it starts as a nearest upsampling.

    The factor^2 channels that become the pixels of one square get the same weights.

    Reference: Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017.
    """
    with torch.no_grad():
        kernel = torch.empty_like(layer.weight[:: factor**2])
        nn.init.kaiming_normal_(kernel, nonlinearity="relu")
        layer.weight.copy_(kernel.repeat_interleave(factor**2, dim=0))
        if layer.bias is not None:
            layer.bias.zero_()


def upsampling(kind: str, channels: int) -> nn.Module:
    """Return what doubles the size of (B, C, H, W): "nearest", "bilinear" or "pixelshuffle".

    The first two overlap evenly, so that a convolution after them leaves no checkerboard (Odena et al.,
    "Deconvolution and Checkerboard Artifacts", 2016); the third starts without one.
    """
    if kind == "pixelshuffle":
        layer = nn.Conv2d(channels, 4 * channels, 1)
        icnr(layer, 2)
        return nn.Sequential(layer, nn.PixelShuffle(2))
    if kind == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Upsample(scale_factor=2, mode="nearest")


class Level(nn.Module):
    """One level of the decoder: doubles the size, joins what the encoder saw there, two convolutions."""

    def __init__(self, inputs: int, skip: int, outputs: int, *, norm: str, activation: str, up: str) -> None:
        """Make a level from `inputs` and `skip` channels to `outputs`."""
        super().__init__()
        self.up = upsampling(up, inputs)
        self.convs = nn.Sequential(
            conv(inputs + skip, outputs, norm, activation), conv(outputs, outputs, norm, activation)
        )

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Bring `x` (B, C, H, W) to (B, outputs, 2H, 2W), the size of every one of `skips`."""
        return self.convs(torch.cat([self.up(x), *skips], dim=1))
