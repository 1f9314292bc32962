"""The smp bundle: every decoder with three encoder families, incompatible pairs, weights, recipe. Takes about 20 s."""

from __future__ import annotations

import huggingface_hub.constants
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from catalogs import DEFAULT, registries
from pydantic import ValidationError
from safetensors.torch import save_file
from toolbox_plugins.smp import encoders, params, plugin, pretrained

from toolbox.config import binding, recipe
from toolbox.errors import RecipeError
from toolbox.hooks import catalog, manager
from toolbox.hooks.registry import Bundle
from toolbox.models.forward import probe_multiple

SPECS = {spec.name: spec for spec in plugin.toolbox_generators()}
CONVOLUTIONAL = ("resnet18", "mobilenet_v2", "mit_b0", "tu-convnext_atto")
VISION_TRANSFORMERS = ("tu-test_vit", "tu-vit_tiny_patch16_224", "tu-deit_tiny_patch16_224")
INCOMPATIBLE = {("smp-unetplusplus", "mit_b0"), ("smp-linknet", "mit_b0")}
MATRIX = [
    (name, encoder) for name in SPECS for encoder in (VISION_TRANSFORMERS if name == "smp-dpt" else CONVOLUTIONAL)
    if (name, encoder) not in INCOMPATIBLE
]  # fmt: skip


def build(name, **options):
    spec = SPECS[name]
    torch.manual_seed(0)
    return spec.build(spec.params(**options))


def make_inputs(side=64, size=2):
    random = torch.Generator().manual_seed(1)
    mask = torch.zeros(size, 1, side, side)
    mask[..., 10:30, 20:50] = 1
    return torch.rand(size, 3, side, side, generator=random), mask


def check_error(name, **options):
    spec = SPECS[name]
    with pytest.raises(ValueError) as caught:
        spec.check(spec.params(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def load_catalog():
    smp_bundle = Bundle(name="smp", module="toolbox_plugins.smp.plugin")
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, smp_bundle)))


@pytest.mark.parametrize(("name", "encoder"), MATRIX)
def test_each_decoder_with_three_encoder_families(name, encoder):
    spec = SPECS[name]
    spec.check(spec.params(encoder=encoder))
    network = build(name, encoder=encoder)
    image, mask = make_inputs()
    restored = network(image, mask)
    assert restored.shape == image.shape
    assert 0 <= restored.min() < restored.max() <= 1
    restored.square().mean().backward()
    gradients = {key: weight.grad for key, weight in network.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()] == []
    assert max(float(gradient.abs().max()) for key, gradient in gradients.items() if "encoder" in key) > 0


def test_the_matrix_has_three_families_for_each_decoder():
    assert len(SPECS) == 9
    assert all(sum(name == decoder for decoder, _ in MATRIX) >= 3 for name in SPECS)


def test_every_decoder_of_smp_is_included_or_unsuitable():
    included = {spec.params.arch for spec in SPECS.values()}
    # These work below a quarter of the resolution, or fail on a picture of 64 pixels.
    assert set(smp.MODEL_ARCHITECTURES_MAPPING) - included == {"pspnet", "deeplabv3", "pan"}
    for arch in ("pspnet", "deeplabv3"):
        network = smp.create_model(arch, "resnet18", encoder_weights=None, classes=3).eval()
        assert network.segmentation_head[1].scale_factor == 8
    pan = smp.create_model("pan", "resnet18", encoder_weights=None, classes=3).eval()
    with pytest.raises(RuntimeError, match="too small"):
        pan(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("name", "encoder", "multiple"),
    [
        ("smp-unet", "resnet18", 1),
        ("smp-manet", "resnet18", 32),
        ("smp-segformer", "mit_b0", 32),
        # Patches of 16 pixels; the last stage is halved once more.
        ("smp-dpt", "tu-test_vit", 32),
    ],
)
def test_the_core_finds_the_multiple_of_the_sides(name, encoder, multiple):
    assert probe_multiple(build(name, encoder=encoder).eval(), torch.device("cpu")) == multiple


@pytest.mark.parametrize(("name", "encoder"), sorted(INCOMPATIBLE))
def test_pairs_that_smp_rejects(name, encoder):
    assert f"'{SPECS[name].params.arch}' with encoder '{encoder}'" in check_error(name, encoder=encoder)


@pytest.mark.parametrize(
    ("name", "encoder", "reason"),
    [
        ("smp-dpt", "resnet18", "start with 'tu-'"),
        ("smp-dpt", "tu-resnet18", "prefix"),
        ("smp-dpt", "tu-vit_small_patch14_dinov2", "divisible by 14"),
        ("smp-unet", "tu-vit_tiny_patch16_224", "downsampling pattern"),
        ("smp-unet", "tu-beit_base_patch16_224", "downsampling pattern"),
        ("smp-unet", "resnet19", "did you mean resnet1"),
        ("smp-unet", "tu-resnet19", "did you mean tu-resnet1"),
        ("smp-unet", "timm-regnety_002", "did you mean tu-regnety_002"),
        ("smp-deeplabv3plus", "vgg11", "dilated"),
        ("smp-deeplabv3plus", "densenet121", "dilated"),
        ("smp-deeplabv3plus", "tu-swin_tiny_patch4_window7_224", "smp can't combine"),
    ],
)
def test_incompatible_encoders_are_rejected_with_the_reason(name, encoder, reason):
    assert reason in check_error(name, encoder=encoder)


def test_a_check_allocates_no_memory_and_draws_no_random_number(monkeypatch):
    devices = set()
    create_network = encoders.create_network

    def record_devices(*arguments):
        network = create_network(*arguments)
        devices.update(weight.device.type for weight in network.parameters())
        return network

    monkeypatch.setattr(encoders, "create_network", record_devices)
    before = torch.get_rng_state()
    encoders.find_size_options.cache_clear()
    SPECS["smp-unet"].check(params.UnetParams(encoder="resnet152"))
    assert devices == {"meta"}
    assert torch.equal(before, torch.get_rng_state())


def test_the_mask_is_used_only_with_mask_input():
    image, mask = make_inputs()
    for mask_input in (False, True):
        network = build("smp-unet", encoder="resnet18", mask_input=mask_input).eval()
        assert torch.equal(network(image, mask), network(image, 1 - mask)) is not mask_input


def test_decoder_options_reach_smp():
    network = build("smp-unet", encoder="resnet18", channels=(48, 32, 16), norm="identity", attention="scse")
    decoder = network.network.decoder
    assert [block.conv1[0].out_channels for block in decoder.blocks] == [48, 32, 16]
    assert not [module for module in decoder.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert "SCSEModule" in {type(module).__name__ for module in decoder.modules()}
    assert build("smp-fpn", encoder="resnet18", dropout=0.3).network.decoder.dropout.p == 0.3
    with pytest.raises(ValidationError):
        params.UnetParams(channels=(16, 8))
    with pytest.raises(ValidationError, match="16 channels or more"):
        params.UnetParams(channels=(32, 16, 8), attention="scse")


def test_weights_from_an_smp_file(tmp_path):
    path = tmp_path / "resnet18.safetensors"
    torch.manual_seed(7)
    source = smp.encoders.get_encoder("resnet18", weights=None)
    save_file({**source.state_dict(), "fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, path)
    options = {"encoder": "resnet18", "weights": str(path)}
    SPECS["smp-unet"].check(params.UnetParams(**options))
    network = build("smp-unet", **options)
    stem = network.network.encoder.conv1.weight
    assert torch.equal(stem, source.conv1.weight)
    image, mask = make_inputs()
    encoder_inputs = []
    network.network.encoder.register_forward_pre_hook(lambda _, inputs: encoder_inputs.append(inputs[0]))
    network(image, mask)
    # ImageNet's statistics as in torchvision.
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    expected = (image - mean) / deviation
    assert torch.allclose(encoder_inputs[0], expected, atol=1e-6)
    # With the mask as a fourth channel, the pretrained weights are the same and those of the mask are 0.
    masked = build("smp-unet", **options, mask_input=True)
    assert torch.equal(masked.network.encoder.conv1.weight[:, :3], source.conv1.weight)
    assert not masked.network.encoder.conv1.weight[:, 3].any()


@pytest.mark.parametrize(("name", "model"), [("smp-unet", "test_resnet"), ("smp-dpt", "test_vit")])
def test_weights_from_a_timm_file(tmp_path, name, model):
    path = tmp_path / "weights.safetensors"
    torch.manual_seed(7)
    source = timm.create_model(model).state_dict()
    save_file(source, path)
    network = build(name, encoder=f"tu-{model}", weights=str(path), mask_input=True)
    loaded = network.network.encoder.model.state_dict()
    stem = next(key for key, value in loaded.items() if value.ndim == 4)
    assert torch.equal(loaded[stem][:, :3], source[stem])
    assert not loaded[stem][:, 3].any()
    common = [key for key in loaded if key in source and key != stem]
    assert len(common) > 20
    assert all(torch.equal(loaded[key], source[key]) for key in common)


def test_a_file_of_another_encoder_is_rejected(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    for encoder in ("resnet18", "tu-test_resnet"):
        with pytest.raises(ValueError, match=r"other\.safetensors has no weights for encoder") as caught:
            build("smp-unet", encoder=encoder, weights=str(path))
        assert "\n" not in str(caught.value)
    path.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="has no weights for encoder"):
        build("smp-unet", encoder="resnet18", weights=str(path))


def test_weights_that_do_not_exist_are_rejected():
    assert "no file" in check_error("smp-unet", weights="nowhere.safetensors")
    assert "convert" in check_error("smp-unet", weights="weights/resnet34.pth")
    assert "Known: none, imagenet, ssl, swsl" in check_error("smp-unet", encoder="resnet18", weights="imagenet21k")
    assert "Known: none, noisy-student" in check_error("smp-unet", encoder="timm-efficientnet-l2", weights="imagenet")


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_without_internet_the_error_is_one_line(monkeypatch, tmp_path, encoder):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    spec = SPECS["smp-unet"]
    spec.check(spec.params(encoder=encoder, weights="imagenet"))
    with pytest.raises(ValueError, match="can't be downloaded") as caught:
        build("smp-unet", encoder=encoder, weights="imagenet")
    assert "\n" not in str(caught.value)
    assert "weights = 'none'" in str(caught.value)


def test_statistics_by_family():
    # As their authors published them: [-1, 1] for Inception; 124, 117, 104 and 0.0167 of 255 for DPN.
    assert pretrained.statistics(params.UnetParams(encoder="xception", weights="imagenet"))[0] == (0.5, 0.5, 0.5)
    mean, deviation = pretrained.statistics(params.UnetParams(encoder="dpn68", weights="imagenet"))
    assert [round(255 * value) for value in mean] == [124, 117, 104]
    assert deviation[0] == pytest.approx(0.2348, abs=1e-4)
    assert pretrained.statistics(params.UnetParams(encoder="xception")) == ((0, 0, 0), (1, 1, 1))
    vit = params.DptParams(encoder="tu-vit_tiny_patch16_224", weights="imagenet")
    assert pretrained.statistics(vit) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_the_recipe_binds():
    loaded = load_catalog()
    bound = binding.bind(recipe.read("smp-unetplusplus", lambda name: loaded.recipe(name).path), loaded)
    bound.check()
    assert bound.generator.spec.name == "smp-unetplusplus"
    assert bound.generator.params.encoder == "resnet34"
    assert [loss.label for loss in bound.losses] == ["lsgan", "mse", "ssim"]


def test_an_incompatible_pair_is_an_error_of_the_recipe():
    loaded = load_catalog()
    read = recipe.read("smp-unetplusplus", lambda name: loaded.recipe(name).path, ["generator.encoder=mit_b0"])
    with pytest.raises(RecipeError, match="generator: smp can't combine decoder 'unetplusplus' with encoder 'mit_b0'"):
        binding.bind(read, loaded).check()
