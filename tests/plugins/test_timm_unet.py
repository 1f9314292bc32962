"""The U-Net over timm's backbones: sizes, ranges, weights from outside, and what it says where that fails."""

from __future__ import annotations

import subprocess
import sys

import huggingface_hub
import pytest
import timm
import torch
from catalogs import DEFAULT, registries
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from toolbox_plugins.timm_unet.blocks import ACTIVATIONS, upsampling
from toolbox_plugins.timm_unet.plugin import TimmUNetParams, build_timm_unet, check_timm_unet
from torchvision.transforms import Normalize

from toolbox import backbones
from toolbox.config import binding, recipe
from toolbox.errors import PluginError, RecipeError
from toolbox.hooks import catalog, manager
from toolbox.hooks.registry import Bundle
from toolbox.models.build import build_component

BUNDLE = Bundle(name="timm_unet", module="toolbox_plugins.timm_unet.plugin")
SMALL = "test_efficientnet"
LITE = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def loaded():
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, BUNDLE)))


@pytest.fixture(scope="module")
def lite(shared):
    return shared / "weights" / "tf_efficientnet_lite0.safetensors"


def bound(loaded, *overrides):
    return binding.bind(recipe.read("timm-unet", lambda name: loaded.recipe(name).path, overrides), loaded)


def network(**params):
    torch.manual_seed(0)
    return build_timm_unet(TimmUNetParams(**({"backbone": SMALL, "decoder": (32, 24, 16, 8, 8)} | params)))


def batch(height=64, width=96, count=2):
    random = torch.Generator().manual_seed(1)
    image = torch.rand(count, 3, height, width, generator=random)
    return image, (torch.rand(count, 1, height, width, generator=random) > 0.7).float()


def test_plugin_imports_nothing_heavy():
    code = (
        "import sys, toolbox_plugins.timm_unet.plugin as p; p.toolbox_generators(); p.toolbox_recipes();"
        "print([m for m in ('torch', 'timm', 'numpy', 'cv2', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_recipe_binds_and_is_checked(loaded):
    bound_plan = bound(loaded)
    bound_plan.check()
    assert bound_plan.generator.spec.name == "timm-unet"
    assert bound_plan.generator.params.backbone == LITE
    # What belongs to the place, not to the published U-Net, is inherited.
    assert bound_plan.generator.options.optimizer.betas == (0.5, 0.9)
    assert [record.status for record in loaded.plugins] == ["ok", "ok"]


# Strides from 2; from 4; 16 alone, three times over; channels last; maps of sizes rounded upwards; a map of stride 1.
FAMILIES = {
    SMALL: 32,
    "test_resnet": 32,
    "test_convnext": 32,
    "test_vit": 16,
    "mambaout_femto": 32,
    "mobilevitv2_050": 32,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_backbones(name):
    check_timm_unet(TimmUNetParams(backbone=name))
    net = network(backbone=name)
    assert net.stride == FAMILIES[name]
    image, mask = batch()
    restored = net(image, mask)
    assert restored.shape == image.shape
    assert restored.dtype == torch.float32
    assert 0 <= restored.min() and restored.max() <= 1
    assert restored.std() > 1e-4
    (restored - image).square().mean().backward()
    dead = [key for key, weight in net.named_parameters() if weight.grad is None]
    assert not [key for key in dead if not key.startswith("encoder.")]
    # A last norm or head that gives no map may stand still; the stem, at the far end, may not.
    stem = next(weight for key, weight in net.named_parameters() if weight.ndim == 4)
    assert stem.shape[1] == 4
    assert (stem.grad.abs().sum((0, 2, 3)) > 0).all()


def test_map_of_stride_one_and_a_coarser_backbone():
    wide = backbones.Backbone(
        network=Pyramid((1, 2, 4)), strides=(1, 2, 4), channels=(5, 6, 7), mean=(0.5,) * 3, std=(0.5,) * 3
    )
    from toolbox_plugins.timm_unet.unet import TimmUNet

    net = TimmUNet(wide, decoder=(99, 16, 8), norm="none", activation="relu", upsampling="nearest")
    assert [level.convs[0][0].in_channels for level in net.levels] == [7 + 6, 16 + 5 + 4]
    assert [level.convs[1][0].out_channels for level in net.levels] == [16, 8]
    image, mask = batch(12, 20)
    assert net(image, mask).shape == image.shape


class Pyramid(torch.nn.Module):
    def __init__(self, strides):
        super().__init__()
        self.strides = strides

    def forward(self, x):
        return [torch.nn.functional.avg_pool2d(x, s)[:, :1].repeat(1, 5 + i, 1, 1) for i, s in enumerate(self.strides)]


@pytest.mark.parametrize("norm", ["none", "batch", "group", "instance"])
@pytest.mark.parametrize("up", ["bilinear", "nearest", "pixelshuffle"])
def test_decoders(norm, up):
    for activation in ACTIVATIONS if norm == "group" else ("relu",):
        net = network(norm=norm, upsampling=up, activation=activation)
        image, mask = batch()
        restored = net(image, mask)
        assert restored.shape == image.shape
        restored.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.levels.parameters())
        kinds = {type(module).__name__ for module in net.levels.modules()}
        named = {"batch": "BatchNorm2d", "group": "GroupNorm", "instance": "InstanceNorm2d"}
        assert kinds & set(named.values()) == ({named[norm]} if norm in named else set())


def squares(picture):
    """The spread within each 2x2 square, which a checkerboard would show."""
    blocks = torch.nn.functional.pixel_unshuffle(picture, 2).unflatten(1, (-1, 4))
    return (blocks.amax(2) - blocks.amin(2)).max().item()


@pytest.mark.parametrize("kind", ["bilinear", "nearest", "pixelshuffle"])
def test_upsampling_leaves_no_checkerboard(kind):
    torch.manual_seed(3)
    flat = torch.rand(1, 8, 1, 1).expand(1, 8, 6, 6)
    up = upsampling(kind, 8)
    assert up(flat).shape == (1, 8, 12, 12)
    assert squares(up(flat)) < 1e-6
    if kind == "pixelshuffle":
        # A nearest upsampling at the start, of anything; and it learns nonetheless.
        assert squares(up(torch.rand(1, 8, 6, 6))) == 0
        up[0].weight.data[0] += 1
        assert squares(up(flat)) > 0.1
    # The same figure sees the checkerboard of a transposed convolution.
    assert squares(torch.nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1)(flat)) > 0.01


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 32, not 64x80"):
        network()(*batch(64, 80))


def test_encoder_sees_what_timm_wants():
    net = network(backbone=LITE).eval()
    seen = []
    net.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    image, mask = batch()
    with torch.no_grad():
        net(image, mask)
    config = timm.data.resolve_model_data_config(timm.create_model(SMALL))
    own = timm.data.resolve_model_data_config(timm.create_model(LITE))
    assert config["mean"] != own["mean"]  # a network with the usual figures would not show a mistake
    assert torch.allclose(seen[0][:, :3], Normalize(own["mean"], own["std"])(image), atol=1e-6)
    assert torch.equal(seen[0][:, 3:], mask)


def test_weights_keep_the_stem_and_start_blind_to_the_mask(lite):
    """The encoder of four channels gives what timm's own loader and network of three give."""
    net = network(backbone=LITE, weights=str(lite)).eval()
    own = timm.create_model(
        LITE, features_only=True, pretrained=True, pretrained_cfg_overlay={"file": str(lite)}
    ).eval()
    image, mask = batch()
    with torch.no_grad():
        wanted = own(image)
        for values in (mask, torch.zeros_like(mask)):
            for ours, theirs in zip(net.encoder(torch.cat([image, values], 1)), wanted, strict=True):
                assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    stem = net.encoder.conv_stem.weight
    assert torch.equal(stem[:, :3], load_file(lite)["conv_stem.weight"])
    assert not stem[:, 3].any()
    # The mask can be learned.
    net(image, mask).sum().backward()
    assert stem.grad[:, 3].abs().sum() > 0


def test_flattened_names_are_found(tmp_path):
    """Feature extractors of some families rename the modules (stem.0 to stem_0, or below 'model')."""
    image = torch.rand(1, 3, 64, 64)
    for name in ("test_convnext", "test_vit"):
        torch.manual_seed(5)
        whole = timm.create_model(name, **({"dynamic_img_size": True} if "vit" in name else {})).eval()
        save_file(whole.state_dict(), tmp_path / "whole.safetensors")
        net = network(backbone=name, weights=str(tmp_path / "whole.safetensors")).eval()
        with torch.no_grad():
            last = backbones.features(net.encoder, torch.cat([image, torch.zeros(1, 1, 64, 64)], 1))[-1]
            wanted = whole.forward_intermediates(image, indices=1, intermediates_only=True)[0]
        assert torch.allclose(last, wanted, rtol=1e-4, atol=1e-5)


def test_a_file_of_another_network_is_refused(tmp_path):
    state = timm.create_model(SMALL).state_dict()
    path = tmp_path / "weights.safetensors"

    def fault(tensors, name=SMALL):
        save_file(tensors, path)
        with pytest.raises(ValueError) as caught:
            network(backbone=name, weights=str(path))
        assert "\n" not in str(caught.value)
        assert "weights.safetensors" in str(caught.value)
        return str(caught.value)

    assert "is not of 'test_efficientnet'" in fault(state | {"blocks.9.0.weight": torch.zeros(1)})
    assert "doesn't fit the backbone in 1 tensors: conv_stem.weight is missing" in fault(
        {key: value for key, value in state.items() if key != "conv_stem.weight"}
    )
    shape = list(state["bn1.bias"].shape)
    assert f"bn1.bias is [1], not {shape}" in fault(state | {"bn1.bias": torch.zeros(1)})
    assert "is not of 'test_resnet'" in fault(state, "test_resnet")
    # Another task's head, and no head at all, do no harm.
    headless = {key: value for key, value in state.items() if not key.startswith("classifier")}
    save_file(headless | {"lpips.0": torch.zeros(1)}, path)
    assert network(weights=str(path)).encoder.bn1.bias.shape == state["bn1.bias"].shape
    path.write_bytes(b"\x80\x04 not safetensors")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        network(weights=str(path))
    with pytest.raises(ValueError, match="there is no file"):
        network(weights=str(tmp_path / "absent.safetensors"))


def test_no_network_is_one_line(loaded, monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("Name or service\nnot known")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    chosen = bound(loaded, "generator.pretrained=true").generator
    with pytest.raises(PluginError) as caught:
        build_component(chosen)
    text = str(caught.value)
    assert "\n" not in text
    assert "generator 'timm-unet'" in text.lower()
    assert "can't be had from timm's hub" in text and "Name or service not known" in text
    assert "set weights to a safetensors file" in text


def test_pretrained_takes_the_hubs_safetensors(lite, monkeypatch):
    asked = []

    def download(repository, name, **options):
        asked.append((repository, name))
        return str(lite)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    net = network(backbone=LITE, pretrained=True)
    assert asked == [(timm.get_pretrained_cfg(LITE).hf_hub_id, "model.safetensors")]
    same = network(backbone=LITE, weights=str(lite))
    assert all(torch.equal(a, b) for a, b in zip(net.encoder.parameters(), same.encoder.parameters(), strict=True))


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("generator.backbone=resnet19", "timm has no backbone 'resnet19'. Near: resnet10"),
        ("generator.backbone=mixer_s32_224", "does not take pictures of any size"),
        # Some releases of timm refuse it themselves.
        ("generator.backbone=convmixer_768_32", "not all powers of two | gives no feature maps"),
        ("generator.decoder=[64, 32]", "stride 32 needs 5 decoder widths, not 2"),
        ("generator.weights=nowhere.safetensors", "there is no file nowhere.safetensors"),
    ],
)
def test_check_refuses(loaded, override, text):
    chosen = bound(loaded, override)
    with pytest.raises(RecipeError) as caught:
        chosen.check()
    (fault,) = caught.value.faults
    if "resnet19" in override:
        assert fault.message.startswith("timm has no backbone 'resnet19'. Near: resnet")
    else:
        assert any(part in fault.message for part in text.split(" | "))


def test_params_are_bounded():
    for wrong in ({"pretrained": True, "weights": "x"}, {"decoder": ()}, {"decoder": (2,)}, {"norm": "layer"}):
        with pytest.raises(ValidationError):
            TimmUNetParams(**wrong)


def test_state_survives_safetensors(tmp_path):
    net, other = network(), network(backbone=SMALL)
    image, mask = batch()
    net(image, mask)  # moves the running statistics
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    other.load_state_dict(load_file(tmp_path / "net.safetensors"))
    with torch.no_grad():
        assert torch.equal(net.eval()(image, mask), other.eval()(image, mask))
    assert not {"mean", "std"} & net.state_dict().keys()


def test_it_learns():
    net = network(norm="group")
    image, mask = batch(count=1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    errors = []
    for _ in range(30):
        optimizer.zero_grad()
        error = (net(image * (1 - mask), mask) - image).square().mean()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.6 * errors[0]
