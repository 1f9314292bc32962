"""The architecture of the published U-Net with other blocks: residual or gated convolutions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Two 3x3 convolutions with a shortcut: relu(conv(relu(conv(x))) + s(x)).

    s is a 1x1 convolution, because the number of channels changes in every block of a U-Net. There is no
    normalization, as in the published network.

    References: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; Zhang et al., "Road
    Extraction by Deep Residual U-Net", 2018.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make a block of `inputs` to `outputs` channels."""
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W) of (B, inputs, H, W)."""
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class Gated(nn.Module):
    """A 3x3 convolution with a gate for each pixel and channel: elu(f(x)) * sigmoid(g(x)).

    f and g are computed by one convolution with twice the channels: f is the first half, g the second.

    Reference: Yu et al., "Free-Form Image Inpainting with Gated Convolution", ICCV 2019.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make a layer of `inputs` to `outputs` channels."""
        super().__init__()
        self.both = nn.Conv2d(inputs, 2 * outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W) of (B, inputs, H, W)."""
        feature, gate = self.both(x).chunk(2, dim=1)
        return F.elu(feature) * torch.sigmoid(gate)


def double_gated(inputs: int, outputs: int) -> nn.Module:
    """Return two gated convolutions, `inputs` to `outputs` channels."""
    return nn.Sequential(Gated(inputs, outputs), Gated(outputs, outputs))


class UNet(nn.Module):
    """The published architecture with any block: max pooling, bilinear upsampling, concatenated skips, a sigmoid.

    Reference: Ronneberger et al., "U-Net", MICCAI 2015, as the published system changed it.
    """

    def __init__(self, block: Callable[[int, int], nn.Module], width: int, levels: int, mask: bool = False) -> None:
        """Make a U-Net of `levels` levels with `width`, 2 `width`, … channels.

        Args:
            block: makes a block from its numbers of input and output channels.
            width: channels of the first level.
            levels: number of levels.
            mask: use the mask as a fourth input channel.
        """
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.mask = mask
        self.down = nn.ModuleList(
            block(inputs, outputs) for inputs, outputs in zip([4 if mask else 3, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            block(below + outputs, outputs) for below, outputs in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W), of any H and W, to (B, 3, H, W) in [0, 1]."""
        x = torch.cat([image, mask], dim=1) if self.mask else image
        skips: list[Tensor] = []
        for block in self.down:
            # ceil_mode has an effect only on odd sides, which could not be joined to their skips without it.
            x = block(F.max_pool2d(x, 2, ceil_mode=True) if skips else x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=True)
            x = block(torch.cat([x, skip], dim=1))
        return torch.sigmoid(self.head(x))
