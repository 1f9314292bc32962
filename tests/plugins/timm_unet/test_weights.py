"""Initial weights of the encoder: safetensors files, timm's hub, and errors."""

from __future__ import annotations

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm_unets import LITE, SMALL, bind_recipe, build, load_catalog, make_inputs

from toolbox import backbones
from toolbox.errors import PluginError
from toolbox.models.build import build_component


@pytest.fixture(scope="module")
def lite_weights(shared):
    return shared / "weights" / "tf_efficientnet_lite0.safetensors"


def test_with_weights_from_a_file_the_mask_has_no_effect_at_first(lite_weights):
    """The encoder with four channels equals timm's own network with three channels and timm's own loader."""
    network = build(backbone=LITE, weights=str(lite_weights)).eval()
    reference = timm.create_model(
        LITE, features_only=True, pretrained=True, pretrained_cfg_overlay={"file": str(lite_weights)}
    ).eval()
    image, mask = make_inputs()
    with torch.no_grad():
        expected = reference(image)
        for values in (mask, torch.zeros_like(mask)):
            for ours, theirs in zip(network.encoder(torch.cat([image, values], 1)), expected, strict=True):
                assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    stem = network.encoder.conv_stem.weight
    assert torch.equal(stem[:, :3], load_file(lite_weights)["conv_stem.weight"])
    assert not stem[:, 3].any()
    # The weights of the mask can be trained.
    network(image, mask).sum().backward()
    assert stem.grad[:, 3].abs().sum() > 0


def test_keys_of_renamed_modules_are_found(tmp_path):
    """timm's feature extractors rename the modules of some families (stem.0 to stem_0, or a prefix 'model')."""
    image = torch.rand(1, 3, 64, 64)
    for name in ("test_convnext", "test_vit"):
        torch.manual_seed(5)
        full_model = timm.create_model(name, **({"dynamic_img_size": True} if "vit" in name else {})).eval()
        save_file(full_model.state_dict(), tmp_path / "full.safetensors")
        network = build(backbone=name, weights=str(tmp_path / "full.safetensors")).eval()
        with torch.no_grad():
            last = backbones.features(network.encoder, torch.cat([image, torch.zeros(1, 1, 64, 64)], 1))[-1]
            expected = full_model.forward_intermediates(image, indices=1, intermediates_only=True)[0]
        assert torch.allclose(last, expected, rtol=1e-4, atol=1e-5)


def test_a_file_of_another_network_is_rejected(tmp_path):
    state = timm.create_model(SMALL).state_dict()
    path = tmp_path / "weights.safetensors"

    def load_error(tensors, name=SMALL):
        save_file(tensors, path)
        with pytest.raises(ValueError) as caught:
            build(backbone=name, weights=str(path))
        assert "\n" not in str(caught.value)
        assert "weights.safetensors" in str(caught.value)
        return str(caught.value)

    assert "is not of 'test_efficientnet'" in load_error(state | {"blocks.9.0.weight": torch.zeros(1)})
    assert "doesn't fit the backbone in 1 tensors: conv_stem.weight is missing" in load_error(
        {key: value for key, value in state.items() if key != "conv_stem.weight"}
    )
    shape = list(state["bn1.bias"].shape)
    assert f"bn1.bias is [1], not {shape}" in load_error(state | {"bn1.bias": torch.zeros(1)})
    assert "is not of 'test_resnet'" in load_error(state, "test_resnet")
    # A missing head and additional tensors of another head are accepted.
    headless = {key: value for key, value in state.items() if not key.startswith("classifier")}
    save_file(headless | {"lpips.0": torch.zeros(1)}, path)
    assert build(weights=str(path)).encoder.bn1.bias.shape == state["bn1.bias"].shape
    path.write_bytes(b"\x80\x04 not safetensors")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        build(weights=str(path))
    with pytest.raises(ValueError, match="there is no file"):
        build(weights=str(tmp_path / "absent.safetensors"))


def test_without_internet_the_error_is_one_line(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("Name or service\nnot known")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    generator = bind_recipe(load_catalog(), "generator.pretrained=true").generator
    with pytest.raises(PluginError) as caught:
        build_component(generator)
    message = str(caught.value)
    assert "\n" not in message
    assert "generator 'timm-unet'" in message.lower()
    assert "can't be downloaded from timm's hub" in message and "Name or service not known" in message
    assert "set weights to a safetensors file" in message


def test_pretrained_loads_the_hubs_safetensors_file(lite_weights, monkeypatch):
    downloads = []

    def download(repository, name, **options):
        downloads.append((repository, name))
        return str(lite_weights)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    network = build(backbone=LITE, pretrained=True)
    assert downloads == [(timm.get_pretrained_cfg(LITE).hf_hub_id, "model.safetensors")]
    from_file = build(backbone=LITE, weights=str(lite_weights))
    assert all(
        torch.equal(a, b) for a, b in zip(network.encoder.parameters(), from_file.encoder.parameters(), strict=True)
    )
