"""The two-stage bundle: what each stage is given, what losses reach, the recipe. Some 5 s."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from catalogs import DEFAULT, registries
from PIL import Image
from toolbox_plugins.two_stage import plugin
from toolbox_plugins.two_stage.stages import TwoStage
from torch import nn

from toolbox.color import luma
from toolbox.config import binding, recipe
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import RecipeError
from toolbox.hooks import catalog, manager
from toolbox.hooks.params import GeneratorRef
from toolbox.hooks.registry import Bundle
from toolbox.training import state, step

SMP = Bundle(name="smp", module="toolbox_plugins.smp.plugin")
TWO = Bundle(name="two_stage", module="toolbox_plugins.two_stage.plugin")
TINY = ["generator.gray.name=inpainting-unet", "generator.color.name=inpainting-unet"]
TINY += [f"generator.{stage}.{key}=4" for stage in ("gray", "color") for key in ("width", "levels")]


def bundles(*more):
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, TWO, *more)))


def bound(found, *overrides):
    return binding.bind(recipe.read("two-stage", lambda name: found.recipe(name).path, overrides), found)


class Stub(nn.Module):
    """Gives a fixed picture and keeps what it was given."""

    def __init__(self, picture, named=None):
        super().__init__()
        self.picture, self.named, self.given = nn.Parameter(picture), named, []

    def forward(self, image, mask):
        self.given.append((image, mask))
        return self.picture if self.named is None else (self.picture, self.named)


def stages(keep_known=True, named=None):
    random = torch.Generator().manual_seed(0)
    first, second = (Stub(torch.rand(1, 3, 8, 8, generator=random), named) for _ in range(2))
    image = torch.rand(1, 1, 8, 8, generator=random).expand(-1, 3, -1, -1)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:5, 3:7] = 1
    return TwoStage(first, second, keep_known), first, second, image, mask


def test_luma_is_pillows():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    gray = np.asarray(Image.fromarray(pixels).convert("L"))
    ours = luma(torch.from_numpy(pixels).permute(2, 0, 1)[None].double())[0, 0].numpy()
    # Pillow's integers round; theirs is within half a level of the sum.
    assert np.abs(ours - gray).max() <= 0.51


def test_the_second_stage_sees_the_known_gray_with_the_hole_filled():
    network, first, second, image, mask = stages()
    restored, more = network(image, mask)
    (given, hole), lost = second.given[0], mask[0, 0].bool()
    assert torch.equal(first.given[0][0], image)
    assert torch.equal(first.given[0][1], mask) and torch.equal(hole, mask)
    assert torch.equal(restored, second.picture)
    assert given.shape == image.shape
    assert all(torch.equal(given[:, channel : channel + 1], more["gray"]) for channel in range(3))
    assert torch.allclose(given[0, 0][~lost], image[0, 0][~lost], atol=1e-6)
    red, green, blue = first.picture[0].detach()
    assert torch.allclose(given[0, 0][lost], (0.299 * red + 0.587 * green + 0.114 * blue)[lost], atol=1e-6)


def test_without_keep_known_all_of_the_first_stage_goes_on():
    network, first, second, image, mask = stages(keep_known=False)
    _, more = network(image, mask)
    assert torch.allclose(more["gray"], luma(first.picture))


def test_generators_with_outputs_of_their_own_are_stages_too():
    network, _, second, image, mask = stages(named={"other": torch.zeros(1)})
    restored, more = network(image, mask)
    assert torch.equal(restored, second.picture)
    assert set(more) == {"gray"}


def test_a_loss_on_the_gray_moves_the_first_stage_in_the_hole_alone():
    network, first, second, image, mask = stages()
    network(image, mask)[1]["gray"].sum().backward()
    assert second.picture.grad is None
    moved = first.picture.grad.abs().sum(1, keepdim=True) > 0
    assert torch.equal(moved, mask.bool())


def test_the_defaults_are_two_published_generators():
    params = plugin.TwoStageParams()
    assert (params.gray, params.color) == (GeneratorRef(name="inpainting-unet"),) * 2
    found = bundles(SMP)
    tiny = binding.bind_component(found, "generator", "two-stage", {})
    assert {name: child.spec.name for name, child in tiny.children.items()} == dict.fromkeys(
        ("gray", "color"), "inpainting-unet"
    )


def test_the_recipe_binds_over_the_smp_bundle():
    found = bundles(SMP)
    whole = bound(found)
    whole.check()
    children = whole.generator.children
    assert [children[name].spec.name for name in ("gray", "color")] == ["smp-unet"] * 2
    assert children["gray"].params.encoder == "resnet34"
    losses = {loss.label: loss.options.on for loss in whole.losses}
    assert losses == {"lsgan": "restored", "mse": "restored", "ssim": "restored", "gray": "gray"}


def test_without_the_smp_bundle_the_recipe_names_it():
    with pytest.raises(RecipeError, match=r"needs the plugin 'smp'") as caught:
        bound(bundles())
    assert {fault.location for fault in caught.value.faults} == {"generator.gray", "generator.color"}


def test_a_step_of_the_recipe_moves_both_stages():
    whole = bound(bundles(SMP), *TINY, "discriminator.width=4")
    power = make_accelerator("cpu", "fp32")
    built = state.build_state(whole, power)
    network = built.generator.network
    before = {name: value.clone() for name, value in network.named_parameters()}
    truth = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 8:20, 8:20] = 1
    image = luma(truth).expand(-1, 3, -1, -1) * (1 - mask)
    batch = Batch(image=image, mask=mask, truth=truth, names=())
    terms = step.take_step(built, batch, power, number=0, random=step.seed_step(0, 0))
    with torch.no_grad():
        gray = luma(truth)[mask.bool()]
    assert 0 < float(terms["loss.gray"]) < float(gray.square().mean() + 1)
    moved = {name.split(".")[0] for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"gray", "color"}
