"""The U-Net itself: a timm backbone down, convolutions up, an RGB picture out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from toolbox.backbones import Backbone, features

from .blocks import Level

INPUTS = 4


class TimmUNet(nn.Module):
    """U-Net over a backbone; restores the whole picture.

    The encoder sees the picture, normalised as the backbone wants it, and the mask as a fourth channel. From
    its coarsest map each level of the decoder doubles the size and joins the maps of that size by
    concatenation; at the full size those of the picture and the mask themselves, so that fine detail does not
    depend on the backbone's first stride. Sizes without a map are passed without one.

    Reference: Ronneberger et al., "U-Net", MICCAI 2015; backbones of Wightman, "PyTorch Image Models", 2019.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, *, decoder: tuple[int, ...], norm: str, activation: str, upsampling: str
    ) -> None:
        """Make a U-Net; `decoder` has the channels from the coarsest level to the full size.

        Raises:
            ValueError: the strides are no powers of two, or `decoder` has too few widths for them.
        """
        super().__init__()
        levels = depth(backbone, decoder)
        self.stride = 2**levels
        self.strides = backbone.strides
        self.encoder = backbone.network
        # The backbone fixes them: a checkpoint needn't hold them.
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)
        self.levels = nn.ModuleList()
        width = joined(backbone, self.stride)
        for level, outputs in zip(range(levels - 1, -1, -1), decoder[-levels:], strict=True):
            skip = joined(backbone, 2**level) + (INPUTS if level == 0 else 0)
            self.levels.append(Level(width, skip, outputs, norm=norm, activation=activation, up=upsampling))
            width = outputs
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W) with `mask` (B, 1, H, W) into (B, 3, H, W) in [0, 1].

        Raises:
            ValueError: H or W is not a multiple of the backbone's coarsest stride.
        """
        height, width = image.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ValueError(f"timm-unet takes sides that are multiples of {self.stride}, not {height}x{width}")
        given = torch.cat([(image - self.mean) / self.std, mask], dim=1)
        sizes: dict[int, list[Tensor]] = {1: [given]}
        for stride, values in zip(self.strides, features(self.encoder, given), strict=True):
            size = (height // stride, width // stride)
            if values.shape[-2:] != size:  # a few backbones round their sizes otherwise
                values = interpolate(values, size, mode="bilinear", align_corners=False)
            sizes.setdefault(stride, []).append(values)
        stride = self.stride
        x = torch.cat(sizes[stride], dim=1)
        for level in self.levels:
            stride //= 2
            x = level(x, sizes.get(stride, [])[::-1])
        return torch.sigmoid(self.head(x))


def depth(backbone: Backbone, decoder: tuple[int, ...]) -> int:
    """Return how often the coarsest map must be doubled to the full size; ValueError if that can't be."""
    odd = [stride for stride in backbone.strides if stride & (stride - 1)]
    if odd:
        raise ValueError(f"the backbone's strides {list(backbone.strides)} are not all powers of two")
    levels = max(backbone.strides).bit_length() - 1
    if levels > len(decoder):
        raise ValueError(f"the backbone's stride {2**levels} needs {levels} decoder widths, not {len(decoder)}")
    return levels


def joined(backbone: Backbone, stride: int) -> int:
    """Return the channels of all maps of `stride` together."""
    return sum(channels for one, channels in zip(backbone.strides, backbone.channels, strict=True) if one == stride)
