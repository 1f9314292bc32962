"""The perceptual bundle as a whole: plugin, recipe, params, and what all its losses have in common."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError
from tensors import small_mask, uniform
from toolbox_plugins.perceptual import plugin
from torch.autograd import gradcheck

from toolbox.config import binding, recipe
from toolbox.models.build import build_component

LOSSES = {
    "l1": {},
    "charbonnier": {},
    "ms-ssim": {},
    "focal-frequency": {},
    "chroma": {},
    "hue-histogram": {},
    "perceptual": {"backbone": "test_efficientnet"},
    "hole": {"inner": {"name": "l1"}},
}


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, toolbox_plugins.perceptual.plugin as p; p.toolbox_losses(); p.toolbox_recipes();"
        "print([m for m in ('torch', 'timm', 'numpy', 'cv2', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_recipe_binds_and_builds_and_every_loss_is_tested(perceptual_catalog):
    bound = binding.bind(
        recipe.read("perceptual", lambda name: perceptual_catalog.recipe(name).path), perceptual_catalog
    )
    bound.check()
    assert [loss.label for loss in bound.losses] == [
        "lsgan", "ms-ssim", "hole", "charbonnier", "chroma", "hue-histogram",
    ]  # fmt: skip
    assert all(build_component(loss) is not None for loss in bound.losses)
    names = {entry.spec.name for entry in perceptual_catalog.entries("loss") if entry.plugin == "perceptual"}
    assert names == set(LOSSES)
    assert all(perceptual_catalog.spec("loss", name).reference for name in names)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("channels", [3, 1])
def test_contract(build_loss, name, channels):
    """A finite scalar, lowest for the truth; a finite gradient in every picture; half precision; inputs unchanged."""
    loss = build_loss(name, **LOSSES[name])
    truth, restored = uniform(2, channels, 48, 40).float(), uniform(2, channels, 48, 40, seed=1).float()
    before, mask = restored.clone(), small_mask(restored)
    value = loss(restored.requires_grad_(), truth, mask)
    assert value.shape == () and value.isfinite()
    assert loss(truth, truth, mask) <= value
    value.backward()
    has_no_gradient = channels == 1 and name in ("chroma", "hue-histogram")
    assert restored.grad.isfinite().all()
    assert all((gradient.abs().sum() > 1e-6) != has_no_gradient for gradient in restored.grad)
    assert torch.equal(restored.detach(), before)
    equal = truth.clone().requires_grad_()
    loss(equal, truth, mask).backward()
    assert equal.grad.isfinite().all()
    gray = torch.full_like(truth, 0.5).requires_grad_()
    loss(gray, torch.zeros_like(truth), mask).backward()
    assert gray.grad.isfinite().all()
    assert loss(restored.detach().bfloat16(), truth.bfloat16(), mask.bfloat16()).isfinite()


DIFFERENTIABLE = {
    "charbonnier": {"epsilon": 0.1},
    "ms-ssim": {},
    "focal-frequency": {"alpha": 0},
    "chroma": {"distance": "mse"},
    "chroma lab": {"distance": "mse", "space": "lab"},
    "hue-histogram": {},
    "hole": {"inner": {"name": "mse"}, "width": 1},
}


@pytest.mark.parametrize("label", DIFFERENTIABLE)
def test_gradcheck(build_loss, label):
    loss = build_loss(label.split()[0], **DIFFERENTIABLE[label])
    side = 23 if label == "ms-ssim" else 6
    # The pictures are similar, so that no structure term is negative, where ms-ssim replaces it.
    truth = uniform(1, 3, side, side)
    restored = (0.7 * truth + 0.3 * uniform(1, 3, side, side, seed=1)).requires_grad_()
    assert gradcheck(lambda x: loss(x, truth, small_mask(truth)), (restored,))


@pytest.mark.parametrize(
    ("params", "values"),
    [
        (plugin.CharbonnierParams, {"epsilon": 0}),
        (plugin.FocalFrequencyParams, {"alpha": -1}),
        (plugin.HoleParams, {"inner": {"name": "l1"}, "width": 0}),
        (plugin.ChromaParams, {"space": "hsv"}),
        (plugin.HueHistogramParams, {"softness": 0}),
    ],
)
def test_params_out_of_range_are_rejected(params, values):
    with pytest.raises(ValidationError):
        params(**values)
