"""The published generator: a plain U-Net that paints the whole picture anew."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .upsampled import conv_at_the_large_size, conv_of_upsampled, pays


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Return two 3x3 convolutions with ReLU, `inputs` to `outputs` channels, the size kept."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class Fall(nn.Sequential):
    """A level on the way down: two convolutions, of what is at half the size unless it is the first level.

    The pooling is a part of it so that `training.recompute` keeps nothing of the pooling either.
    """

    def __init__(self, inputs: int, outputs: int, pooled: bool) -> None:
        """Make a level from `inputs` to `outputs` channels; `pooled` halves the size first."""
        super().__init__(*double_conv(inputs, outputs))
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, K, h, w) of `x` (B, C, H, W)."""
        # ceil_mode changes nothing where the side is even, and lets odd sides through.
        return super().forward(F.max_pool2d(x, 2, ceil_mode=True) if self.pooled else x)


class Rise(nn.Module):
    """A level on the way up: its first convolution sees what lies below, made larger, and the skip beside it."""

    def __init__(self, below: int, outputs: int) -> None:
        """Make a level from `below` channels and a skip of `outputs` channels to `outputs`."""
        super().__init__()
        self.join = nn.Conv2d(below + outputs, outputs, 3, padding=1)
        self.rest = nn.Sequential(
            nn.ReLU(inplace=True), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return (B, K, H, W) of `x` (B, C, h, w) and `skip` (B, K, H, W)."""
        return self.rest(joined(self.join, x, skip))


class InpaintingUNet(nn.Module):
    """U-Net without norms: max pooling down, bilinear upsampling up, skips by concatenation, a sigmoid.

    The modules are declared in the order in which the picture passes them, so that `named_parameters` lists
    the tensors in forward order. With the published width 64 and 5 levels it has 31,379,075 parameters.

    Reference: Ronneberger et al., "U-Net", MICCAI 2015, as the published system changed it (no norm, padded
    convolutions, upsampling with align_corners in place of transposed convolutions).
    """

    def __init__(self, width: int = 64, levels: int = 5) -> None:
        """Make a U-Net of `levels` levels with `width`, 2 `width`, 4 `width`, … channels."""
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            Fall(above, here, level > 0) for level, (above, here) in enumerate(zip([3, *widths], widths, strict=False))
        )
        self.up = nn.ModuleList(Rise(below, here) for below, here in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W), any H and W, into (B, 3, H, W) in [0, 1]; `mask` is not used."""
        skips: list[Tensor] = []
        x = image
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(x, skips.pop())
        return torch.sigmoid(self.head(x))


def joined(layer: nn.Conv2d, x: Tensor, skip: Tensor) -> Tensor:
    """Return ``layer(torch.cat([u, skip], dim=1))``, u being `x` made as large as `skip`, bilinear, corners aligned.

    Neither is u copied into one tensor with the skip nor kept for the backward pass, nor is it made where `upsampled`
    has a cheaper way.
    """
    below, beside = layer.weight.split([x.shape[1], skip.shape[1]], dim=1)
    size = (skip.shape[2], skip.shape[3])
    result = F.conv2d(skip, beside, layer.bias, padding=1)
    conv = conv_of_upsampled if pays(x) else conv_at_the_large_size
    return result.add_(conv(x, below, size))
