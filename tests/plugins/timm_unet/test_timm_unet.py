"""The U-Net over timm's backbones: encoders, decoders, sizes, ranges, checks."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from timm_unets import LITE, SMALL, bind_recipe, build, load_catalog, make_inputs
from toolbox_plugins.timm_unet.blocks import ACTIVATIONS, upsampling
from toolbox_plugins.timm_unet.plugin import TimmUNetParams, check_timm_unet
from toolbox_plugins.timm_unet.unet import TimmUNet
from torchvision.transforms import Normalize

from toolbox import backbones
from toolbox.errors import RecipeError


@pytest.fixture(scope="module")
def loaded_catalog():
    return load_catalog()


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, toolbox_plugins.timm_unet.plugin as p; p.toolbox_generators(); p.toolbox_recipes();"
        "print([m for m in ('torch', 'timm', 'numpy', 'cv2', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_recipe_binds_and_passes_the_check(loaded_catalog):
    plan = bind_recipe(loaded_catalog)
    plan.check()
    assert plan.generator.spec.name == "timm-unet"
    assert plan.generator.params.backbone == LITE
    # The optimizer belongs to the section, not to the component, so it is inherited from `default`.
    assert plan.generator.attached["optimizer"].params.betas == (0.5, 0.9)
    assert [record.status for record in loaded_catalog.plugins] == ["ok", "ok"]


# Coarsest strides. The families differ: strides from 2, from 4, three maps of 16 only, channels last, sizes rounded up.
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
    network = build(backbone=name)
    assert network.stride == FAMILIES[name]
    image, mask = make_inputs()
    restored = network(image, mask)
    assert restored.shape == image.shape
    assert restored.dtype == torch.float32
    assert 0 <= restored.min() and restored.max() <= 1
    assert restored.std() > 1e-4
    (restored - image).square().mean().backward()
    without_gradient = [key for key, weight in network.named_parameters() if weight.grad is None]
    assert not [key for key in without_gradient if not key.startswith("encoder.")]
    # A last norm or head that no feature map uses may have no gradient. The stem must have one.
    stem = next(weight for key, weight in network.named_parameters() if weight.ndim == 4)
    assert stem.shape[1] == 4
    assert (stem.grad.abs().sum((0, 2, 3)) > 0).all()


def test_a_backbone_with_a_feature_map_of_stride_one():
    backbone = backbones.Backbone(
        network=Pyramid((1, 2, 4)), strides=(1, 2, 4), channels=(5, 6, 7), mean=(0.5,) * 3, std=(0.5,) * 3
    )
    network = TimmUNet(backbone, decoder=(99, 16, 8), norm="none", activation="relu", upsampling="nearest")
    assert [level.convs[0][0].in_channels for level in network.levels] == [7 + 6, 16 + 5 + 4]
    assert [level.convs[1][0].out_channels for level in network.levels] == [16, 8]
    image, mask = make_inputs(12, 20)
    assert network(image, mask).shape == image.shape


class Pyramid(torch.nn.Module):
    def __init__(self, strides):
        super().__init__()
        self.strides = strides

    def forward(self, x):
        return [torch.nn.functional.avg_pool2d(x, s)[:, :1].repeat(1, 5 + i, 1, 1) for i, s in enumerate(self.strides)]


@pytest.mark.parametrize("norm", ["none", "batch", "group", "instance"])
@pytest.mark.parametrize("up", ["bilinear", "nearest", "pixelshuffle"])
def test_decoder_norms_upsamplings_and_activations(norm, up):
    for activation in ACTIVATIONS if norm == "group" else ("relu",):
        network = build(norm=norm, upsampling=up, activation=activation)
        image, mask = make_inputs()
        restored = network(image, mask)
        assert restored.shape == image.shape
        restored.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.levels.parameters())
        classes = {type(module).__name__ for module in network.levels.modules()}
        norm_classes = {"batch": "BatchNorm2d", "group": "GroupNorm", "instance": "InstanceNorm2d"}
        assert classes & set(norm_classes.values()) == ({norm_classes[norm]} if norm in norm_classes else set())


def checkerboard_contrast(picture):
    """Return the largest difference inside any 2x2 square; a checkerboard has a large one."""
    blocks = torch.nn.functional.pixel_unshuffle(picture, 2).unflatten(1, (-1, 4))
    return (blocks.amax(2) - blocks.amin(2)).max().item()


@pytest.mark.parametrize("kind", ["bilinear", "nearest", "pixelshuffle"])
def test_upsampling_leaves_no_checkerboard(kind):
    torch.manual_seed(3)
    flat = torch.rand(1, 8, 1, 1).expand(1, 8, 6, 6)
    up = upsampling(kind, 8)
    assert up(flat).shape == (1, 8, 12, 12)
    assert checkerboard_contrast(up(flat)) < 1e-6
    if kind == "pixelshuffle":
        # At the start it equals a nearest-neighbour upsampling; changed weights break that.
        assert checkerboard_contrast(up(torch.rand(1, 8, 6, 6))) == 0
        up[0].weight.data[0] += 1
        assert checkerboard_contrast(up(flat)) > 0.1
    # A transposed convolution has a checkerboard, and this measure finds it.
    assert checkerboard_contrast(torch.nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1)(flat)) > 0.01


def test_sides_that_are_not_multiples_are_rejected():
    with pytest.raises(ValueError, match=r"multiples of 32, not 64x80"):
        build()(*make_inputs(64, 80))


def test_the_encoder_gets_normalized_pictures_and_the_mask():
    network = build(backbone=LITE).eval()
    encoder_inputs = []
    network.encoder.register_forward_pre_hook(lambda module, inputs: encoder_inputs.append(inputs[0]))
    image, mask = make_inputs()
    with torch.no_grad():
        network(image, mask)
    other = timm.data.resolve_model_data_config(timm.create_model(SMALL))
    config = timm.data.resolve_model_data_config(timm.create_model(LITE))
    assert config["mean"] != other["mean"]  # with the usual values a mistake would not be found
    assert torch.allclose(encoder_inputs[0][:, :3], Normalize(config["mean"], config["std"])(image), atol=1e-6)
    assert torch.equal(encoder_inputs[0][:, 3:], mask)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("generator.backbone=resnet19", "timm has no backbone 'resnet19'. Similar names: resnet10"),
        ("generator.backbone=mixer_s32_224", "does not take pictures of any size"),
        # Some releases of timm reject it themselves.
        ("generator.backbone=convmixer_768_32", "not all powers of two | gives no feature maps"),
        ("generator.decoder=[64, 32]", "stride 32 needs 5 decoder levels, not 2"),
        ("generator.weights=nowhere.safetensors", "there is no file nowhere.safetensors"),
    ],
)
def test_the_check_rejects_unsuitable_settings(loaded_catalog, override, message):
    plan = bind_recipe(loaded_catalog, override)
    with pytest.raises(RecipeError) as caught:
        plan.check()
    (fault,) = caught.value.faults
    if "resnet19" in override:
        assert fault.message.startswith("timm has no backbone 'resnet19'. Similar names: resnet")
    else:
        assert any(alternative in fault.message for alternative in message.split(" | "))


def test_invalid_params_are_rejected():
    for params in ({"pretrained": True, "weights": "x"}, {"decoder": ()}, {"decoder": (2,)}, {"norm": "layer"}):
        with pytest.raises(ValidationError):
            TimmUNetParams(**params)


def test_the_state_can_be_saved_and_loaded(tmp_path):
    network, loaded = build(), build(backbone=SMALL)
    image, mask = make_inputs()
    network(image, mask)  # changes the running statistics
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    loaded.load_state_dict(load_file(tmp_path / "network.safetensors"))
    with torch.no_grad():
        assert torch.equal(network.eval()(image, mask), loaded.eval()(image, mask))
    assert not {"mean", "std"} & network.state_dict().keys()


def test_training_reduces_the_error():
    network = build(norm="group")
    image, mask = make_inputs(count=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    errors = []
    for _ in range(30):
        optimizer.zero_grad()
        error = (network(image * (1 - mask), mask) - image).square().mean()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.6 * errors[0]
