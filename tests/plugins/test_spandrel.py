"""The spandrel bundle: accepted and rejected files, with and without the library. Takes about 10 s."""

from __future__ import annotations

import sys

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from toolbox_plugins.spandrel_models import plugin

from toolbox.models.forward import probe_multiple

(SPEC,) = plugin.toolbox_generators()


@pytest.fixture
def spandrel():
    return pytest.importorskip("spandrel", reason="needs the extra: pip install 'toolbox-restore[spandrel]'")


def save(network, path):
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return str(path)


def check_error(path):
    with pytest.raises(ValueError) as caught:
        SPEC.check(plugin.SpandrelParams(weights=str(path)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def make_denoiser(architectures, **options):
    torch.manual_seed(0)
    return architectures.DnCNN.DnCNN(**{"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 8, "act_mode": "R"} | options)


@pytest.fixture
def architectures(spandrel):
    from spandrel import architectures

    return architectures


def make_inputs(height=21, width=30):
    random = torch.Generator().manual_seed(1)
    mask = torch.zeros(2, 1, height, width)
    mask[..., 4:9, 6:20] = 1
    return torch.rand(2, 3, height, width, generator=random), mask


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    assert "pip install 'toolbox-restore[spandrel]'" in check_error(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin"])
def test_a_pickle_is_never_opened(monkeypatch, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"\x80\x04.")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("opened a pickle"))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("opened a pickle"))
    message = check_error(path)
    assert "safetensors.torch.save_file" in message and "weights.safetensors" in message


def test_missing_files_and_other_formats_are_rejected(tmp_path):
    assert "there is no file" in check_error(tmp_path / "none.safetensors")
    assert "not a .safetensors file" in check_error(tmp_path / "photo.png")
    with pytest.raises(ValidationError, match="weights"):
        plugin.SpandrelParams()


def test_files_without_a_supported_network_are_rejected(spandrel, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    assert "spandrel does not support the network" in check_error(path)
    path.write_bytes(b"not a header")
    assert "can't be loaded" in check_error(path)


def test_networks_with_other_shapes_are_rejected(architectures, tmp_path):
    gray = save(make_denoiser(architectures, in_nc=1, out_nc=1), tmp_path / "gray.safetensors")
    assert "DnCNN has 1 input and 1 output channels" in check_error(gray)
    upscaler = architectures.Compact.Compact(num_feat=8, num_conv=2, upscale=2)
    assert "enlarges 2 times" in check_error(save(upscaler, tmp_path / "larger.safetensors"))


def test_a_restoration_network_gets_only_the_picture(architectures, tmp_path):
    source = make_denoiser(architectures)
    params = plugin.SpandrelParams(weights=save(source, tmp_path / "denoiser.safetensors"))
    SPEC.check(params)
    network = SPEC.build(params).eval()
    image, mask = make_inputs()
    with torch.no_grad():
        expected = source.eval()(image).clamp(0, 1)
    restored = network(image, mask)
    assert torch.allclose(restored, expected, atol=1e-6)
    assert torch.equal(restored, network(image, 1 - mask))
    restored.mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    assert max(float(weight.grad.abs().max()) for weight in network.parameters()) > 0


def test_pictures_are_padded_to_the_sizes_that_the_network_needs(architectures, tmp_path):
    torch.manual_seed(0)
    source = architectures.NAFNet.NAFNet(width=8, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1])
    network = SPEC.build(plugin.SpandrelParams(weights=save(source, tmp_path / "naf.safetensors")))
    image, mask = make_inputs()
    restored = network(image, mask)
    assert restored.shape == image.shape
    assert 0 <= restored.min() and restored.max() <= 1
    assert probe_multiple(network.eval(), torch.device("cpu")) == 1


def test_the_result_equals_that_of_spandrels_own_call(spandrel, architectures, tmp_path):
    path = save(make_denoiser(architectures), tmp_path / "denoiser.safetensors")
    image, mask = make_inputs()
    theirs = spandrel.ModelLoader("cpu").load_from_file(path)(image[:1].clone())
    ours = SPEC.build(plugin.SpandrelParams(weights=path)).eval()(image[:1], mask[:1])
    assert torch.allclose(theirs, ours, atol=1e-6)


def test_an_inpainting_network_gets_the_mask_too(architectures, tmp_path):
    torch.manual_seed(0)
    source = architectures.LaMa.LaMa(in_nc=4, out_nc=3)
    network = SPEC.build(plugin.SpandrelParams(weights=save(source, tmp_path / "lama.safetensors"))).eval()
    image, mask = make_inputs()
    with torch.no_grad():
        restored = network(image, mask)
    known = mask.expand_as(image) == 0
    assert restored.shape == image.shape
    assert torch.equal(restored[known], image[known])
    assert not torch.allclose(restored[~known], image[~known])
