"""The published generator: a plain U-Net that predicts every pixel of the picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .upsample_conv import conv_after_upsampling, conv_before_upsampling, is_faster_before_upsampling


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Return two 3x3 convolutions with ReLU, `inputs` to `outputs` channels; height and width stay the same."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class DownBlock(nn.Sequential):
    """An encoder level: 2x2 max pooling, except in the first level, and two convolutions.

    The pooling is part of the block so that activation checkpointing (`training.recompute`) covers it too.
    """

    def __init__(self, inputs: int, outputs: int, pooled: bool) -> None:
        """Make a level of `inputs` to `outputs` channels; `pooled` halves height and width first."""
        super().__init__(*double_conv(inputs, outputs))
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, h, w) for `x` (B, inputs, H, W)."""
        # ceil_mode has an effect only on odd sides, which could not be joined to their skips without it.
        return super().forward(F.max_pool2d(x, 2, ceil_mode=True) if self.pooled else x)


class UpBlock(nn.Module):
    """A decoder level: upsample the level below, concatenate the skip, apply two convolutions."""

    def __init__(self, below: int, outputs: int) -> None:
        """Make a level from `below` channels, and a skip of `outputs` channels, to `outputs` channels."""
        super().__init__()
        self.join = nn.Conv2d(below + outputs, outputs, 3, padding=1)
        self.rest = nn.Sequential(
            nn.ReLU(inplace=True), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return (B, K, H, W) for `x` (B, C, h, w) and `skip` (B, K, H, W)."""
        return self.rest(conv_of_upsampled_and_skip(self.join, x, skip))


class InpaintingUNet(nn.Module):
    """U-Net without normalization: max pooling, bilinear upsampling, concatenated skips, a final sigmoid.

    The modules are declared in the order of the forward pass, so `named_parameters` lists the tensors in that order.
    With the published 5 levels and width 64 it has 31,379,075 parameters.

    Reference: Ronneberger et al., "U-Net", MICCAI 2015, with the changes of the published system: no normalization,
    padded convolutions, and upsampling with align_corners in place of transposed convolutions.
    """

    def __init__(self, width: int = 64, levels: int = 5) -> None:
        """Make a U-Net of `levels` levels with `width`, 2 `width`, 4 `width`, … channels."""
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            DownBlock(inputs, outputs, level > 0)
            for level, (inputs, outputs) in enumerate(zip([3, *widths], widths, strict=False))
        )
        self.up = nn.ModuleList(
            UpBlock(below, outputs) for below, outputs in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W), of any H and W, to (B, 3, H, W) in [0, 1]; `mask` is not used."""
        return torch.sigmoid(self.head(self.features(image)))

    def features(self, image: Tensor) -> Tensor:
        """Return what the last level computes from `image` (B, 3, H, W): (B, width, H, W)."""
        skips: list[Tensor] = []
        x = image
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(x, skips.pop())
        return x


def conv_of_upsampled_and_skip(layer: nn.Conv2d, x: Tensor, skip: Tensor) -> Tensor:
    """Return ``layer(torch.cat([u, skip], dim=1))``, with u the bilinear upsampling of `x` to the size of `skip`.

    The upsampling uses align_corners=True. The concatenated tensor is never built, and u is not stored for the
    backward pass. Where it is faster, u is not computed at all (see `upsample_conv`).
    """
    upsampled_weight, skip_weight = layer.weight.split([x.shape[1], skip.shape[1]], dim=1)
    size = (skip.shape[2], skip.shape[3])
    result = F.conv2d(skip, skip_weight, layer.bias, padding=1)
    conv = conv_before_upsampling if is_faster_before_upsampling(x) else conv_after_upsampling
    return result.add_(conv(x, upsampled_weight, size))
