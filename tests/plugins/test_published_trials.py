"""The published trials against other libraries and numbers worked out by hand; some 10 seconds."""

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
from toolbox_plugins.default.unet import InpaintingUNet, double_conv
from toolbox_plugins.published_trials import plugin
from toolbox_plugins.published_trials.erase import erase
from toolbox_plugins.published_trials.turn import flip, rotate
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


def double(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sample(height=12, width=16):
    """A sample in which image and mask can be told from the truth at every pixel."""
    truth = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Sample(image=255 - truth, mask=truth[..., 0] > 127, truth=truth)


def together(one):
    return np.array_equal(one.image, 255 - one.truth) and np.array_equal(one.mask, one.truth[..., 0] > 127)


def random(seed=0):
    return np.random.default_rng(seed)


# Generators


def test_a_residual_block_is_torchvisions_without_norms():
    theirs = BasicBlock(3, 5, downsample=nn.Conv2d(3, 5, 1), norm_layer=lambda channels: nn.Identity()).double()
    ours = Residual(3, 5).double()
    with torch.no_grad():
        for mine, other in ((ours.first, theirs.conv1), (ours.second, theirs.conv2)):
            mine.weight.copy_(other.weight)
            mine.bias.zero_()
    ours.shortcut.load_state_dict(theirs.downsample.state_dict())
    x = double(2, 3, 7, 6) - 0.5
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-14)


def test_a_gated_convolution_by_hand():
    layer = Gated(1, 2).double()
    with torch.no_grad():
        layer.both.weight.zero_()
        # At every pixel: features 2 x - 3 and x, gates 0 and ln 3 x; a sigmoid of ln 3 is 3 / 4.
        layer.both.weight[:, 0, 1, 1] = torch.tensor([2, 1, 0, math.log(3)], dtype=torch.float64)
        layer.both.bias.copy_(torch.tensor([-3, 0, 0, 0]))
    out = layer(torch.tensor([[[[1.0, 2.0, -1.0]]]], dtype=torch.float64))[0, :, 0]
    # elu(y) is y above 0 and e^y - 1 below: of -1, 1, -5, and of 1, 2, -1.
    first = [(math.exp(-1) - 1) / 2, 1 / 2, (math.exp(-5) - 1) / 2]
    second = [3 / 4, 2 * 9 / 10, (math.exp(-1) - 1) / 4]
    torch.testing.assert_close(out, torch.tensor([first, second], dtype=torch.float64), rtol=1e-12, atol=0)


def test_the_frame_is_the_default_bundles():
    theirs, ours = InpaintingUNet(4, 3).double(), UNet(double_conv, 4, 3).double()
    # Both list their tensors in the order in which the picture passes them.
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    image, mask = double(2, 3, 21, 30), double(2, 1, 21, 30, seed=1)
    torch.testing.assert_close(ours(image, mask), theirs(image, mask), rtol=1e-12, atol=1e-12)


def test_parameters():
    with torch.device("meta"):
        counts = {
            "residual": UNet(Residual, 64, 5),
            "gated": UNet(double_gated, 48, 5),
            "gated and mask": UNet(double_gated, 48, 5, mask=True),
        }
    found = {name: sum(weight.numel() for weight in one.parameters()) for name, one in counts.items()}
    # 1x1 shortcuts with bias, from and to: the published U-Net has 31,379,075 without them.
    joins = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024), (1536, 512), (768, 256), (384, 128), (192, 64)]
    assert found["residual"] == 31_379_075 + sum(a * b + b for a, b in joins)
    # Two gated convolutions a block, each 3x3 to twice its channels, with bias; the head is 1x1 to 3.
    blocks = [(3, 48), (48, 96), (96, 192), (192, 384), (384, 768), (1152, 384), (576, 192), (288, 96), (144, 48)]
    assert found["gated"] == sum(18 * (a + b) * b + 4 * b for a, b in blocks) + 48 * 3 + 3
    # A fourth channel of the first convolution: 9 pixels for 2 x 48 outputs.
    assert found["gated and mask"] - found["gated"] == 9 * 96


def test_gates_see_the_mask_where_asked():
    image, mask = double(1, 3, 16, 16), double(1, 1, 16, 16, seed=1).round()
    for asked in (False, True):
        network = plugin.build_gated(plugin.GatedParams(width=4, levels=2, mask=asked)).double()
        with torch.no_grad():
            assert torch.equal(network(image, mask), network(image, 1 - mask)) is not asked


def test_kit_generators():
    residual, gated = plugin.toolbox_generators()
    assert_conforms(residual, width=4, levels=3)
    assert_conforms(gated, width=4, levels=3)
    assert_conforms(gated, width=4, levels=3, mask=False)


# Degradations


@pytest.mark.parametrize(
    ("chances", "transpose"),
    [((1, 0), Image.Transpose.FLIP_LEFT_RIGHT), ((0, 1), Image.Transpose.FLIP_TOP_BOTTOM)],
)
def test_flips_are_pillows_and_undo_themselves(chances, transpose):
    given, degrade = sample(), flip(*chances)
    flipped = degrade(given, random())
    assert np.array_equal(flipped.truth, np.asarray(Image.fromarray(given.truth).transpose(transpose)))
    assert together(flipped)
    assert np.array_equal(degrade(flipped, random()).truth, given.truth)


@pytest.mark.parametrize("angle", PILLOW)
def test_turns_are_pillows_and_come_round(angle):
    given, degrade = sample(), rotate([angle])
    turned = degrade(given, random())
    assert np.array_equal(turned.truth, np.asarray(Image.fromarray(given.truth).transpose(PILLOW[angle])))
    assert together(turned)
    for _ in range(3):
        turned = degrade(turned, random())
    assert np.array_equal(turned.truth, given.truth) and np.array_equal(turned.mask, given.mask)


def test_chances_are_kept():
    given, draws = sample(), random()
    both, turn = flip(0.5, 0.25), rotate((0, 90, 180, 270))
    kinds = {given.truth[:: 1 - 2 * d, :: 1 - 2 * a].tobytes(): (a, d) for a in (0, 1) for d in (0, 1)}
    flips = Counter(kinds[both(given, draws).truth.tobytes()] for _ in range(1000))
    turned = {np.rot90(given.truth, k).tobytes(): k for k in range(4)}
    turns = Counter(turned[turn(given, draws).truth.tobytes()] for _ in range(1000))
    # Four deviations of a binomial distribution of 1000.
    for count, chance in [(flips[1, 0] + flips[1, 1], 0.5), (flips[0, 1] + flips[1, 1], 0.25)]:
        assert count == pytest.approx(1000 * chance, abs=4 * math.sqrt(1000 * chance * (1 - chance)))
    assert all(turns[k] == pytest.approx(250, abs=4 * math.sqrt(1000 * 3 / 16)) for k in range(4))


def test_erased_patches_by_hand():
    degrade = erase(chance=1, patches=1, least=0.25, most=0.25, aspect=1, low=7, high=7)
    given = Sample(image=np.full((16, 16, 3), 200, np.uint8), mask=np.zeros((16, 16), bool), truth=sample(16, 16).truth)
    for seed in range(20):
        result = degrade(given, random(seed))
        rows, columns = (np.flatnonzero(result.mask.any(axis)) for axis in (1, 0))
        # A quarter of 16x16 at aspect 1 is 8x8.
        assert (np.ptp(rows), np.ptp(columns), result.mask.sum()) == (7, 7, 64)
        assert (result.image[result.mask] == 7).all() and (result.image[~result.mask] == 200).all()
        assert np.array_equal(result.truth, given.truth)


def test_erased_patches_keep_their_bounds():
    degrade = erase(chance=0.5, patches=1, least=0.02, most=0.1, aspect=0.25, low=10, high=60)
    given = Sample(
        image=np.full((200, 200, 3), 200, np.uint8), mask=np.zeros((200, 200), bool), truth=sample(200, 200).truth
    )
    results = [degrade(given, random(seed)) for seed in range(1000)]
    erased = [one for one in results if one.mask.any()]
    shares = [one.mask.mean() for one in erased]
    ratios = [np.ptp(np.nonzero(one.mask)[0]) / np.ptp(np.nonzero(one.mask)[1]) for one in erased]
    levels = [one.image[one.mask] for one in erased]
    assert len(erased) == pytest.approx(500, abs=4 * math.sqrt(250))
    # A side is off by half a pixel, the least of them is 200 sqrt(0.02 / 4), 14 pixels.
    assert 0.019 < min(shares) < 0.025 and 0.095 < max(shares) < 0.105
    assert 0.23 < min(ratios) < 0.3 and 3.3 < max(ratios) < 4.3
    assert all(one.min() == one.max() for one in levels)
    assert (min(one.min() for one in levels), max(one.max() for one in levels)) == (10, 60)


def test_erasing_adds_to_the_lost_region():
    given = sample(64, 64)
    result = erase(chance=1, patches=3, least=0.1, most=0.2, aspect=0.3, low=0, high=100)(given, random())
    new = result.mask & ~given.mask
    assert new.any() and (result.mask >= given.mask).all()
    assert np.array_equal(result.image[~result.mask], given.image[~result.mask])


@pytest.mark.parametrize("spec", plugin.toolbox_degradations(), ids=lambda spec: spec.name)
def test_kit_degradations(spec):
    assert spec.role == "augment"
    assert_conforms(spec)


@pytest.mark.parametrize(
    ("params", "values", "words"),
    [
        (plugin.FlipParams, {"horizontal": 0, "vertical": 0}, "nothing would ever flip"),
        (plugin.RotateParams, {"angles": (45,)}, "90"),
        (plugin.RotateParams, {"angles": ()}, "at least 1 item"),
        (plugin.EraseParams, {"least": 0.3, "most": 0.2}, "least = 0.3 is above most = 0.2"),
        (plugin.EraseParams, {"low": 9, "high": 8}, "low = 9 is above high = 8"),
    ],
)
def test_params_that_mean_nothing_are_refused(params, values, words):
    with pytest.raises(ValidationError, match=words):
        params(**values)


# Recipes


@pytest.fixture(scope="module")
def shelf():
    ours = Bundle(name="published-trials", module="toolbox_plugins.published_trials.plugin")
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, ours)))


def plan_of(shelf, name, *overrides):
    return bind(read(name, lambda known: shelf.recipe(known).path, overrides), shelf)


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
def test_a_trial_changes_one_thing(shelf, name):
    default, trial = plan_of(shelf, "default").tree(), plan_of(shelf, name).tree()
    keys = default.keys() | trial.keys()
    assert {key for key in keys if default.get(key) != trial.get(key)} - {"summary"} == CHANGES[name]
    path = Path(shelf.recipe(name).path)
    assert path.read_text("utf-8").startswith(f"# toolbox run --recipe {name} --data DIR\n")


def test_what_the_trials_change(shelf):
    plans = {name: plan_of(shelf, name) for name in RECIPES}
    assert plans["trial-no-penalty"].penalties == ()
    assert [loss.options.weight for loss in plans["trial-ssim-weight"].losses] == [1, 50, 100]
    assert plans["trial-gated"].generator.params.mask is False
    assert plans["trial-residual"].generator.options == plan_of(shelf, "default").generator.options
    added = {name: [one.label for one in plan.degradations][1:] for name, plan in plans.items()}
    assert {name: one for name, one in added.items() if one} == {
        "trial-flip": ["flip"],
        "trial-rotate": ["rotate"],
        "trial-erase": ["partial-erase"],
    }


@pytest.mark.parametrize("name", ["trial-residual", "trial-gated"])
def test_a_step_through_the_loop_moves_the_generator(shelf, name):
    plan = plan_of(shelf, name, "generator.width=4", "generator.levels=3", "discriminator.width=4")
    built = state.build_state(plan, make_accelerator("cpu"))
    truth = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = Batch(
        image=truth.mean(1, keepdim=True).repeat(1, 3, 1, 1), mask=truth[:, :1].round(), truth=truth, names=()
    )
    weights = list(built.generator.network.parameters())
    before = [one.detach().clone() for one in weights]
    terms = step.take_step(built, batch, make_accelerator("cpu"), number=0, random=step.seed_step(0, 0))
    assert all(value.isfinite() for value in terms.values())
    assert all(not torch.equal(old, new) for old, new in zip(before, weights, strict=True))
