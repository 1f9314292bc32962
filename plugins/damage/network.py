"""The network that finds damage: a light encoder of photographs, with fine detail and traced lines beside it."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from toolbox import backbones

from .kinds import KINDS
from .tracer import CHANNELS

# Sides of the pictures must be multiples of this.
MULTIPLE = 32
ENCODER = "tf_efficientnet_lite0"


class DamageNet(nn.Module):
    """Scores of the classes at half the size: undamaged, and each kind of damage.

    The encoder is the first five stages of an EfficientNet-Lite; the deeper half is not needed to find damage.
    """

    def __init__(self, *, pretrained: bool = False, weights: str | None = None) -> None:
        """Build the layers with random weights, or the encoder's with those of timm's hub or of a file.

        Args:
            pretrained: download timm's weights of `ENCODER`.
            weights: a safetensors file with the weights of `ENCODER`.

        Raises:
            ValueError: as `toolbox.backbones.load`.
        """
        super().__init__()
        backbone = backbones.create(ENCODER)
        backbones.load(backbone, ENCODER, pretrained=pretrained, weights=weights)
        half, quarter, eighth, sixteenth = backbone.channels[:4]
        encoder: Any = backbone.network
        encoder.blocks = encoder.blocks[:5]
        self.encoder = encoder
        self.detail = _layer(4 + CHANNELS, 24)
        self.narrow = nn.ModuleList([nn.Conv2d(sixteenth, 48, 1), nn.Conv2d(48, 32, 1), nn.Conv2d(32, 24, 1)])
        self.decode = nn.ModuleList([_layer(eighth + 48, 48), _layer(quarter + 32, 32), _layer(half + 24 + 24, 32)])
        self.head = nn.Conv2d(32, 1 + len(KINDS), 3, 1, 1)

    def forward(self, gray: Tensor, traced: Tensor) -> Tensor:
        """Return the logits (B, classes, H / 2, W / 2).

        Args:
            gray: (B, 1, H, W), 0 to 1; H and W are multiples of `MULTIPLE`.
            traced: the lines at half the size, (B, CHANNELS, H / 2, W / 2); see `tracer.trace`.
        """
        levels = self.encoder(((gray * 255 - 127) / 128).expand(-1, 3, -1, -1))
        detail = self.detail(torch.cat([functional.pixel_unshuffle(2 * gray - 1, 2), traced], 1))
        beside = (levels[2], levels[1], torch.cat([levels[0], detail], 1))
        features = levels[3]
        for narrow, decode, finer in zip(self.narrow, self.decode, beside, strict=True):
            deeper = functional.interpolate(narrow(features), scale_factor=2.0, mode="nearest")
            features = decode(torch.cat([finer, deeper], 1))
        logits: Tensor = self.head(features)
        return logits

    def early_stages(self) -> tuple[nn.Module, ...]:
        """Return the modules of the encoder at a half and a quarter of the size, which take most of its time."""
        encoder = self.encoder
        return encoder.conv_stem, encoder.bn1, encoder.blocks[0], encoder.blocks[1]


def fold_norms(network: nn.Module) -> None:
    """Fold each normalization into the convolution before it, in place; the network must be in eval mode.

    The result is the same except for rounding. A normalization takes a quarter of the time of the network.
    """
    for module in list(network.modules()):
        children = list(module.named_children())
        for (name, first), (next_name, second) in itertools.pairwise(children):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(first, second))
                setattr(module, next_name, nn.Identity())


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    """Return a convolution with its normalization and activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
