"""The two-stage bundle: the inputs of each stage, the reach of the losses, the recipe. Takes about 5 s."""

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
TWO_STAGE = Bundle(name="two_stage", module="toolbox_plugins.two_stage.plugin")
TINY = ["generator.gray.name=inpainting-unet", "generator.color.name=inpainting-unet"]
TINY += [f"generator.{stage}.{key}=4" for stage in ("gray", "color") for key in ("width", "levels")]


def load_catalog(*others):
    return catalog.build(manager.load(third_party=False, registries=registries(DEFAULT, TWO_STAGE, *others)))


def bind_recipe(loaded, *overrides):
    return binding.bind(recipe.read("two-stage", lambda name: loaded.recipe(name).path, overrides), loaded)


class Stub(nn.Module):
    """Return a fixed picture, with auxiliary outputs if there are any, and record the inputs."""

    def __init__(self, picture, auxiliary=None):
        super().__init__()
        self.picture, self.auxiliary, self.inputs = nn.Parameter(picture), auxiliary, []

    def forward(self, image, mask):
        self.inputs.append((image, mask))
        return self.picture if self.auxiliary is None else (self.picture, self.auxiliary)


def make_stages(keep_known=True, auxiliary=None):
    random = torch.Generator().manual_seed(0)
    first, second = (Stub(torch.rand(1, 3, 8, 8, generator=random), auxiliary) for _ in range(2))
    image = torch.rand(1, 1, 8, 8, generator=random).expand(-1, 3, -1, -1)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:5, 3:7] = 1
    return TwoStage(first, second, keep_known), first, second, image, mask


def test_luma_equals_pillows():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    gray = np.asarray(Image.fromarray(pixels).convert("L"))
    ours = luma(torch.from_numpy(pixels).permute(2, 0, 1)[None].double())[0, 0].numpy()
    # Pillow rounds to integers, so it differs by up to half a level.
    assert np.abs(ours - gray).max() <= 0.51


def test_the_second_stage_gets_the_known_gray_with_the_lost_region_filled():
    network, first, second, image, mask = make_stages()
    restored, auxiliary = network(image, mask)
    (gray, second_mask), lost = second.inputs[0], mask[0, 0].bool()
    assert torch.equal(first.inputs[0][0], image)
    assert torch.equal(first.inputs[0][1], mask) and torch.equal(second_mask, mask)
    assert torch.equal(restored, second.picture)
    assert gray.shape == image.shape
    assert all(torch.equal(gray[:, channel : channel + 1], auxiliary["gray"]) for channel in range(3))
    assert torch.allclose(gray[0, 0][~lost], image[0, 0][~lost], atol=1e-6)
    red, green, blue = first.picture[0].detach()
    assert torch.allclose(gray[0, 0][lost], (0.299 * red + 0.587 * green + 0.114 * blue)[lost], atol=1e-6)


def test_without_keep_known_the_second_stage_gets_all_of_the_first_ones_gray():
    network, first, second, image, mask = make_stages(keep_known=False)
    _, auxiliary = network(image, mask)
    assert torch.allclose(auxiliary["gray"], luma(first.picture))


def test_a_stage_may_have_auxiliary_outputs():
    network, _, second, image, mask = make_stages(auxiliary={"other": torch.zeros(1)})
    restored, auxiliary = network(image, mask)
    assert torch.equal(restored, second.picture)
    assert set(auxiliary) == {"gray"}


def test_a_loss_on_the_gray_has_a_gradient_in_the_lost_region_of_the_first_stage_only():
    network, first, second, image, mask = make_stages()
    network(image, mask)[1]["gray"].sum().backward()
    assert second.picture.grad is None
    has_gradient = first.picture.grad.abs().sum(1, keepdim=True) > 0
    assert torch.equal(has_gradient, mask.bool())


def test_the_default_stages_are_the_published_generator():
    params = plugin.TwoStageParams()
    assert (params.gray, params.color) == (GeneratorRef(name="inpainting-unet"),) * 2
    bound = binding.bind_component(load_catalog(SMP), "generator", "two-stage", {})
    assert {name: child.spec.name for name, child in bound.children.items()} == dict.fromkeys(
        ("gray", "color"), "inpainting-unet"
    )


def test_the_recipe_binds_with_the_smp_bundle():
    bound = bind_recipe(load_catalog(SMP))
    bound.check()
    children = bound.generator.children
    assert [children[name].spec.name for name in ("gray", "color")] == ["smp-unet"] * 2
    assert children["gray"].params.encoder == "resnet34"
    losses = {loss.label: loss.options.on for loss in bound.losses}
    assert losses == {"lsgan": "restored", "mse": "restored", "ssim": "restored", "gray": "gray"}


def test_without_the_smp_bundle_the_error_names_it():
    with pytest.raises(RecipeError, match=r"needs the plugin 'smp'") as caught:
        bind_recipe(load_catalog())
    assert {fault.location for fault in caught.value.faults} == {"generator.gray", "generator.color"}


def test_a_training_step_changes_both_stages():
    bound = bind_recipe(load_catalog(SMP), *TINY, "discriminator.width=4")
    accelerator = make_accelerator("cpu", "fp32")
    built = state.build_state(bound, accelerator)
    network = built.generator.network
    before = {name: value.clone() for name, value in network.named_parameters()}
    truth = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 8:20, 8:20] = 1
    image = luma(truth).expand(-1, 3, -1, -1) * (1 - mask)
    batch = Batch(image=image, mask=mask, truth=truth, names=())
    terms = step.take_step(built, batch, accelerator, number=0, random=step.seed_step(0, 0))
    with torch.no_grad():
        gray = luma(truth)[mask.bool()]
    assert 0 < float(terms["loss.gray"]) < float(gray.square().mean() + 1)
    changed = {name.split(".")[0] for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"gray", "color"}
