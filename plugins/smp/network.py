"""A network of smp as a generator: normalised on the way in, a sigmoid on the way out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import joins, pretrained
from .params import SmpParams


class SmpGenerator(nn.Module):
    """RGB and, if wanted, the mask through encoder and decoder to RGB.

    The colours' mean and deviation are kept with the weights, so that a file of trained weights carries the
    normalisation that it was trained with. They are 0 and 1 where the encoder started at random.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, statistics: pretrained.Statistics, mask_input: bool) -> None:
        """Wrap `network`, which takes three channels, or four with `mask_input`, and gives three logits."""
        super().__init__()
        self.network = network
        self.mask_input = mask_input
        for name, values in zip(("mean", "deviation"), statistics, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W) in [0, 1] into the same shape and range.

        The U-Nets take any H and W; the other decoders take multiples of the encoder's total stride, 32 as a
        rule, and raise RuntimeError otherwise. `mask` (B, 1, H, W) is used with `mask_input` alone.
        """
        x = (image - self.mean) / self.deviation
        if self.mask_input:
            x = torch.cat([x, mask], dim=1)
        return torch.sigmoid(self.network(x))


def check(params: SmpParams) -> None:
    """Raise ValueError, in one line, for a pair that smp can't join or weights that nobody has published."""
    joins.sizing(params)
    pretrained.published(params)


def build(params: SmpParams) -> nn.Module:
    """Build the generator, its encoder with the weights that it starts from; ValueError as `check` has it."""
    sizing = joins.sizing(params)
    network = joins.create(params, sizing)
    if pretrained.wanted(params):
        pretrained.published(params)
        pretrained.load(network.get_submodule("encoder"), params, sizing)
    return SmpGenerator(network, pretrained.statistics(params), params.mask_input)
