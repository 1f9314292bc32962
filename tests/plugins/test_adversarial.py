"""The adversarial bundle's discriminators and recipe, and all of it through the kit; some 6 seconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from catalogs import DEFAULT, registries
from toolbox_plugins.adversarial import plugin
from toolbox_plugins.adversarial.patchgan import Multiscale, PatchGan
from toolbox_plugins.adversarial.unet import UNetDiscriminator
from toolbox_plugins.default.patch import LsganPatch
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


def double(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def pair(side, *, batch=2, seed=0):
    """A picture, a damaged image and a mask in float64."""
    return (
        double(batch, 3, side, side, seed=seed),
        double(batch, 3, side, side, seed=seed + 1),
        double(batch, 1, side, side, seed=seed + 2).round(),
    )


# Discriminators


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_patch_is_as_large_as_the_papers_say(layers, field):
    network = PatchGan(width=4, layers=layers, norm="none").double()
    picture = double(1, 3, 256, 256).requires_grad_()
    (verdict,) = network(picture, picture, picture[:, :1])
    middle = verdict.shape[-1] // 2
    (gradient,) = torch.autograd.grad(verdict[0, 0, middle, middle], picture)
    rows, columns = (gradient[0].abs().sum((0, axis)).nonzero().flatten() for axis in (2, 1))
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (field, field)


def test_three_layers_with_batch_norm_are_the_default_bundles_discriminator():
    ours, theirs = PatchGan(width=8).double(), LsganPatch(width=8).double()
    norms = {name for name, one in theirs.named_modules() if isinstance(one, nn.BatchNorm2d)}
    # The convolutions before a norm have a bias there, which the norm takes out again.
    dead = {f"layers.{int(name.split('.')[1]) - 1}.bias" for name in norms}
    ours.load_state_dict({name: one for name, one in theirs.state_dict().items() if name not in dead})
    picture, image, mask = pair(64)
    torch.testing.assert_close(ours(picture, image, mask)[0], theirs(picture, image, mask)[0], rtol=0, atol=1e-12)


def test_parameters_as_published():
    with torch.device("meta"):
        count = sum(weight.numel() for weight in PatchGan().parameters())
        pixel = sum(weight.numel() for weight in UNetDiscriminator().parameters())
    assert count == 2_766_529 - (128 + 256 + 512)  # lsgan-patch without the biases that its norms take out
    assert pixel == 4_376_897  # as Real-ESRGAN's training log prints it


@pytest.mark.parametrize("make", [PatchGan, Multiscale, UNetDiscriminator])
def test_only_a_conditional_one_sees_image_and_mask(make):
    picture, image, mask = pair(64)
    for conditional in (False, True):
        network = make(width=4, conditional=conditional).double().eval()
        with torch.no_grad():
            verdicts = [torch.cat([one.flatten() for one in network(picture, *more)]) for more in (
                (image, mask), (image.flip(-1), mask), (image, 1 - mask)
            )]  # fmt: skip
        assert [not torch.equal(verdicts[0], other) for other in verdicts[1:]] == [conditional] * 2


def test_the_second_scale_sees_the_average_of_3x3_pixels_without_what_lies_beyond_the_border():
    network = Multiscale(scales=2, width=4, layers=1)
    network.scales = nn.ModuleList([nn.Identity(), nn.Identity()])
    picture = torch.zeros(1, 3, 12, 12)
    picture[..., 0, 0], picture[..., 5, 7] = 8, 18
    first, second = network(picture, picture, picture[:, :1])
    expected = torch.zeros(6, 6)
    # The corner has four pixels in the picture; (5, 7) lies in the windows around rows 4, 6 and columns 6, 8.
    expected[0, 0], expected[2:4, 3:5] = 8 / 4, 18 / 9
    assert torch.equal(first, picture)
    assert torch.equal(second, expected.expand(1, 3, 6, 6))


def test_maps_have_the_sizes_that_the_docstrings_state():
    picture, image, mask = (one.float() for one in pair(96))
    picture, image, mask = picture[..., :80], image[..., :80], mask[..., :80]
    shapes = {
        "patchgan": [one.shape for one in PatchGan(width=4, norm="instance")(picture, image, mask)],
        "multiscale": [one.shape for one in Multiscale(width=4, scales=3, layers=2)(picture, image, mask)],
        "unet": [one.shape for one in UNetDiscriminator(width=4)(picture[..., 1:, 3:], image, mask)],
    }
    assert shapes == {
        "patchgan": [(2, 1, 96 // 8 - 2, 80 // 8 - 2)],
        "multiscale": [(2, 1, 96 // 4 - 2, 80 // 4 - 2), (2, 1, 48 // 4 - 2, 40 // 4 - 2), (2, 1, 4, 3)],
        "unet": [(2, 1, 95, 77)],
    }


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "spectral"])
def test_the_least_picture_is_judged_and_a_smaller_one_refused(norm):
    network = PatchGan(width=4, layers=2, norm=norm).double()
    assert network(*pair(12))[0].shape == (2, 1, 1, 1)
    with pytest.raises(ValueError, match="PatchGAN of 2 layers needs pictures of 12 pixels a side, and got 11"):
        network(*pair(11))
    with pytest.raises(ValueError, match="12 pixels a side at scale 2, and got 10"):
        Multiscale(width=4, layers=2, norm=norm).double()(*pair(20))


@pytest.mark.parametrize(
    ("make", "unnormed"),
    [(lambda: PatchGan(width=4, layers=2, norm="spectral"), 0), (lambda: UNetDiscriminator(width=4, levels=2), 2)],
    ids=["patchgan", "unet"],
)
def test_spectral_norms_leave_a_largest_singular_value_of_1(make, unnormed):
    # Seeded: the power iteration is slow where the two largest singular values happen to be near each other.
    torch.manual_seed(0)
    network = make().double().train()
    picture, image, mask = pair(16)
    with torch.no_grad():
        for _ in range(500):  # each pass is one step of the power iteration
            network(picture, image, mask)
    network.eval()
    convs = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    values = [np.linalg.svd(one.weight.detach().flatten(1).numpy(), compute_uv=False)[0] for one in convs]
    normed = [value for conv, value in zip(convs, values, strict=True) if hasattr(conv, "parametrizations")]
    assert len(normed) == len(convs) - unnormed
    np.testing.assert_allclose(normed, 1, atol=1e-6)


# The whole


@pytest.fixture(scope="module")
def shelf():
    ours = Bundle(name="adversarial", module="toolbox_plugins.adversarial.plugin")
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, ours)))


def plan_of(shelf, *overrides):
    return bind(read("hinge-r1", lambda name: shelf.recipe(name).path, overrides), shelf)


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "spectral"])
def test_kit_patchgan(norm):
    spec = plugin.toolbox_discriminators()[0]
    assert_conforms(spec, norm=norm, width=4, layers=2, conditional=norm == "none")


def test_kit_others():
    _, multiscale, unet = plugin.toolbox_discriminators()
    assert_conforms(multiscale, width=4, layers=2, norm="spectral")
    assert_conforms(unet, width=4)
    for spec in [*plugin.toolbox_losses(), *plugin.toolbox_penalties()]:
        assert_conforms(spec)
    assert_conforms(plugin.toolbox_losses()[-1], form="paired")


def test_the_recipe_changes_the_game_alone(shelf):
    plan = plan_of(shelf)
    default = bind(read("default", lambda name: shelf.recipe(name).path), shelf)
    assert [(loss.label, loss.options.weight) for loss in plan.losses] == [("mse", 50), ("ssim", 50), ("hinge", 1)]
    assert [(p.label, p.options.every, p.options.weight) for p in plan.penalties] == [("r1", 16, 0.002)]
    assert (plan.discriminator.spec.name, plan.discriminator.params.norm) == ("patchgan", "instance")
    assert plan.discriminator.options == default.discriminator.options
    assert plan.generator == default.generator and plan.warnings == ()


SMALL = ("generator.width=4", "generator.levels=3", "discriminator.width=4")
MIXES = {
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


@pytest.mark.parametrize("mix", MIXES)
def test_two_steps_through_the_loop_move_both_sides(shelf, mix):
    # A named component drops the params of the one before it, so the small sizes come last.
    plan = plan_of(shelf, *MIXES[mix], *SMALL)
    built = state.build_state(plan, make_accelerator("cpu"))
    truth = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batch = Batch(
        image=truth.mean(1, keepdim=True).repeat(1, 3, 1, 1), mask=truth[:, :1].round(), truth=truth, names=()
    )
    networks = {name: side.network for name, side in built.networks().items()}
    before = {name: [p.detach().clone() for p in one.parameters()] for name, one in networks.items()}
    terms = []
    for number in range(2):
        terms.append(take_step(built, batch, make_accelerator("cpu"), number=number, random=seed_step(0, number)))
    assert all(value.isfinite() for step in terms for value in step.values())
    for name, one in networks.items():
        moved = [not torch.equal(old, new) for old, new in zip(before[name], one.parameters(), strict=True)]
        assert all(moved), name
    used = [sorted(key for key in step if key.startswith("penalty.")) for step in terms]
    lazy = [["penalty.r1"], []] if "lecam" not in mix else [["penalty.dragan", "penalty.lecam"], ["penalty.lecam"]]
    assert used == lazy
    assert ("penalty-lecam" in built.modules()) == ("lecam" in mix)
