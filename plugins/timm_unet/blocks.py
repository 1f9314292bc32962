"""Parts of the decoder: convolutions, and upsampling without checkerboard artefacts."""

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

# Largest number of groups of a group norm.
GROUPS = 8


def norm_layers(kind: str, channels: int) -> list[nn.Module]:
    """Return a list with the norm `kind` for `channels` channels; it is empty for "none"."""
    if kind == "batch":
        return [nn.BatchNorm2d(channels)]
    if kind == "group":
        return [nn.GroupNorm(math.gcd(GROUPS, channels), channels)]
    if kind == "instance":
        return [nn.InstanceNorm2d(channels, affine=True)]
    return []


def conv(inputs: int, outputs: int, norm: str, activation: str) -> nn.Sequential:
    """Return a 3x3 convolution with norm and activation; height and width stay the same."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=norm == "none")
    # torch's default initialization would reduce the values level by level if there is no norm.
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layer, *norm_layers(norm, outputs), ACTIVATIONS[activation]())


def icnr(layer: nn.Conv2d, factor: int) -> None:
    """Initialize the convolution before a pixel shuffle, so that the two start as a nearest-neighbour upsampling.

    The factor^2 channels that become one square of pixels get the same weights.

    Reference: Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017.
    """
    with torch.no_grad():
        kernel = torch.empty_like(layer.weight[:: factor**2])
        nn.init.kaiming_normal_(kernel, nonlinearity="relu")
        layer.weight.copy_(kernel.repeat_interleave(factor**2, dim=0))
        if layer.bias is not None:
            layer.bias.zero_()


def upsampling(kind: str, channels: int) -> nn.Module:
    """Return the module "nearest", "bilinear" or "pixelshuffle", which doubles the size of (B, C, H, W).

    The first two, followed by a convolution, cause no checkerboard artefacts (Odena et al., "Deconvolution and
    Checkerboard Artifacts", 2016). The third starts without them, but training may introduce them.
    """
    if kind == "pixelshuffle":
        layer = nn.Conv2d(channels, 4 * channels, 1)
        icnr(layer, 2)
        return nn.Sequential(layer, nn.PixelShuffle(2))
    if kind == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Upsample(scale_factor=2, mode="nearest")


class Level(nn.Module):
    """A decoder level: double the size, concatenate the skips, apply two convolutions."""

    def __init__(self, inputs: int, skip: int, outputs: int, *, norm: str, activation: str, up: str) -> None:
        """Make a level from `inputs` and `skip` channels to `outputs`."""
        super().__init__()
        self.up = upsampling(up, inputs)
        self.convs = nn.Sequential(
            conv(inputs + skip, outputs, norm, activation), conv(outputs, outputs, norm, activation)
        )

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Return (B, outputs, 2H, 2W) for `x` (B, C, H, W); all `skips` have the size 2H, 2W."""
        return self.convs(torch.cat([self.up(x), *skips], dim=1))
