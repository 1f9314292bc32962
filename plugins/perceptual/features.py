"""The perceptual loss: the distance of two pictures as a trained network sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolbox.backbones import Backbone, features

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "mse": F.mse_loss}


class Perceptual(nn.Module):
    """1/L sum over layers l of mean d(f_l(restored), f_l(truth)), d the absolute or the squared difference.

    f_l are the feature maps of a network that stands still: always in eval mode, its weights neither trained
    nor part of this module's state or parameters, so that checkpoints don't hold them; it moves with `to`.

    Reference: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, *, layers: tuple[int, ...], distance: str) -> None:
        """Freeze `backbone`; `layers` are the numbers of its feature maps, from 0, the finest."""
        super().__init__()
        network = backbone.network.eval().requires_grad_(False)
        # In a tuple, where torch does not find it and count it to this module's state.
        self._hidden = (network,)
        self.stride = max(backbone.strides)
        self.layers = layers
        self.distance = DISTANCES[distance]
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        """Move and cast the hidden network with this module."""
        self._hidden[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def see(self, picture: Tensor) -> list[Tensor]:
        """Return the chosen feature maps of `picture` (B, 3 or 1, H, W) in [0, 1]."""
        values = (picture.to(self.mean.dtype).expand(-1, 3, -1, -1) - self.mean) / self.std
        right, below = -values.shape[-1] % self.stride, -values.shape[-2] % self.stride
        if right or below:
            values = F.pad(values, (0, right, 0, below), mode="replicate")
        maps = features(self._hidden[0], values)
        return [maps[layer] for layer in self.layers]

    def forward(self, restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        """Return the distance of `restored` and `truth` (B, 3 or 1, H, W), a scalar; `mask` is not used."""
        with torch.no_grad():
            wanted = self.see(truth)
        pairs = zip(self.see(restored), wanted, strict=True)
        return torch.stack([self.distance(seen, there) for seen, there in pairs]).mean()


def chosen(backbone: Backbone, layers: tuple[int, ...]) -> None:
    """Raise ValueError if the backbone has not all of `layers`."""
    count = len(backbone.strides)
    if max(layers) >= count:
        raise ValueError(f"layers {list(layers)}: the backbone has {count} feature maps, 0 to {count - 1}")
