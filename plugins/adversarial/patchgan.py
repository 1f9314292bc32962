"""PatchGAN of configurable depth and normalization, and several of them at different scales."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}


def input_channels(conditional: bool) -> int:
    """Return the number of input channels: picture, damaged image and mask if `conditional`, else the picture."""
    return 7 if conditional else 3


def join_inputs(conditional: bool, picture: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Return a discriminator's input (B, 7, H, W): picture, damaged image, mask; the picture if not `conditional`."""
    return torch.cat([picture, image, mask], dim=1) if conditional else picture


def patch_layers(inputs: int, width: int, layers: int, norm: str) -> nn.Sequential:
    """Return the layers of a PatchGAN, `inputs` channels to 1.

    They are `layers` 4x4 convolutions of stride 2, one of stride 1, and a last one of stride 1, with LeakyReLU 0.2
    between them. The channels double from `width` up to 8 `width`. The norms "batch" and "instance" follow every
    convolution except the first and the last; "spectral" is applied to every convolution.
    """
    widths = [inputs, *(width * min(2**level, 8) for level in range(layers + 1))]
    modules: list[nn.Module] = []
    for level, (channels_in, channels_out) in enumerate(pairwise(widths)):
        has_norm = norm in NORMS and level > 0
        # No bias before a norm, which would subtract it.
        conv = nn.Conv2d(channels_in, channels_out, 4, 2 if level < layers else 1, padding=1, bias=not has_norm)
        modules.append(spectral_norm(conv) if norm == "spectral" else conv)
        if has_norm:
            modules.append(NORMS[norm](channels_out))
        modules.append(nn.LeakyReLU(0.2, inplace=True))
    head = nn.Conv2d(widths[-1], 1, 4, padding=1)
    modules.append(spectral_norm(head) if norm == "spectral" else head)
    return nn.Sequential(*modules)


def require_size(picture: Tensor, layers: int, scale: int = 1) -> None:
    """Raise ValueError if `picture` is too small for a PatchGAN of `layers` layers at scale number `scale`."""
    minimum, side = 3 * 2**layers, min(picture.shape[-2:])
    if side < minimum:
        suffix = "" if scale == 1 else f" at scale {scale}"
        raise ValueError(
            f"a PatchGAN of {layers} layers needs pictures with sides of {minimum} pixels or more{suffix}, not {side}; "
            "reduce layers or scales, or increase data.size"
        )


class PatchGan(nn.Module):
    """PatchGAN: judges every patch of a picture separately; no final sigmoid.

    The side of a patch (the receptive field) is 16, 34, 70, 142, 286 pixels for 1, 2, 3, 4, 5 layers.

    References: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017;
    Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.
    """

    def __init__(self, width: int = 64, layers: int = 3, norm: str = "batch", conditional: bool = False) -> None:
        """Make a PatchGAN; for the arguments see `patch_layers` and `join_inputs`."""
        super().__init__()
        self.depth, self.conditional = layers, conditional
        self.layers = patch_layers(input_channels(conditional), width, layers, norm)

    def forward(self, picture: Tensor, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Return one map (B, 1, H // 2^layers - 2, W // 2^layers - 2) for `picture` (B, 3, H, W).

        `image` and `mask` are used only if it is conditional.

        Raises:
            ValueError: H or W is below 3 * 2^layers.
        """
        require_size(picture, self.depth)
        return [self.layers(join_inputs(self.conditional, picture, image, mask))]


class Multiscale(nn.Module):
    """PatchGANs of equal architecture, with separate weights, on the picture at full, half, quarter, … size.

    Each smaller picture is the average over 3x3 pixels at stride 2; pixels beyond the border don't count.

    Reference: Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs"
    (pix2pixHD), CVPR 2018.
    """

    def __init__(
        self, scales: int = 2, width: int = 64, layers: int = 3, norm: str = "batch", conditional: bool = False
    ) -> None:
        """Make `scales` PatchGANs; the other arguments are those of `PatchGan`."""
        super().__init__()
        self.depth, self.conditional = layers, conditional
        inputs = input_channels(conditional)
        self.scales = nn.ModuleList(patch_layers(inputs, width, layers, norm) for _ in range(scales))

    def forward(self, picture: Tensor, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Return one map (B, 1, h, w) for each scale of `picture` (B, 3, H, W), the full size first.

        Raises:
            ValueError: a side of the smallest scale is below 3 * 2^layers pixels.
        """
        x = join_inputs(self.conditional, picture, image, mask)
        maps = []
        for number, scale in enumerate(self.scales, start=1):
            if number > 1:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            require_size(x, self.depth, number)
            maps.append(scale(x))
        return maps
