"""The network: one encoder, the colours of the whole picture at a quarter of its side, the luma of what is lost."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from toolbox.backbones import Backbone, features
from toolbox.color import add_differences, color_differences, luma

from .classes import COUNT, centres
from .diffusion import diffused

STRIDES = (2, 4, 8, 16, 32)


class Level(nn.Module):
    """Doubles the size, joins what the encoder saw there, two convolutions."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        """Make a level from `inputs` and `skip` channels to `outputs`."""
        super().__init__()
        self.convs = nn.Sequential(*conv(inputs + skip, outputs), *conv(outputs, outputs))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Bring `x` (B, C, h, w) to (B, outputs, H, W), the size of `skip`."""
        return self.convs(torch.cat([interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False), skip], 1))


class LumaUNet(nn.Module):
    """A U-Net over a pretrained encoder that leaves the luma outside the lost region as it is.

    The encoder sees the gray picture, what is lost filled smoothly from its borders, and the mask. A decoder over
    it, with the mean of the whole picture, says for every 4x4 pixels how likely each class of colour is; the mean
    colour of the classes is the colour there. A second, narrow decoder goes on to the full size and gives what the
    luma of the smooth filling lacks. The result has the input's luma elsewhere; colours that would leave [0, 1]
    lose saturation.

    Reference: classes of colour after Zhang et al., "Colorful Image Colorization", ECCV 2016.
    """

    mean: Tensor
    std: Tensor
    centres: Tensor

    def __init__(self, backbone: Backbone, *, width: int, frozen: bool, saturation: float = 1.0) -> None:
        """Make a network over `backbone`, whose maps have strides 2 to 32.

        `width` scales the decoders; a `frozen` encoder stays as it was loaded, its running statistics too; the mean
        colour of the classes is multiplied by `saturation`.
        """
        super().__init__()
        demand_strides(backbone)
        two, four, eight, sixteen, deep = backbone.channels
        self.encoder = backbone.network.requires_grad_(not frozen)
        self.frozen = frozen
        self.saturation = saturation
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("centres", centres(), persistent=False)
        self.bottom = nn.Sequential(*conv(deep, 4 * width, side=1))
        self.whole = nn.Sequential(nn.Linear(4 * width, 4 * width), nn.ReLU(inplace=True))
        self.levels = nn.ModuleList(
            [
                Level(4 * width, sixteen, 4 * width),
                Level(4 * width, eight, 3 * width),
                Level(3 * width, four, 2 * width),
            ]
        )
        self.classes = nn.Conv2d(2 * width, COUNT, 1)
        self.fine = nn.ModuleList([Level(2 * width, two, width), Level(width, 2, width // 2)])
        self.lost = nn.Conv2d(width // 2, 1, 3, padding=1)
        # It begins with the smooth filling as it is.
        for weight in self.lost.parameters():
            nn.init.zeros_(weight)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Restore `image` (B, 3, H, W) with `mask` (B, 1, H, W), H and W multiples of 32.

        Raises:
            ValueError: H or W is not a multiple of 32.

        Returns:
            RGB (B, 3, H, W) in [0, 1]; and ``classes``, the logits (B, COUNT, H / 4, W / 4).
        """
        height, width = image.shape[-2:]
        if height % STRIDES[-1] or width % STRIDES[-1]:
            raise ValueError(f"luma-unet takes sides that are multiples of {STRIDES[-1]}, not {height}x{width}")
        gray = luma(image)
        filled = diffused(gray, mask)
        given = (filled - self.mean) / self.std
        two, four, eight, sixteen, deep = features(self.encoder, torch.cat([given, mask], dim=1))
        x = self.bottom(deep)
        x = x + self.whole(x.mean((2, 3)))[:, :, None, None]
        for level, skip in zip(self.levels, (sixteen, eight, four), strict=True):
            x = level(x, skip)
        logits = self.classes(x)
        small = self.saturation * torch.einsum("bkhw,kc->bchw", logits.float().softmax(1), self.centres.float())
        chroma = interpolate(small, gray.shape[-2:], mode="bilinear", align_corners=False).to(gray.dtype)
        for level, skip in zip(self.fine, (two, torch.cat([filled - 0.5, mask], dim=1)), strict=True):
            x = level(x, skip)
        return to_rgb(filled + mask * self.lost(x), chroma), {"classes": logits}


def demand_strides(backbone: Backbone) -> None:
    """Raise ValueError if the backbone's maps have other strides than the decoder needs."""
    if backbone.strides != STRIDES:
        raise ValueError(f"the backbone's strides are {list(backbone.strides)}, not {list(STRIDES)}")


def conv(inputs: int, outputs: int, side: int = 3) -> list[nn.Module]:
    """Return a convolution with norm and activation, the size kept."""
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def to_rgb(y: Tensor, chroma: Tensor) -> Tensor:
    """Return RGB (B, 3, H, W) in [0, 1] of the luma `y` (B, 1, H, W) and of Cb and Cr (B, 2, H, W), by BT.601.

    A colour outside [0, 1] is brought in towards the gray of the same luma.
    """
    differences = torch.cat(color_differences(*chroma.split(1, dim=1)), dim=1)
    return add_differences(y, differences).clamp(0, 1)
