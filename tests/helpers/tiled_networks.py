"""Networks whose receptive radius is known, and tiles over them."""

from __future__ import annotations

import torch
from torch import nn

from toolbox.inference.tiling import TiledNetwork

CPU = torch.device("cpu")


class Stack(nn.Module):
    """Convolutions of the given radii in pixels, at 1 / `multiple` of the size; enlarged again at the end."""

    def __init__(self, *radii, multiple=1):
        super().__init__()
        torch.manual_seed(0)
        channels = [4, *[6] * (len(radii) - 1), 3]
        pairs = zip(channels, channels[1:], radii, strict=False)
        self.layers = nn.Sequential(*(nn.Conv2d(a, b, 3, padding=r, dilation=r) for a, b, r in pairs))
        self.multiple = multiple

    def forward(self, image, mask):
        x = torch.cat([image, mask], 1)
        if self.multiple > 1:
            x = nn.functional.avg_pool2d(x, self.multiple)
        x = torch.sigmoid(4 * self.layers(x))
        return nn.functional.interpolate(x, scale_factor=self.multiple) if self.multiple > 1 else x


class Mean(Stack):
    """Returns the mean of the picture everywhere, so its receptive field is the whole picture."""

    def forward(self, image, mask):
        return image.mean().expand_as(image)


# Each network with the multiple that it needs and its receptive radius, worked out by hand.
NETWORKS = {
    "one pixel": (Stack(1), 1, 1),
    "three": (Stack(1, 3, 7), 1, 11),
    # Two cells of 8 pixels each, counted from where a tile may start.
    "pooled": (Stack(1, 1, multiple=8), 8, 16),
    "wide": (Stack(1, 15, 31), 1, 47),
}


def tiled(network, multiple, tile, radius=None, warn=print):
    return TiledNetwork(
        network=network, device=CPU, multiple=multiple, tile=tile, receptive_radius=lambda: radius, warn=warn
    )
