"""PatchGAN of any depth and norm, and a stack of them on ever smaller pictures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}


def channels(conditional: bool) -> int:
    """Return how many channels a discriminator sees: the picture's, with the image's and the mask's or without."""
    return 7 if conditional else 3


def seen(conditional: bool, picture: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Return what a discriminator sees, (B, 3 or 7, H, W): the picture, then the damaged image and the mask."""
    return torch.cat([picture, image, mask], dim=1) if conditional else picture


def patch_layers(inputs: int, width: int, layers: int, norm: str) -> nn.Sequential:
    """Return the convolutions of a PatchGAN, `inputs` channels to 1.

    `layers` 4x4 convolutions of stride 2, one of stride 1, and the head of stride 1, LeakyReLU 0.2 between;
    the channels double from `width` up to eight times that. "batch" and "instance" norm every convolution
    but the first and the head; "spectral" every one.
    """
    widths = [inputs, *(width * min(2**level, 8) for level in range(layers + 1))]
    modules: list[nn.Module] = []
    for level, (above, here) in enumerate(pairwise(widths)):
        normed = norm in NORMS and level > 0
        # A norm would take the bias out again.
        conv = nn.Conv2d(above, here, 4, 2 if level < layers else 1, padding=1, bias=not normed)
        modules.append(spectral_norm(conv) if norm == "spectral" else conv)
        if normed:
            modules.append(NORMS[norm](here))
        modules.append(nn.LeakyReLU(0.2, inplace=True))
    head = nn.Conv2d(widths[-1], 1, 4, padding=1)
    modules.append(spectral_norm(head) if norm == "spectral" else head)
    return nn.Sequential(*modules)


def demand_size(picture: Tensor, layers: int, scale: int = 1) -> None:
    """Raise ValueError where pictures are too small for `layers` halvings after those of `scale`."""
    least, short = 3 * 2**layers, min(picture.shape[-2:])
    if short < least:
        where = "" if scale == 1 else f" at scale {scale}"
        raise ValueError(
            f"a PatchGAN of {layers} layers needs pictures of {least} pixels a side{where}, and got {short}; "
            "take fewer layers or scales, or a larger data.size"
        )


class PatchGan(nn.Module):
    """Judges every patch of a picture by itself, without a sigmoid.

    The side of a patch, the receptive field, is 16, 34, 70, 142, 286 for 1, 2, 3, 4, 5 layers.

    References: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017;
    Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.
    """

    def __init__(self, width: int = 64, layers: int = 3, norm: str = "batch", conditional: bool = False) -> None:
        """Make a PatchGAN; the arguments are those of `patch_layers`, `conditional` of `seen`."""
        super().__init__()
        self.depth, self.conditional = layers, conditional
        self.layers = patch_layers(channels(conditional), width, layers, norm)

    def forward(self, picture: Tensor, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Judge `picture` (B, 3, H, W) by one map (B, 1, H // 2^layers - 2, W // 2^layers - 2).

        `image` and `mask` are seen if it is conditional.

        Raises:
            ValueError: H or W is below 3 * 2^layers.
        """
        demand_size(picture, self.depth)
        return [self.layers(seen(self.conditional, picture, image, mask))]


class Multiscale(nn.Module):
    """PatchGANs of one form on the picture, on its half, its quarter, …, each with weights of its own.

    Each next picture is the average over 3x3 pixels at stride 2, what lies beyond the border left out.

    Reference: Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs"
    (pix2pixHD), CVPR 2018.
    """

    def __init__(
        self, scales: int = 2, width: int = 64, layers: int = 3, norm: str = "batch", conditional: bool = False
    ) -> None:
        """Make `scales` PatchGANs; the other arguments are those of `PatchGan`."""
        super().__init__()
        self.depth, self.conditional = layers, conditional
        inputs = channels(conditional)
        self.scales = nn.ModuleList(patch_layers(inputs, width, layers, norm) for _ in range(scales))

    def forward(self, picture: Tensor, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Judge `picture` (B, 3, H, W) by a map (B, 1, h, w) a scale, the finest first.

        Raises:
            ValueError: the smallest scale is below 3 * 2^layers pixels a side.
        """
        x = seen(self.conditional, picture, image, mask)
        maps = []
        for number, scale in enumerate(self.scales, start=1):
            if number > 1:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            demand_size(x, self.depth, number)
            maps.append(scale(x))
        return maps
