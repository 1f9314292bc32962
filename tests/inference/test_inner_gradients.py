"""Networks that differentiate inside `forward`, such as unrolled optimization, pass the checks and restore."""

from __future__ import annotations

import numpy as np
import torch
from catalogs import plugin
from tiled_networks import CPU, tiled
from torch import nn
from training_steps import SMALL

from toolbox import DiscriminatorSpec, GeneratorSpec
from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.inference.color_classes import ColorPredictor
from toolbox.inference.photo_view import make_view
from toolbox.inference.tiling import probe_receptive_radius
from toolbox.testing.plugins import catalog_with
from toolbox.training.size_check import check_size


def descent(pictures):
    """Return the gradient of half the sum of the squares: the pictures themselves."""
    with torch.enable_grad():
        start = pictures.detach().requires_grad_()
        return torch.autograd.grad(start.square().sum() / 2, start, create_graph=True)[0]


class Descending(nn.Module):
    """A generator that returns the picture; its outputs have a graph also where gradients are disabled."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("centres", torch.zeros(2, 2))

    def forward(self, image, mask):
        with torch.enable_grad():
            return self.weight * descent(image), {"classes": self.weight * descent(image)[:, :2]}


class Judging(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, picture, image, mask):
        return [self.weight * descent(picture)[:, :1]]


def test_networks_that_differentiate_inside_pass_the_check_before_the_training():
    generator = GeneratorSpec(name="descending", summary="x", build=lambda params: Descending(), auxiliary=("classes",))
    discriminator = DiscriminatorSpec(name="judging", summary="x", build=lambda params: Judging())
    extra = plugin("extra", toolbox_generators=lambda: [generator], toolbox_discriminators=lambda: [discriminator])
    loaded = catalog_with(extra, "extra")[0]
    names = ["generator={name='descending'}", "discriminator={name='judging'}", *SMALL[2:]]
    plan = bind(read("default", lambda name: loaded.recipe(name).path, names), loaded)
    lines = []
    check_size(plan, True, lines.append)
    assert not lines


def test_a_generator_that_differentiates_inside_restores():
    network = Descending().eval()
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    view = make_view(picture, np.zeros((40, 50), bool))
    assert probe_receptive_radius(network, CPU, 1) == 0
    assert np.abs(tiled(network, 1, 512).run(view) - picture / 255).max() < 1e-6
    predictor = ColorPredictor(network=network, multiple=1, device=CPU, side=64)
    outputs, _ = predictor.run(view)
    assert not any(value.requires_grad for value in outputs.values())
    assert predictor(picture[..., 0]).probabilities.shape == (2, 40, 50)
