"""The spandrel bundle: files it takes and refuses; with and without the library. Some 10 s."""

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


def saved(network, path):
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return str(path)


def refusal(path):
    with pytest.raises(ValueError) as caught:
        SPEC.check(plugin.SpandrelParams(weights=str(path)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def denoiser(architectures, **options):
    torch.manual_seed(0)
    return architectures.DnCNN.DnCNN(**{"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 8, "act_mode": "R"} | options)


@pytest.fixture
def architectures(spandrel):
    from spandrel import architectures

    return architectures


def pair(height=21, width=30):
    random = torch.Generator().manual_seed(1)
    mask = torch.zeros(2, 1, height, width)
    mask[..., 4:9, 6:20] = 1
    return torch.rand(2, 3, height, width, generator=random), mask


def test_without_the_library_it_says_how_to_get_it(monkeypatch, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    assert "pip install 'toolbox-restore[spandrel]'" in refusal(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin"])
def test_an_older_format_is_never_opened(monkeypatch, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"\x80\x04.")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("opened a pickle"))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("opened a pickle"))
    said = refusal(path)
    assert "safetensors.torch.save_file" in said and "weights.safetensors" in said


def test_files_that_are_not_there_or_not_safetensors(tmp_path):
    assert "there is no file" in refusal(tmp_path / "none.safetensors")
    assert "not a .safetensors file" in refusal(tmp_path / "photo.png")
    with pytest.raises(ValidationError, match="weights"):
        plugin.SpandrelParams()


def test_files_that_hold_no_network(spandrel, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    assert "no network that spandrel knows" in refusal(path)
    path.write_bytes(b"not a header")
    assert "can't be read" in refusal(path)


def test_networks_that_do_not_fit(architectures, tmp_path):
    gray = saved(denoiser(architectures, in_nc=1, out_nc=1), tmp_path / "gray.safetensors")
    assert "DnCNN takes 1 channels and gives 1" in refusal(gray)
    larger = architectures.Compact.Compact(num_feat=8, num_conv=2, upscale=2)
    assert "enlarges 2 times" in refusal(saved(larger, tmp_path / "larger.safetensors"))


def test_a_restoration_network_is_given_the_picture_alone(architectures, tmp_path):
    source = denoiser(architectures)
    params = plugin.SpandrelParams(weights=saved(source, tmp_path / "denoiser.safetensors"))
    SPEC.check(params)
    network = SPEC.build(params).eval()
    image, mask = pair()
    with torch.no_grad():
        expected = source.eval()(image).clamp(0, 1)
    restored = network(image, mask)
    assert torch.allclose(restored, expected, atol=1e-6)
    assert torch.equal(restored, network(image, 1 - mask))
    restored.mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    assert max(float(weight.grad.abs().max()) for weight in network.parameters()) > 0


def test_odd_sizes_are_brought_to_what_the_network_takes(architectures, tmp_path):
    torch.manual_seed(0)
    source = architectures.NAFNet.NAFNet(width=8, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1])
    network = SPEC.build(plugin.SpandrelParams(weights=saved(source, tmp_path / "naf.safetensors")))
    image, mask = pair()
    restored = network(image, mask)
    assert restored.shape == image.shape
    assert 0 <= restored.min() and restored.max() <= 1
    assert probe_multiple(network.eval(), torch.device("cpu")) == 1


def test_spandrels_own_call_agrees(spandrel, architectures, tmp_path):
    path = saved(denoiser(architectures), tmp_path / "denoiser.safetensors")
    image, mask = pair()
    theirs = spandrel.ModelLoader("cpu").load_from_file(path)(image[:1].clone())
    ours = SPEC.build(plugin.SpandrelParams(weights=path)).eval()(image[:1], mask[:1])
    assert torch.allclose(theirs, ours, atol=1e-6)


def test_an_inpainting_network_is_given_the_mask_too(architectures, tmp_path):
    torch.manual_seed(0)
    source = architectures.LaMa.LaMa(in_nc=4, out_nc=3)
    network = SPEC.build(plugin.SpandrelParams(weights=saved(source, tmp_path / "lama.safetensors"))).eval()
    image, mask = pair()
    with torch.no_grad():
        restored = network(image, mask)
    known = mask.expand_as(image) == 0
    assert restored.shape == image.shape
    assert torch.equal(restored[known], image[known])
    assert not torch.allclose(restored[~known], image[~known])
