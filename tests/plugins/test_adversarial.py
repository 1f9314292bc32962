"""The adversarial bundle: discriminators, recipe, and all components through the conformance kit. Takes about 6 s."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from catalogs import DEFAULT, registries
from toolbox_plugins.adversarial import plugin
from toolbox_plugins.adversarial.patchgan import Multiscale, PatchGan
from toolbox_plugins.adversarial.unet import UNetDiscriminator
from toolbox_plugins.default.patchgan import LsganPatch
from torch import nn

from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog, manager
from toolbox.hooks.registry import Bundle
from toolbox.testing import assert_conforms
from toolbox.training import state
from toolbox.training.step import seed_step, take_step


def uniform(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs(side, *, batch=2, seed=0):
    """Return a picture, a damaged image and a mask in float64."""
    return (
        uniform(batch, 3, side, side, seed=seed),
        uniform(batch, 3, side, side, seed=seed + 1),
        uniform(batch, 1, side, side, seed=seed + 2).round(),
    )


# Discriminators


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_the_receptive_field_is_that_of_the_paper(layers, field):
    network = PatchGan(width=4, layers=layers, norm="none").double()
    picture = uniform(1, 3, 256, 256).requires_grad_()
    (output,) = network(picture, picture, picture[:, :1])
    middle = output.shape[-1] // 2
    (gradient,) = torch.autograd.grad(output[0, 0, middle, middle], picture)
    rows, columns = (gradient[0].abs().sum((0, axis)).nonzero().flatten() for axis in (2, 1))
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (field, field)


def test_three_layers_with_batch_norm_equal_lsgan_patch():
    ours, theirs = PatchGan(width=8).double(), LsganPatch(width=8).double()
    norms = {name for name, module in theirs.named_modules() if isinstance(module, nn.BatchNorm2d)}
    # In lsgan-patch the convolutions before a norm have a bias, which the norm subtracts.
    unused = {f"layers.{int(name.split('.')[1]) - 1}.bias" for name in norms}
    ours.load_state_dict({name: tensor for name, tensor in theirs.state_dict().items() if name not in unused})
    picture, image, mask = inputs(64)
    torch.testing.assert_close(ours(picture, image, mask)[0], theirs(picture, image, mask)[0], rtol=0, atol=1e-12)


def test_parameter_counts_are_the_published_ones():
    with torch.device("meta"):
        patchgan = sum(weight.numel() for weight in PatchGan().parameters())
        unet = sum(weight.numel() for weight in UNetDiscriminator().parameters())
    assert patchgan == 2_766_529 - (128 + 256 + 512)  # lsgan-patch without the biases that its norms subtract
    assert unet == 4_376_897  # as Real-ESRGAN's training log prints it


@pytest.mark.parametrize("make", [PatchGan, Multiscale, UNetDiscriminator])
def test_only_a_conditional_discriminator_uses_image_and_mask(make):
    picture, image, mask = inputs(64)
    for conditional in (False, True):
        network = make(width=4, conditional=conditional).double().eval()
        with torch.no_grad():
            outputs = [torch.cat([output.flatten() for output in network(picture, *condition)]) for condition in (
                (image, mask), (image.flip(-1), mask), (image, 1 - mask)
            )]  # fmt: skip
        assert [not torch.equal(outputs[0], output) for output in outputs[1:]] == [conditional] * 2


def test_the_second_scale_is_the_average_of_the_3x3_pixels_inside_the_picture():
    network = Multiscale(scales=2, width=4, layers=1)
    network.scales = nn.ModuleList([nn.Identity(), nn.Identity()])
    picture = torch.zeros(1, 3, 12, 12)
    picture[..., 0, 0], picture[..., 5, 7] = 8, 18
    first, second = network(picture, picture, picture[:, :1])
    expected = torch.zeros(6, 6)
    # The window at the corner has four pixels inside the picture; (5, 7) is in the windows of rows 4, 6, columns 6, 8.
    expected[0, 0], expected[2:4, 3:5] = 8 / 4, 18 / 9
    assert torch.equal(first, picture)
    assert torch.equal(second, expected.expand(1, 3, 6, 6))


def test_maps_have_the_documented_sizes():
    picture, image, mask = (tensor.float() for tensor in inputs(96))
    picture, image, mask = picture[..., :80], image[..., :80], mask[..., :80]
    shapes = {
        "patchgan": [output.shape for output in PatchGan(width=4, norm="instance")(picture, image, mask)],
        "multiscale": [output.shape for output in Multiscale(width=4, scales=3, layers=2)(picture, image, mask)],
        "unet": [output.shape for output in UNetDiscriminator(width=4)(picture[..., 1:, 3:], image, mask)],
    }
    assert shapes == {
        "patchgan": [(2, 1, 96 // 8 - 2, 80 // 8 - 2)],
        "multiscale": [(2, 1, 96 // 4 - 2, 80 // 4 - 2), (2, 1, 48 // 4 - 2, 40 // 4 - 2), (2, 1, 4, 3)],
        "unet": [(2, 1, 95, 77)],
    }


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "spectral"])
def test_pictures_below_the_smallest_size_are_rejected(norm):
    network = PatchGan(width=4, layers=2, norm=norm).double()
    assert network(*inputs(12))[0].shape == (2, 1, 1, 1)
    with pytest.raises(ValueError, match="PatchGAN of 2 layers needs pictures with sides of 12 pixels or more, not 11"):
        network(*inputs(11))
    with pytest.raises(ValueError, match="12 pixels or more at scale 2, not 10"):
        Multiscale(width=4, layers=2, norm=norm).double()(*inputs(20))


@pytest.mark.parametrize(
    ("make", "without_norm"),
    [(lambda: PatchGan(width=4, layers=2, norm="spectral"), 0), (lambda: UNetDiscriminator(width=4, levels=2), 2)],
    ids=["patchgan", "unet"],
)
def test_spectral_normalization_makes_the_largest_singular_value_1(make, without_norm):
    # A fixed seed: the power iteration converges slowly if the two largest singular values are nearly equal.
    torch.manual_seed(0)
    network = make().double().train()
    picture, image, mask = inputs(16)
    with torch.no_grad():
        for _ in range(500):  # each pass is one step of the power iteration
            network(picture, image, mask)
    network.eval()
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    values = [np.linalg.svd(conv.weight.detach().flatten(1).numpy(), compute_uv=False)[0] for conv in convs]
    normed = [value for conv, value in zip(convs, values, strict=True) if hasattr(conv, "parametrizations")]
    assert len(normed) == len(convs) - without_norm
    np.testing.assert_allclose(normed, 1, atol=1e-6)


# The bundle in a catalog


@pytest.fixture(scope="module")
def loaded_catalog():
    adversarial = Bundle(name="adversarial", module="toolbox_plugins.adversarial.plugin")
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, adversarial)))


def bind_recipe(loaded_catalog, *overrides):
    return bind(read("hinge-r1", lambda name: loaded_catalog.recipe(name).path, overrides), loaded_catalog)


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "spectral"])
def test_kit_patchgan(norm):
    spec = plugin.toolbox_discriminators()[0]
    assert_conforms(spec, norm=norm, width=4, layers=2, conditional=norm == "none")


def test_kit_other_components():
    _, multiscale, unet = plugin.toolbox_discriminators()
    assert_conforms(multiscale, width=4, layers=2, norm="spectral")
    assert_conforms(unet, width=4)
    for spec in [*plugin.toolbox_losses(), *plugin.toolbox_penalties()]:
        assert_conforms(spec)
    assert_conforms(plugin.toolbox_losses()[-1], form="paired")


def test_the_recipe_changes_only_the_adversarial_part(loaded_catalog):
    plan = bind_recipe(loaded_catalog)
    default = bind(read("default", lambda name: loaded_catalog.recipe(name).path), loaded_catalog)
    assert [(loss.label, loss.options.weight) for loss in plan.losses] == [("mse", 50), ("ssim", 50), ("hinge", 1)]
    assert [(p.label, p.options.every, p.options.weight) for p in plan.penalties] == [("r1", 16, 0.002)]
    assert (plan.discriminator.spec.name, plan.discriminator.params.norm) == ("patchgan", "instance")
    assert plan.discriminator.options == default.discriminator.options
    assert plan.generator == default.generator and plan.warnings == ()


SMALL = ("generator.width=4", "generator.levels=3", "discriminator.width=4")
COMBINATIONS = {
    "hinge-r1": (),
    "multiscale, relativistic, lecam, dragan": (
        "discriminator.name=multiscale",
        "losses.hinge.name=relativistic",
        "penalties.r1.enabled=false",
        "penalties.lecam.weight=0.1",
        "penalties.dragan.every=2",
    ),
    "unet, wasserstein, r2": (
        "discriminator.name=unet-discriminator",
        "losses.hinge.name=wasserstein",
        "penalties.r1.name=r2",
    ),
}


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_two_training_steps_change_the_weights_of_both_networks(loaded_catalog, combination):
    # Setting a component's name drops the params of the old component, so SMALL must come last.
    plan = bind_recipe(loaded_catalog, *COMBINATIONS[combination], *SMALL)
    built = state.build_state(plan, make_accelerator("cpu"))
    truth = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batch = Batch(
        image=truth.mean(1, keepdim=True).repeat(1, 3, 1, 1), mask=truth[:, :1].round(), truth=truth, names=()
    )
    networks = {name: side.network for name, side in built.networks().items()}
    before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}
    terms = []
    for number in range(2):
        terms.append(take_step(built, batch, make_accelerator("cpu"), number=number, random=seed_step(0, number)))
    assert all(value.isfinite() for step in terms for value in step.values())
    for name, network in networks.items():
        changed = [not torch.equal(old, new) for old, new in zip(before[name], network.parameters(), strict=True)]
        assert all(changed), name
    used = [sorted(key for key in step if key.startswith("penalty.")) for step in terms]
    lazy = (
        [["penalty.r1"], []] if "lecam" not in combination else [["penalty.dragan", "penalty.lecam"], ["penalty.lecam"]]
    )
    assert used == lazy
    assert ("penalty-lecam" in built.modules()) == ("lecam" in combination)
