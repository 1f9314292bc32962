"""Activation checkpointing changes neither values nor gradients nor running statistics, and saves memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from toolbox.distributed.activation_checkpointing import blocks, checkpoint_activations
from toolbox.hooks import catalog


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.Dropout(0.3))
            for a, b in ((3, 4), (4, 6))
        )
        self.up = nn.Sequential(nn.Conv2d(6, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.head = nn.Conv2d(3, 3, 1)

    def forward(self, image, mask):
        for block in self.down:
            image = block(image)
        return torch.sigmoid(self.head(self.up(image)))


def test_the_blocks_are_the_modules_that_hold_layers_and_are_called():
    network = Net()
    assert list(blocks(network)) == [*network.down, network.up]


def test_nothing_changes():
    torch.manual_seed(0)
    plain = Net().double()
    again = copy.deepcopy(plain)
    checkpoint_activations(again)
    image = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    for network in (plain, again):
        torch.manual_seed(1)
        for _ in range(2):
            network(image, None).square().sum().backward()
    assert all(
        torch.equal(one.grad, other.grad) for one, other in zip(plain.parameters(), again.parameters(), strict=True)
    )
    states = plain.state_dict(), again.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert int(states[1]["up.1.num_batches_tracked"]) == 2


@pytest.mark.parametrize(("name", "share"), [("inpainting-unet", 0.6), ("residual-unet", 0.75)])
def test_less_is_kept_for_the_backward_pass(name, share):
    spec = catalog.load(third_party=False).spec("generator", name)
    network = spec.build(spec.params(width=8))
    kept = []
    for _ in range(2):
        sizes = {}

        def keep(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            network(torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64))
        weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
        kept.append(sum(size for place, size in sizes.items() if place not in weights))
        checkpoint_activations(network)
    assert kept[1] < share * kept[0]
