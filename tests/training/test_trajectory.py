"""The first six steps of the recipe `published`, compared with the figures of the published functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog
from toolbox.training import state, step
from toolbox.utils import devices

REFERENCE = Path(__file__).parents[1] / "reference" / "published_step.npz"
COLUMNS = ("g", "loss.lsgan", "loss.mse", "loss.ssim", "d", "d.real", "d.fake", "penalty.gradient")


def fill(network: torch.nn.Module) -> None:
    """Fill the weights as the reference run did."""
    with torch.no_grad():
        for k, weight in enumerate(network.parameters()):
            values = np.random.RandomState(1000 + k).standard_normal(weight.numel()).reshape(weight.shape)
            if weight.dim() == 4:
                values = values * np.sqrt(2 / np.prod(weight.shape[1:]))
            else:
                values = 1 + 0.1 * values if is_norm_weight(network, weight) else 0.01 * values
            # The reference's weights were float32 in its float64 run too.
            weight.copy_(torch.from_numpy(values.astype(np.float32)))


def is_norm_weight(network: torch.nn.Module, weight: torch.Tensor) -> bool:
    return any(isinstance(m, torch.nn.BatchNorm2d) and m.weight is weight for m in network.modules())


def run_steps(precision: str, count: int) -> np.ndarray:
    """Return the terms of the first steps, one row for each."""
    loaded = catalog.load(third_party=False)
    recipe = read("published", lambda name: loaded.recipe(name).path, [f"training.precision={precision}"])
    plan = bind(recipe, loaded)
    accelerator = make_accelerator("cpu", precision)
    dtype = devices.weight_dtype(precision)
    built = state.build_state(plan, accelerator, dtype)
    fill(built.generator.network)
    fill(built.discriminator.network)
    with np.load(REFERENCE) as reference:
        x, y = (torch.from_numpy(reference[key]).to(dtype) for key in ("x", "y"))
    batch = Batch(image=x, mask=torch.zeros_like(x[:, :1]), truth=y, names=("a", "b"))
    rows = []
    for number in range(count):
        random = torch.Generator().manual_seed(100 + number)
        terms = step.take_step(built, batch, accelerator, number=number, random=random)
        rows.append([float(terms[name]) for name in COLUMNS])
    return np.array(rows)


def test_six_steps_in_float64_equal_the_published_ones_to_1e_8():
    with np.load(REFERENCE) as reference:
        expected = reference["trajectory_float64"]
    np.testing.assert_allclose(run_steps("fp64", 6), expected, rtol=1e-8)


def test_two_steps_in_float32_equal_the_published_ones_to_1e_3():
    with np.load(REFERENCE) as reference:
        expected = reference["trajectory_float32"][:2]
    np.testing.assert_allclose(run_steps("fp32", 2), expected, rtol=1e-3)


def test_the_published_recipe_warns_that_its_ssim_has_no_gradient():
    loaded = catalog.load(third_party=False)
    plan = bind(read("published", lambda name: loaded.recipe(name).path), loaded)
    assert [line for line in plan.warnings if line.startswith("losses.ssim") and "detach" in line]


@pytest.mark.parametrize("label", ["lsgan", "mse", "ssim"])
def test_each_loss_of_default_trains_the_generator(label):
    loaded = catalog.load(third_party=False)
    others = [name for name in ("lsgan", "mse", "ssim") if name != label]
    overrides = ["generator.width=4", *(f"losses.{name}.weight=0" for name in others)]
    plan = bind(read("default", lambda name: loaded.recipe(name).path, overrides), loaded)
    accelerator = make_accelerator("cpu")
    built = state.build_state(plan, accelerator)
    before = [weight.detach().clone() for weight in built.generator.network.parameters()]
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batch = Batch(image=pictures, mask=torch.zeros_like(pictures[:, :1]), truth=pictures.flip(0), names=("a", "b"))
    step.take_step(built, batch, accelerator, number=0, random=torch.Generator().manual_seed(0))
    grads = [weight.grad.abs().sum() for weight in built.generator.network.parameters()]
    assert all(grad > 0 for grad in grads)
    assert any(not torch.equal(a, b) for a, b in zip(before, built.generator.network.parameters(), strict=True))
