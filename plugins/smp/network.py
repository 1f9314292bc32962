"""A network of smp as a generator: normalized input, sigmoid at the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import encoders, pretrained
from .params import SmpParams


class SmpGenerator(nn.Module):
    """Normalize RGB, append the mask if `mask_input`, apply encoder, decoder and a sigmoid.

    The mean and standard deviation of the normalization are saved with the weights, so a weight file contains the
    normalization that it was trained with. They are 0 and 1 if the encoder started with random weights.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, statistics: pretrained.Statistics, mask_input: bool) -> None:
        """Wrap `network`, which maps three channels, or four with `mask_input`, to three channels of logits."""
        super().__init__()
        self.network = network
        self.mask_input = mask_input
        for name, values in zip(("mean", "deviation"), statistics, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Restore `image` (B, 3, H, W) in [0, 1] to the same shape and range.

        The U-Nets take any H and W. The other decoders need multiples of the encoder's total stride, usually 32, and
        raise RuntimeError otherwise. `mask` (B, 1, H, W) is used only with `mask_input`.
        """
        x = (image - self.mean) / self.deviation
        if self.mask_input:
            x = torch.cat([x, mask], dim=1)
        return torch.sigmoid(self.network(x))


def check(params: SmpParams) -> None:
    """Raise ValueError if decoder and encoder are not compatible, or the weights don't exist; one line."""
    encoders.find_size_options(params)
    pretrained.check_weights(params)


def build(params: SmpParams) -> nn.Module:
    """Build the generator and load the encoder's weights; raise ValueError as `check` does."""
    size_options = encoders.find_size_options(params)
    network = encoders.create_network(params, size_options)
    if pretrained.is_used(params):
        pretrained.check_weights(params)
        pretrained.load_weights(network.get_submodule("encoder"), params, size_options)
    return SmpGenerator(network, pretrained.statistics(params), params.mask_input)
