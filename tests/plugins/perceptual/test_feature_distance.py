"""The loss perceptual against torchvision's VGG16, its frozen network, its checks."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file
from tensors import to_tensor, uniform

from toolbox.config import binding, recipe
from toolbox.errors import RecipeError

SMALL = "test_efficientnet"


def test_perceptual_equals_torchvisions_vgg(build_loss, shared, real_photos):
    """Compute the distances of VGG16's features with torchvision's layers, its normalization and NumPy."""
    path = shared / "weights" / "vgg16_features_fp16.safetensors"
    loss = build_loss("perceptual", backbone="vgg16", weights=str(path), layers=[1, 2])
    with torch.device("meta"):
        layers = torchvision.models.vgg16().features.eval()
    tensors = {k.removeprefix("features."): v.float() for k, v in load_file(path).items() if k.startswith("features.")}
    layers.load_state_dict(tensors, assign=True)
    x, y = (to_tensor(photo[:64, :64], dtype=torch.float32) for photo in real_photos[:2])
    normalize = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    # timm's feature maps are those before the pooling: relu2_2 and relu3_3.
    expected = []
    with torch.no_grad():
        for end in (9, 16):
            a, b = (layers[:end](normalize(pictures)).numpy() for pictures in (x, y))
            expected.append(np.abs(a - b).mean())
    assert loss(x, y, None).item() == pytest.approx(fmean(expected), rel=1e-4)


def test_the_network_is_frozen_and_not_in_the_state(build_loss):
    loss = build_loss("perceptual", backbone=SMALL, layers=[0, 2, 4], distance="mse")
    assert not loss.state_dict() and not list(loss.parameters())
    loss.train()
    assert not any(module.training for module in loss.network.modules())
    state = {key: value.clone() for key, value in loss.network.state_dict().items()}
    restored, truth = uniform(2, 3, 40, 50).float().requires_grad_(), uniform(2, 3, 40, 50, seed=1).float()
    loss(restored, truth, None).backward()
    assert restored.grad.abs().sum() > 0
    assert not any(weight.requires_grad or weight.grad is not None for weight in loss.network.parameters())
    assert all(torch.equal(value, state[key]) for key, value in loss.network.state_dict().items())
    assert loss(truth, truth, None).item() == 0
    loss.to(torch.float64)
    assert {weight.dtype for weight in loss.network.parameters()} == {torch.float64}
    loss.to("meta")
    assert {weight.device.type for weight in loss.network.parameters()} == {"meta"}


def test_checks_and_warnings(perceptual_catalog):
    def bind(**params):
        tree = {"generator": {"name": "inpainting-unet"}, "losses": {"perceptual": params}}
        return binding.bind(recipe.Recipe(name="test", tree=tree), perceptual_catalog)

    assert "uses a network with random weights" in bind(backbone=SMALL).warnings[0]
    assert not bind(backbone=SMALL, pretrained=True).warnings
    for params, message in (
        ({"backbone": "vgg61"}, "timm has no backbone 'vgg61'. Similar names: vgg"),
        ({"backbone": SMALL, "layers": [0, 5]}, "has 5 feature maps, 0 to 4"),
        ({"backbone": SMALL, "weights": "nowhere.safetensors"}, "there is no file nowhere.safetensors"),
        ({"backbone": "mixer_s32_224"}, "does not take pictures of any size"),
    ):
        with pytest.raises(RecipeError) as caught:
            bind(**params).check()
        assert message in str(caught.value)
    for params in ({"layers": []}, {"layers": [1, 1]}, {"pretrained": True, "weights": "x"}, {"distance": "l3"}):
        with pytest.raises(RecipeError):
            bind(**params)
