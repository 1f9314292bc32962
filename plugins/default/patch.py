"""The published discriminator: a PatchGAN of five 4x4 convolutions."""

from __future__ import annotations

from torch import Tensor, nn


def normed(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    """Return one middle stage: 4x4 convolution with bias, BatchNorm, LeakyReLU."""
    return [
        nn.Conv2d(inputs, outputs, 4, stride, padding=1),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
    ]


class LsganPatch(nn.Module):
    """PatchGAN without a sigmoid, as LSGAN wants it; with the published width 64, 2,766,529 parameters.

    Reference: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017,
    here without the condition.
    """

    def __init__(self, width: int = 64) -> None:
        """Make a discriminator of `width`, 2 `width`, 4 `width` and 8 `width` channels."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            *normed(width, 2 * width, 2),
            *normed(2 * width, 4 * width, 2),
            *normed(4 * width, 8 * width, 1),
            nn.Conv2d(8 * width, 1, 4, 1, padding=1),
        )

    def forward(self, picture: Tensor, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Judge `picture` (B, 3, H, W) by one map (B, 1, H // 8 - 2, W // 8 - 2), H and W at least 24.

        The damaged `image` and the `mask` are not used.
        """
        return [self.layers(picture)]
