"""`toolbox run --resume` with other weights in the generator's optimizer: refused in one line that names the change."""

from __future__ import annotations

import pytest
from commands import invoke
from runs import run

from toolbox.api import train
from toolbox.config.recipe import Recipe
from toolbox.errors import WeightsError

PLUGIN = """
import torch
from torch import nn

from toolbox import Field, GeneratorSpec, LossSpec, OptimizerSpec, Params, PenaltySpec, hookimpl


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, restored, truth, mask):
        return (restored - truth).square().mean() * torch.exp(-self.scale) + self.scale


class Adversarial(Scaled):
    def generator(self, fake, real):
        return sum((part - 1).square().mean() for part in fake) * torch.exp(-self.scale)

    def discriminator(self, fake, real):
        return sum(part.square().mean() for part in fake), sum((part - 1).square().mean() for part in real)


class Penalty(Scaled):
    def forward(self, context):
        return 0 * self.scale.detach() + 0 * context.fake.mean()


class Net(nn.Module):
    def __init__(self, freeze):
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 3, 1)
        self.first.requires_grad_(not freeze)

    def forward(self, image, mask):
        return self.second(self.first(torch.cat([image, mask], 1)))


class NetParams(Params):
    freeze: bool = Field(False, description="x")
    width: int = Field(4, description="x")


class Groups(Params):
    groups: int = Field(1, description="x")


def build_optimizer(params, weights):
    return torch.optim.Adam([{"params": weights[index :: params.groups]} for index in range(params.groups)], lr=1e-4)


@hookimpl
def toolbox_losses():
    adversarial = LossSpec(name="adversary", summary="x", role="adversarial", build=lambda params: Adversarial())
    return [LossSpec(name="scaled", summary="x", build=lambda params: Scaled()), adversarial]


@hookimpl
def toolbox_penalties():
    return [PenaltySpec(name="idle", summary="x", build=lambda params: Penalty().requires_grad_(False))]


@hookimpl
def toolbox_generators():
    return [GeneratorSpec(name="net", summary="x", params=NetParams, build=lambda params: Net(params.freeze))]


@hookimpl
def toolbox_optimizers():
    return [OptimizerSpec(name="grouped", summary="x", params=Groups, build=build_optimizer)]
"""
NET, GROUPED = ["generator.name=net"], ["generator.optimizer.name=grouped"]
# Settings of a run, and those that change the weights in its optimizer, or their groups.
CHANGES = {
    "a loss with weights is left out": (["losses.scaled.weight=1"], "losses.scaled.enabled=false"),
    "one is added": ([], "losses.scaled.weight=1"),
    "an adversarial loss with weights is replaced": (["losses.lsgan.name=adversary"], "losses.lsgan.name=lsgan"),
    "one of two is left out": (["losses.a.name=scaled", "losses.b.name=scaled"], "losses.a.enabled=false"),
    "weights are frozen": (NET, "generator.freeze=true"),
    "other groups": (GROUPED, "generator.optimizer.groups=2"),
}


def settings(values):
    return [word for value in values for word in ("--set", value)]


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "weighty.py").write_text(PLUGIN, "utf-8")
    invoke("plugin", "add", tmp_path / "weighty.py")


@pytest.mark.parametrize("case", CHANGES)
def test_other_weights_in_the_optimizer_are_refused_with_the_change(case, plugin, tmp_path, photos):
    before, change = CHANGES[case]
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1, *settings(before))
    refused = run("--resume", out, "--epochs", 2, "--set", change, code=1).stderr
    key = change.partition("=")[0].removesuffix(".enabled")
    assert "belongs to another recipe. Changed settings: " in refused and f"{key.removesuffix('.weight')}" in refused
    assert "--set generator.init=" in refused and "raised" not in refused
    run("--resume", out, "--epochs", 2)


def test_a_penalty_with_frozen_weights_can_be_left_out(plugin, tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1, "--set", "penalties.idle.weight=1")
    run("--resume", out, "--epochs", 2, "--set", "penalties.idle.enabled=false")


def test_losses_with_weights_in_another_order_are_refused(plugin, tmp_path, photos):
    out = tmp_path / "out"
    labels = settings(["losses.a.name=scaled", "losses.b.name=scaled"])
    run("--data", photos, "--out", out, "--size", 32, "--epochs", 1, *labels)
    recipe = Recipe.load(out / "recipe.toml")
    losses = dict(reversed(recipe.tree["losses"].items()))
    other = Recipe(name="other", tree={**recipe.tree, "losses": losses})
    with pytest.raises(WeightsError, match="belongs to another recipe"):
        train(other, resume=out, device="cpu")
