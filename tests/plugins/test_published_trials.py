"""The published-trials bundle against other libraries and values computed by hand. Takes about 10 s."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from catalogs import DEFAULT, registries
from PIL import Image
from pydantic import ValidationError
from tensors import uniform
from toolbox_plugins.default.unet import InpaintingUNet, double_conv
from toolbox_plugins.published_trials import plugin
from toolbox_plugins.published_trials.erase import erase
from toolbox_plugins.published_trials.flip_rotate import flip, rotate
from toolbox_plugins.published_trials.unet import Gated, Residual, UNet, double_gated
from torch import nn
from torchvision.models.resnet import BasicBlock

from toolbox import Sample
from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog, manager
from toolbox.hooks.registry import Bundle
from toolbox.testing import assert_conforms
from toolbox.training import state, step

RECIPES = [spec.name for spec in plugin.toolbox_recipes()]
PILLOW = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


def make_sample(height=12, width=16):
    """Return a sample whose image and mask are functions of the truth at every pixel."""
    truth = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Sample(image=255 - truth, mask=truth[..., 0] > 127, truth=truth)


def is_consistent(sample):
    return np.array_equal(sample.image, 255 - sample.truth) and np.array_equal(sample.mask, sample.truth[..., 0] > 127)


def rng(seed=0):
    return np.random.default_rng(seed)


# Generators


def test_a_residual_block_equals_torchvisions_without_norms():
    theirs = BasicBlock(3, 5, downsample=nn.Conv2d(3, 5, 1), norm_layer=lambda channels: nn.Identity()).double()
    ours = Residual(3, 5).double()
    with torch.no_grad():
        for our_conv, their_conv in ((ours.first, theirs.conv1), (ours.second, theirs.conv2)):
            our_conv.weight.copy_(their_conv.weight)
            our_conv.bias.zero_()
    ours.shortcut.load_state_dict(theirs.downsample.state_dict())
    x = uniform(2, 3, 7, 6) - 0.5
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-14)


def test_a_gated_convolution_by_hand():
    layer = Gated(1, 2).double()
    with torch.no_grad():
        layer.both.weight.zero_()
        # At every pixel the features are 2 x - 3 and x, the gates 0 and ln 3 x; the sigmoid of ln 3 is 3 / 4.
        layer.both.weight[:, 0, 1, 1] = torch.tensor([2, 1, 0, math.log(3)], dtype=torch.float64)
        layer.both.bias.copy_(torch.tensor([-3, 0, 0, 0]))
    output = layer(torch.tensor([[[[1.0, 2.0, -1.0]]]], dtype=torch.float64))[0, :, 0]
    # elu(y) is y above 0 and e^y - 1 below 0. Its arguments are -1, 1, -5 and 1, 2, -1.
    first = [(math.exp(-1) - 1) / 2, 1 / 2, (math.exp(-5) - 1) / 2]
    second = [3 / 4, 2 * 9 / 10, (math.exp(-1) - 1) / 4]
    torch.testing.assert_close(output, torch.tensor([first, second], dtype=torch.float64), rtol=1e-12, atol=0)


def test_the_architecture_equals_the_default_bundles():
    theirs, ours = InpaintingUNet(4, 3).double(), UNet(double_conv, 4, 3).double()
    # Both list their tensors in the order of the forward pass.
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    image, mask = uniform(2, 3, 21, 30), uniform(2, 1, 21, 30, seed=1)
    torch.testing.assert_close(ours(image, mask), theirs(image, mask), rtol=1e-12, atol=1e-12)


def test_parameter_counts():
    with torch.device("meta"):
        networks = {
            "residual": UNet(Residual, 64, 5),
            "gated": UNet(double_gated, 48, 5),
            "gated and mask": UNet(double_gated, 48, 5, mask=True),
        }
    counts = {name: sum(weight.numel() for weight in network.parameters()) for name, network in networks.items()}
    # Input and output channels of the 1x1 shortcuts with bias; the published U-Net has 31,379,075 parameters.
    shortcuts = [
        (3, 64),
        (64, 128),
        (128, 256),
        (256, 512),
        (512, 1024),
        (1536, 512),
        (768, 256),
        (384, 128),
        (192, 64),
    ]
    assert counts["residual"] == 31_379_075 + sum(a * b + b for a, b in shortcuts)
    # Two gated convolutions in each block, 3x3 with bias and twice the output channels; the last one is 1x1 to 3.
    blocks = [(3, 48), (48, 96), (96, 192), (192, 384), (384, 768), (1152, 384), (576, 192), (288, 96), (144, 48)]
    assert counts["gated"] == sum(18 * (a + b) * b + 4 * b for a, b in blocks) + 48 * 3 + 3
    # A fourth input channel of the first convolution: 9 weights for each of 2 x 48 outputs.
    assert counts["gated and mask"] - counts["gated"] == 9 * 96


def test_the_gated_unet_uses_the_mask_only_if_set():
    image, mask = uniform(1, 3, 16, 16), uniform(1, 1, 16, 16, seed=1).round()
    for uses_mask in (False, True):
        network = plugin.build_gated(plugin.GatedParams(width=4, levels=2, mask=uses_mask)).double()
        with torch.no_grad():
            assert torch.equal(network(image, mask), network(image, 1 - mask)) is not uses_mask


def test_kit_generators():
    residual, gated = plugin.toolbox_generators()
    assert_conforms(residual, width=4, levels=3)
    assert_conforms(gated, width=4, levels=3)
    assert_conforms(gated, width=4, levels=3, mask=False)


# Degradations


@pytest.mark.parametrize(
    ("probabilities", "transpose"),
    [((1, 0), Image.Transpose.FLIP_LEFT_RIGHT), ((0, 1), Image.Transpose.FLIP_TOP_BOTTOM)],
)
def test_flips_equal_pillows_and_undo_themselves(probabilities, transpose):
    sample, degrade = make_sample(), flip(*probabilities)
    flipped = degrade(sample, rng())
    assert np.array_equal(flipped.truth, np.asarray(Image.fromarray(sample.truth).transpose(transpose)))
    assert is_consistent(flipped)
    assert np.array_equal(degrade(flipped, rng()).truth, sample.truth)


@pytest.mark.parametrize("angle", PILLOW)
def test_rotations_equal_pillows_and_four_restore_the_sample(angle):
    sample, degrade = make_sample(), rotate([angle])
    rotated = degrade(sample, rng())
    assert np.array_equal(rotated.truth, np.asarray(Image.fromarray(sample.truth).transpose(PILLOW[angle])))
    assert is_consistent(rotated)
    for _ in range(3):
        rotated = degrade(rotated, rng())
    assert np.array_equal(rotated.truth, sample.truth) and np.array_equal(rotated.mask, sample.mask)


def test_flips_and_rotations_have_the_set_probabilities():
    sample, random = make_sample(), rng()
    random_flip, random_rotation = flip(0.5, 0.25), rotate((0, 90, 180, 270))
    kinds = {sample.truth[:: 1 - 2 * d, :: 1 - 2 * a].tobytes(): (a, d) for a in (0, 1) for d in (0, 1)}
    flips = Counter(kinds[random_flip(sample, random).truth.tobytes()] for _ in range(1000))
    rotations = {np.rot90(sample.truth, k).tobytes(): k for k in range(4)}
    turns = Counter(rotations[random_rotation(sample, random).truth.tobytes()] for _ in range(1000))
    # The tolerances are four standard deviations of a binomial distribution with n = 1000.
    for count, chance in [(flips[1, 0] + flips[1, 1], 0.5), (flips[0, 1] + flips[1, 1], 0.25)]:
        assert count == pytest.approx(1000 * chance, abs=4 * math.sqrt(1000 * chance * (1 - chance)))
    assert all(turns[k] == pytest.approx(250, abs=4 * math.sqrt(1000 * 3 / 16)) for k in range(4))


def test_erased_rectangles_by_hand():
    degrade = erase(chance=1, patches=1, least=0.25, most=0.25, aspect=1, low=7, high=7)
    sample = Sample(
        image=np.full((16, 16, 3), 200, np.uint8), mask=np.zeros((16, 16), bool), truth=make_sample(16, 16).truth
    )
    for seed in range(20):
        result = degrade(sample, rng(seed))
        rows, columns = (np.flatnonzero(result.mask.any(axis)) for axis in (1, 0))
        # A quarter of the area of 16x16 with aspect 1 is 8x8.
        assert (np.ptp(rows), np.ptp(columns), result.mask.sum()) == (7, 7, 64)
        assert (result.image[result.mask] == 7).all() and (result.image[~result.mask] == 200).all()
        assert np.array_equal(result.truth, sample.truth)


def test_erased_rectangles_stay_in_their_ranges():
    degrade = erase(chance=0.5, patches=1, least=0.02, most=0.1, aspect=0.25, low=10, high=60)
    sample = Sample(
        image=np.full((200, 200, 3), 200, np.uint8), mask=np.zeros((200, 200), bool), truth=make_sample(200, 200).truth
    )
    results = [degrade(sample, rng(seed)) for seed in range(1000)]
    erased = [result for result in results if result.mask.any()]
    areas = [result.mask.mean() for result in erased]
    ratios = [np.ptp(np.nonzero(result.mask)[0]) / np.ptp(np.nonzero(result.mask)[1]) for result in erased]
    levels = [result.image[result.mask] for result in erased]
    assert len(erased) == pytest.approx(500, abs=4 * math.sqrt(250))
    # Sides are rounded to whole pixels; the shortest is 200 sqrt(0.02 / 4), 14 pixels.
    assert 0.019 < min(areas) < 0.025 and 0.095 < max(areas) < 0.105
    assert 0.23 < min(ratios) < 0.3 and 3.3 < max(ratios) < 4.3
    assert all(pixels.min() == pixels.max() for pixels in levels)
    assert (min(pixels.min() for pixels in levels), max(pixels.max() for pixels in levels)) == (10, 60)


def test_erasing_adds_to_the_lost_region():
    sample = make_sample(64, 64)
    result = erase(chance=1, patches=3, least=0.1, most=0.2, aspect=0.3, low=0, high=100)(sample, rng())
    new = result.mask & ~sample.mask
    assert new.any() and (result.mask >= sample.mask).all()
    assert np.array_equal(result.image[~result.mask], sample.image[~result.mask])


@pytest.mark.parametrize("spec", plugin.toolbox_degradations(), ids=lambda spec: spec.name)
def test_kit_degradations(spec):
    assert spec.role == "augment"
    assert_conforms(spec)


@pytest.mark.parametrize(
    ("params", "values", "message"),
    [
        (plugin.FlipParams, {"horizontal": 0, "vertical": 0}, "nothing is flipped"),
        (plugin.RotateParams, {"angles": (45,)}, "90"),
        (plugin.RotateParams, {"angles": ()}, "at least 1 item"),
        (plugin.EraseParams, {"least": 0.3, "most": 0.2}, "least = 0.3 is above most = 0.2"),
        (plugin.EraseParams, {"low": 9, "high": 8}, "low = 9 is above high = 8"),
    ],
)
def test_invalid_params_are_rejected(params, values, message):
    with pytest.raises(ValidationError, match=message):
        params(**values)


# Recipes


@pytest.fixture(scope="module")
def trials_catalog():
    trials = Bundle(name="published-trials", module="toolbox_plugins.published_trials.plugin")
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, trials)))


def bind_recipe(trials_catalog, name, *overrides):
    return bind(read(name, lambda known: trials_catalog.recipe(known).path, overrides), trials_catalog)


CHANGES = {
    "trial-no-penalty": {"penalties"},
    "trial-ssim-weight": {"losses"},
    "trial-residual": {"generator", "requires"},
    "trial-gated": {"generator", "requires"},
    "trial-flip": {"degradations", "requires"},
    "trial-rotate": {"degradations", "requires"},
    "trial-erase": {"degradations", "requires"},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_trial_changes_one_thing(trials_catalog, name):
    default, trial = bind_recipe(trials_catalog, "default").tree(), bind_recipe(trials_catalog, name).tree()
    keys = default.keys() | trial.keys()
    assert {key for key in keys if default.get(key) != trial.get(key)} - {"summary"} == CHANGES[name]
    path = Path(trials_catalog.recipe(name).path)
    assert path.read_text("utf-8").startswith(f"# toolbox run --recipe {name} --data DIR\n")


def test_the_trials_make_the_documented_changes(trials_catalog):
    plans = {name: bind_recipe(trials_catalog, name) for name in RECIPES}
    assert plans["trial-no-penalty"].penalties == ()
    assert [loss.options.weight for loss in plans["trial-ssim-weight"].losses] == [1, 50, 100]
    assert plans["trial-gated"].generator.params.mask is False
    assert plans["trial-residual"].generator.options == bind_recipe(trials_catalog, "default").generator.options
    added = {name: [degradation.label for degradation in plan.degradations][1:] for name, plan in plans.items()}
    assert {name: labels for name, labels in added.items() if labels} == {
        "trial-flip": ["flip"],
        "trial-rotate": ["rotate"],
        "trial-erase": ["partial-erase"],
    }


@pytest.mark.parametrize("name", ["trial-residual", "trial-gated"])
def test_a_training_step_changes_all_weights_of_the_generator(trials_catalog, name):
    plan = bind_recipe(trials_catalog, name, "generator.width=4", "generator.levels=3", "discriminator.width=4")
    built = state.build_state(plan, make_accelerator("cpu"))
    truth = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = Batch(
        image=truth.mean(1, keepdim=True).repeat(1, 3, 1, 1), mask=truth[:, :1].round(), truth=truth, names=()
    )
    weights = list(built.generator.network.parameters())
    before = [weight.detach().clone() for weight in weights]
    terms = step.take_step(built, batch, make_accelerator("cpu"), number=0, random=step.seed_step(0, 0))
    assert all(value.isfinite() for value in terms.values())
    assert all(not torch.equal(old, new) for old, new in zip(before, weights, strict=True))
