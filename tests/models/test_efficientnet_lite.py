"""Our EfficientNet-Lite against timm's: the same draws, outputs and gradients, to the last bit."""

from __future__ import annotations

from importlib.metadata import version

import pytest
import timm
import torch

from toolbox import backbones
from toolbox.models import efficientnet_lite
from toolbox.models.efficientnet_lite import EfficientNetLite

NAME = "tf_efficientnet_lite0"
NAMES = sorted(efficientnet_lite.SCALES)


def pair(inputs, name=NAME):
    ours, theirs = EfficientNetLite(name, inputs), timm.create_model(name, features_only=True, in_chans=inputs)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("inputs", [3, 4])
@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maps_and_gradients_are_those_of_timm(inputs, is_training, layout):
    torch.manual_seed(0)
    networks = [network.train(is_training) for network in pair(inputs)]
    picture = torch.rand(2, inputs, 97, 130).contiguous(memory_format=layout)
    ours, theirs = (network(picture) for network in networks)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    for maps in (ours, theirs):
        sum(values.square().mean() for values in maps).backward()
    parameters = [list(network.parameters()) for network in networks]
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(*parameters, strict=True))
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_larger_networks_are_those_of_timm(name):
    torch.manual_seed(0)
    ours, theirs = (network.eval() for network in pair(3, name))
    with torch.inference_mode():
        maps = [
            network(torch.rand(1, 3, 33, 64, generator=torch.Generator().manual_seed(1))) for network in (ours, theirs)
        ]
    assert all(torch.equal(a, b) for a, b in zip(*maps, strict=True))


@pytest.mark.skipif(version("timm") != "1.0.31", reason="the draws are recorded for timm 1.0.31")
@pytest.mark.parametrize(("name", "inputs"), [(NAME, 3), (NAME, 4), ("tf_efficientnet_lite2", 3)])
def test_a_seed_gives_the_network_and_the_random_state_of_timm(name, inputs):
    torch.manual_seed(5)
    theirs, their_next = timm.create_model(name, features_only=True, in_chans=inputs).state_dict(), torch.rand(1)
    torch.manual_seed(5)
    ours, our_next = EfficientNetLite(name, inputs).state_dict(), torch.rand(1)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert torch.equal(our_next, their_next)


@pytest.mark.parametrize("name", [f"{NAME}.in1k", *NAMES])
def test_the_backbone_says_of_itself_what_timm_says(name):
    backbone, config = backbones.create(name, 4), timm.get_pretrained_cfg(name)
    info = timm.create_model(name, features_only=True).feature_info
    assert isinstance(backbone.network, EfficientNetLite)
    assert backbone.channels == tuple(info.channels()) and backbone.strides == tuple(info.reduction())
    assert backbone.mean == config.mean and backbone.std == config.std
    maps = backbones.features(backbone.network, torch.zeros(1, 4, 64, 96))
    assert [values.shape[1:] for values in maps] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
