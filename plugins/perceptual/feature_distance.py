"""The perceptual loss: the distance of two pictures in the feature maps of a trained network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolbox.backbones import Backbone, features

from .pixel import DISTANCES


class Perceptual(nn.Module):
    """The mean over layers l of mean d(f_l(restored), f_l(truth)), with d the absolute or squared difference.

    f_l are the feature maps of a frozen network. The network is always in evaluation mode. Its weights are not trained
    and are not part of this module's parameters or state, so checkpoints don't contain them. `to` moves it too.

    Reference: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, *, layers: tuple[int, ...], distance: str) -> None:
        """Freeze `backbone`; `layers` are indices of its feature maps, where 0 is the finest."""
        super().__init__()
        network = backbone.network.eval().requires_grad_(False)
        # In a tuple, so that torch does not register it as a submodule.
        self._frozen = (network,)
        self.stride = max(backbone.strides)
        self.layers = layers
        self.distance = DISTANCES[distance]
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    @property
    def network(self) -> nn.Module:
        """The frozen network."""
        return self._frozen[0]

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        """Move and cast the frozen network together with this module."""
        self.network._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def selected_features(self, picture: Tensor) -> list[Tensor]:
        """Return the feature maps of the selected layers for `picture` (B, 3 or 1, H, W) in [0, 1]."""
        values = (picture.to(self.mean.dtype).expand(-1, 3, -1, -1) - self.mean) / self.std
        right, below = -values.shape[-1] % self.stride, -values.shape[-2] % self.stride
        if right or below:
            values = F.pad(values, (0, right, 0, below), mode="replicate")
        maps = features(self.network, values)
        return [maps[layer] for layer in self.layers]

    def forward(self, restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        """Return the distance of `restored` and `truth` (B, 3 or 1, H, W), a scalar; `mask` is not used."""
        with torch.no_grad():
            truth_maps = self.selected_features(truth)
        restored_maps = self.selected_features(restored)
        distances = [self.distance(x, y) for x, y in zip(restored_maps, truth_maps, strict=True)]
        return torch.stack(distances).mean()


def check_layers(backbone: Backbone, layers: tuple[int, ...]) -> None:
    """Raise ValueError if the backbone does not have all of `layers`."""
    count = len(backbone.strides)
    if max(layers) >= count:
        raise ValueError(f"layers {list(layers)}: the backbone has {count} feature maps, 0 to {count - 1}")
