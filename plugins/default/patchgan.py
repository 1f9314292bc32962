"""The published discriminator: a PatchGAN of five 4x4 convolutions."""

from __future__ import annotations

from torch import Tensor, nn


def conv_norm_activation(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    """Return the layers of one middle stage: 4x4 convolution with bias, BatchNorm, LeakyReLU."""
    return [
        nn.Conv2d(inputs, outputs, 4, stride, padding=1),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
    ]


class LsganPatch(nn.Module):
    """PatchGAN without a final sigmoid, for the LSGAN loss; 2,766,529 parameters at the published width of 64.

    Reference: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017. This one
    is not conditional.
    """

    def __init__(self, width: int = 64) -> None:
        """Make a discriminator of `width`, 2 `width`, 4 `width` and 8 `width` channels."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            *conv_norm_activation(width, 2 * width, 2),
            *conv_norm_activation(2 * width, 4 * width, 2),
            *conv_norm_activation(4 * width, 8 * width, 1),
            nn.Conv2d(8 * width, 1, 4, 1, padding=1),
        )

    def forward(self, picture: Tensor, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Return one map (B, 1, H // 8 - 2, W // 8 - 2) for `picture` (B, 3, H, W); H and W are 24 or more.

        The damaged `image` and the `mask` are not used.
        """
        return [self.layers(picture)]
