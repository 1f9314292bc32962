"""The conformance kit calls components with the checks of a run, and says the same as a run."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from once import Once
from rigged.sound import COMMON, Game, Generator, Judge, game, generator, judge, loss, lsgan_discriminator, mse, penalty
from torch import nn

from toolbox import StepSpec
from toolbox.testing import check_component


def writing(maps):
    return sum(values.abs_().mean() for values in maps)


def calling_backward(value):
    value.backward(retain_graph=True)
    return value


def failing(error):
    def function(restored, truth, mask):
        raise error

    return function


def recursing(restored, truth, mask):
    return recursing(restored, truth, mask)


def asking(restored, truth, mask):
    truth.requires_grad_()
    return mse(restored, truth, mask)


def reordering(fake, real):
    terms = lsgan_discriminator(fake, real)
    real.reverse()
    return terms


class BackwardGenerator(Generator):
    def forward(self, image, mask):
        with torch.enable_grad():
            self.layer.weight.square().sum().backward()
        return super().forward(image, mask)


class BackwardJudge(Judge):
    def forward(self, picture, image, mask):
        maps = super().forward(picture, image, mask)
        if maps[0].requires_grad:
            maps[0].mean().backward(retain_graph=True)
        return maps


class BackwardLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, restored, truth, mask):
        if torch.is_grad_enabled():
            calling_backward(self.scale.square())
        return self.scale * mse(restored, truth, mask)


BACKWARD = "changes the gradients of the networks, as backward() does"


class OwnOptimizerLoss(BackwardLoss):
    def forward(self, restored, truth, mask):
        value = self.scale * mse(restored, truth, mask)
        if value.requires_grad:
            (self.scale.grad,) = torch.autograd.grad(value, self.scale, retain_graph=True)
        return value


CASES = {
    "a penalty that writes into real maps": (penalty(lambda: lambda c: writing(c.real_maps)), "`context.real_maps[0]`"),
    "a penalty that writes into fake maps": (penalty(lambda: lambda c: writing(c.fake_maps)), "`context.fake_maps[0]`"),
    "a penalty that calls backward": (
        penalty(lambda: lambda c: calling_backward(c.real_maps[0].square().mean())),
        BACKWARD,
    ),
    "a loss that calls backward": (loss(lambda: lambda a, b, m: calling_backward(mse(a, b, m))), BACKWARD),
    "a loss that trains its own weights": (loss(BackwardLoss), BACKWARD),
    "a loss that sets the gradients of its weights": (loss(OwnOptimizerLoss), BACKWARD),
    "a loss that asks for a gradient": (loss(lambda: asking), "sets requires_grad of `truth`, its input"),
    "an adversarial loss that calls backward": (
        game(lambda fake, real: calling_backward((fake[0] - 1).square().mean())),
        BACKWARD,
    ),
    "an adversarial loss that reorders real": (
        game(discriminator_side=reordering),
        "changes the list `real`, its input",
    ),
    "a generator that calls backward": (generator(BackwardGenerator), BACKWARD),
    "a discriminator that calls backward": (judge(BackwardJudge), BACKWARD),
}


@pytest.mark.parametrize("name", CASES)
def test_the_kit_finds_what_a_run_refuses(name):
    """The kit passed it, or blamed sizes and weights."""
    spec, words = CASES[name]
    checks = {check.name: check for check in check_component(spec)}
    assert checks["inputs unchanged"].status == "failed" and words in checks["inputs unchanged"].detail
    if spec.kind == "loss" and not isinstance(spec.build(None), Game):
        assert [check.name for check in checks.values() if check.status == "failed"] == ["inputs unchanged"]


def partly_lost(context):
    point = context.real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(context.discriminate(Once.apply(point))[0].sum(), point, create_graph=True)
    return gradient.square().mean() + context.real_maps[0].square().mean()


def test_the_kit_finds_a_penalty_with_a_part_that_trains_nothing():
    (failed,) = [check for check in check_component(penalty(lambda: partly_lost)) if check.status == "failed"]
    assert failed.name == "gradient flow" and "a part of its gradient can't be computed" in failed.detail


class ClippedJudge(Judge):
    """Weight clipping as in WGAN, before each call."""

    def forward(self, *inputs):
        for weight in self.parameters():
            weight.data.clamp_(-0.01, 0.01)
        return super().forward(*inputs)


def moving(restored, truth, mask):
    return (FROZEN.to(restored)(restored) - FROZEN(truth)).abs().mean()


FROZEN = nn.Conv2d(3, 4, 3).requires_grad_(False).eval()


def test_clipped_weights_and_a_network_that_is_moved_to_the_pictures_pass():
    """Clipped weights were said to differ between two builds, and the moved network to mix two devices."""
    clipped = {check.name: check for check in check_component(judge(ClippedJudge))}
    assert clipped["seeded weights"].status == "ok", clipped["seeded weights"].detail
    moved = {check.name: check for check in check_component(loss(lambda: moving))}
    assert moved["device"].status in ("ok", "noted"), moved["device"].detail


class LinearLast(Judge):
    def forward(self, *inputs):
        return [Once.apply(values) for values in super().forward(*inputs)]


def test_a_last_layer_that_is_linear_needs_no_second_derivative():
    (found,) = [check for check in check_component(judge(LinearLast)) if check.name == "second derivative"]
    assert found.status == "ok"


@pytest.mark.parametrize("function", [failing(AssertionError()), failing(RuntimeError("no\nluck")), recursing])
def test_an_error_at_every_size_is_not_blamed_on_the_size(function):
    (failed,) = [check for check in check_component(loss(lambda: function)) if check.status == "failed"]
    assert failed.detail.startswith("raised an error for pictures of every size, 16 to 256 pixels: ")


def draw_from_numpy():
    np.random.rand()


def draw_from_python():
    random.random()


def seed_torch():
    torch.manual_seed(5)


class RandomLoss(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, restored, truth, mask):
        if self.training:
            self.change()
        return mse(restored, truth, mask)


def random_network(base, change):
    return type("Random", (base,), {"forward": lambda self, *inputs: (change(), base.forward(self, *inputs))[1]})


def random_step(change):
    def step(context, batch):
        change()
        for part in context.micro_batches(batch):
            total = (context.generate(part)["restored"] - part.truth).square().mean()
            context.record("g", total, part)
            context.backward(total, part)

    return StepSpec(**COMMON, build=lambda params: step, uses_discriminator=False)


SEEDING = {
    "loss": ("deterministic value", lambda change: loss(lambda: RandomLoss(change))),
    "generator": ("unseeded training", lambda change: generator(random_network(Generator, change))),
    "discriminator": ("unseeded training", lambda change: judge(random_network(Judge, change))),
    "step": ("random numbers", random_step),
}


@pytest.mark.parametrize("change", [draw_from_numpy, draw_from_python, seed_torch])
@pytest.mark.parametrize("kind", SEEDING)
def test_the_kit_finds_random_numbers_that_a_run_names(kind, change):
    """It passed steps that seed, and networks that draw numbers of NumPy or Python."""
    check, make = SEEDING[kind]
    (failed,) = [found for found in check_component(make(change)) if found.status == "failed"]
    assert failed.name == check and "seeds the global random numbers or draws NumPy's or Python's" in failed.detail
