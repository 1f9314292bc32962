"""A U-Net with a timm backbone as its encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from toolbox.backbones import Backbone, features

from .blocks import Level

# Input channels: RGB and the mask.
INPUTS = 4


class TimmUNet(nn.Module):
    """U-Net over a timm backbone; it predicts every pixel.

    The encoder gets the picture, normalized as the backbone expects, and the mask as a fourth channel. Starting from
    the coarsest feature map, each decoder level doubles the size and concatenates the feature maps of the new size. At
    the full size, picture and mask are concatenated too, so that fine detail does not depend on the backbone's first
    stride. A size without feature maps has no skip.

    Reference: Ronneberger et al., "U-Net", MICCAI 2015; backbones of Wightman, "PyTorch Image Models", 2019.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, *, decoder: tuple[int, ...], norm: str, activation: str, upsampling: str
    ) -> None:
        """Make a U-Net; `decoder` has the channels of the levels, from the coarsest to the full size.

        Raises:
            ValueError: the strides are not powers of two, or `decoder` has too few levels for them.
        """
        super().__init__()
        levels = decoder_levels(backbone, decoder)
        self.stride = 2**levels
        self.strides = backbone.strides
        self.encoder = backbone.network
        # The backbone determines them, so they are not saved in checkpoints.
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)
        self.levels = nn.ModuleList()
        width = channels_at(backbone, self.stride)
        for level, outputs in zip(range(levels - 1, -1, -1), decoder[-levels:], strict=True):
            skip = channels_at(backbone, 2**level) + (INPUTS if level == 0 else 0)
            self.levels.append(Level(width, skip, outputs, norm=norm, activation=activation, up=upsampling))
            width = outputs
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W) with `mask` (B, 1, H, W) to (B, 3, H, W) in [0, 1].

        Raises:
            ValueError: H or W is not a multiple of the backbone's coarsest stride.
        """
        height, width = image.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ValueError(f"timm-unet needs sides that are multiples of {self.stride}, not {height}x{width}")
        inputs = torch.cat([(image - self.mean) / self.std, mask], dim=1)
        maps_by_stride: dict[int, list[Tensor]] = {1: [inputs]}
        for stride, values in zip(self.strides, features(self.encoder, inputs), strict=True):
            size = (height // stride, width // stride)
            if values.shape[-2:] != size:  # a few backbones round their sizes differently
                values = interpolate(values, size, mode="bilinear", align_corners=False)
            maps_by_stride.setdefault(stride, []).append(values)
        stride = self.stride
        x = torch.cat(maps_by_stride[stride], dim=1)
        for level in self.levels:
            stride //= 2
            x = level(x, maps_by_stride.get(stride, [])[::-1])
        return torch.sigmoid(self.head(x))


def decoder_levels(backbone: Backbone, decoder: tuple[int, ...]) -> int:
    """Return how many times the coarsest feature map must be doubled to reach the full size.

    Raises:
        ValueError: the strides are not powers of two, or `decoder` has too few levels.
    """
    unsuitable = [stride for stride in backbone.strides if stride & (stride - 1)]
    if unsuitable:
        raise ValueError(f"the backbone's strides {list(backbone.strides)} are not all powers of two")
    levels = max(backbone.strides).bit_length() - 1
    if levels > len(decoder):
        raise ValueError(f"the backbone's stride {2**levels} needs {levels} decoder levels, not {len(decoder)}")
    return levels


def channels_at(backbone: Backbone, stride: int) -> int:
    """Return the total number of channels of the feature maps of `stride`."""
    pairs = zip(backbone.strides, backbone.channels, strict=True)
    return sum(channels for map_stride, channels in pairs if map_stride == stride)
