"""Activation checkpointing changes no value, gradient or running statistic, and saves memory."""

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


def test_blocks_are_the_called_modules_that_hold_several_layers():
    network = Net()
    assert list(blocks(network)) == [*network.down, network.up]


def test_gradients_and_running_statistics_are_the_same():
    torch.manual_seed(0)
    plain = Net().double()
    checkpointed = copy.deepcopy(plain)
    checkpoint_activations(checkpointed)
    image = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    for network in (plain, checkpointed):
        torch.manual_seed(1)
        for _ in range(2):
            network(image, None).square().sum().backward()
    pairs = zip(plain.parameters(), checkpointed.parameters(), strict=True)
    assert all(torch.equal(expected.grad, actual.grad) for expected, actual in pairs)
    expected, actual = plain.state_dict(), checkpointed.state_dict()
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert int(actual["up.1.num_batches_tracked"]) == 2


@pytest.mark.parametrize(("name", "fraction"), [("inpainting-unet", 0.6), ("residual-unet", 0.75)])
def test_less_memory_is_kept_for_the_backward_pass(name, fraction):
    spec = catalog.load(third_party=False).spec("generator", name)
    network = spec.build(spec.params(width=8))
    kept_bytes = []
    for _ in range(2):
        sizes = {}

        def pack(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64))
        weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
        kept_bytes.append(sum(size for address, size in sizes.items() if address not in weights))
        checkpoint_activations(network)
    assert kept_bytes[1] < fraction * kept_bytes[0]
