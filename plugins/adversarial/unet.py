"""A discriminator that is a U-Net and judges every pixel."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from .patchgan import input_channels, join_inputs


def spectral_conv(inputs: int, outputs: int, side: int, stride: int) -> nn.Module:
    """Return a convolution with spectral normalization, padding 1 and no bias."""
    return spectral_norm(nn.Conv2d(inputs, outputs, side, stride, padding=1, bias=False))


class UNetDiscriminator(nn.Module):
    """U-Net with spectral normalization, added skips, bilinear upsampling, LeakyReLU 0.2 and no final sigmoid.

    With width 64 and 3 levels it has 4,376,897 parameters, as in Real-ESRGAN. Also as there, the first and the last
    convolution have no spectral normalization.

    References: Wang et al., "Real-ESRGAN", ICCV workshops 2021; Schönfeld et al., "A U-Net Based Discriminator
    for Generative Adversarial Networks", CVPR 2020, here without its second output, which judges whole pictures.
    """

    def __init__(self, width: int = 64, levels: int = 3, conditional: bool = False) -> None:
        """Make a U-Net that halves the size `levels` times; its channels double up to 8 `width`."""
        super().__init__()
        self.conditional = conditional
        widths = [width * min(2**level, 8) for level in range(levels + 1)]
        self.first = nn.Conv2d(input_channels(conditional), width, 3, padding=1)
        self.down = nn.ModuleList(spectral_conv(above, below, 4, 2) for above, below in pairwise(widths))
        self.up = nn.ModuleList(spectral_conv(below, above, 3, 1) for below, above in pairwise(reversed(widths)))
        self.last = nn.ModuleList([spectral_conv(width, width, 3, 1), spectral_conv(width, width, 3, 1)])
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, picture: Tensor, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Return one map (B, 1, H, W) for `picture` (B, 3, H, W); H and W are 2^levels or more.

        `image` and `mask` are used only if it is conditional.
        """
        x = F.leaky_relu(self.first(join_inputs(self.conditional, picture, image, mask)), 0.2)
        skips: list[Tensor] = []
        for down in self.down:
            skips.append(x)
            x = F.leaky_relu(down(x), 0.2)
        for up in self.up:
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = F.leaky_relu(up(x), 0.2) + skip
        for conv in self.last:
            x = F.leaky_relu(conv(x), 0.2)
        return [self.head(x)]
