"""The conformance kit passes sound components of usual designs. 6 s."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from rigged.sound import COMMON, generator, judge, loss, penalty, slope
from torch import nn
from torch.nn.functional import interpolate

from toolbox import StepSpec
from toolbox.testing import check_component


class RunningLoss(nn.Module):
    """A step that keeps the running mean of its loss in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(0.0))

    def forward(self, context, batch):
        for part in context.micro_batches(batch):
            outputs = context.generate(part)
            total = sum(loss.weight * context.reconstruction(loss, outputs, part) for loss in context.losses)
            self.mean.lerp_(total.detach(), 0.1)
            context.record("g", total, part)
            context.backward(total, part)


class RunningValidation(RunningLoss):
    """A step that restores no pictures, and weights its values with a buffer."""

    def forward(self, context, batch):
        for part in context.micro_batches(batch):
            total = context.generator(part.image, part.mask).square().mean()
            self.mean.lerp_(total.detach(), 0.1)
            context.record("g", total, part)
            context.backward(total, part)

    def validate(self, network, batch):
        values = network(batch.image, batch.mask).square().mean((1, 2, 3))
        return {"loss": torch.lerp(values, self.mean.expand(len(values)), 0.1)}

    def figures(self, values):
        return {"loss": float(values["loss"].mean())}


class UNetJudge(nn.Module):
    """A U-Net with one level, which takes pictures with even sides, and a map for each level."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 4, 4, 2, 1)
        self.deep, self.fine = nn.Conv2d(4, 1, 1), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, picture, image, mask):
        first = self.first(picture)
        deep = nn.functional.leaky_relu(self.down(first), 0.2)
        return [self.deep(deep), self.fine(torch.cat([first, interpolate(deep, scale_factor=2)], 1))]


class LinearJudge(nn.Module):
    """One score for each picture, from a linear layer, which takes pictures of 64 pixels only."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 64 * 64, 1)

    def forward(self, picture, image, mask):
        return [self.layer(picture.flatten(1))[..., None, None]]


class MinibatchStdJudge(nn.Module):
    """A discriminator with the standard deviation over the batch as one more channel."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 4, 2, 1), nn.Conv2d(5, 1, 4, 2, 1)

    def forward(self, picture, image, mask):
        values = nn.functional.leaky_relu(self.first(picture), 0.2)
        spread = (values.var(0, unbiased=False) + 1e-8).sqrt().mean()
        return [self.last(torch.cat([values, spread.expand_as(values[:, :1])], 1))]


class UnrolledGenerator(nn.Module):
    """A generator that takes a step along the gradient of its own energy."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image, mask):
        with torch.enable_grad():
            point = image.detach().requires_grad_()
            energy = nn.functional.softplus(self.layer(point)).sum()
            (gradient,) = torch.autograd.grad(energy, point, create_graph=True)
        return (image - gradient).sigmoid()


class TotalVariation(nn.Module):
    """A loss of the restored picture alone."""

    def forward(self, restored, truth, mask):
        return restored.diff(dim=-1).abs().mean() + restored.diff(dim=-2).abs().mean()


def loaded_judge():
    """Return a discriminator from a file of `torch.jit.save`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated
        file = io.BytesIO()
        torch.jit.save(
            torch.jit.trace(MinibatchStdJudge(), [torch.rand(2, 3, 64, 64)] * 2 + [torch.rand(2, 1, 64, 64)]), file
        )
        file.seek(0)
        return torch.jit.load(file)


def one_sided(limit):
    """Return a penalty on gradients that are longer than `limit`."""

    def function(context):
        gradient = slope(context, context.real.detach().requires_grad_()).flatten(1)
        return ((gradient.square().sum(1) + 1e-12).sqrt() - limit).relu().square().mean()

    return penalty(lambda: function)


def step(make, **facts):
    return StepSpec(**COMMON, **facts, build=lambda params: make(), uses_discriminator=False)


USUAL = {
    "a step with a running value": step(RunningLoss),
    "a step that validates with a running value": step(RunningValidation, restores=False),
    "an unrolled generator": generator(UnrolledGenerator),
    "a U-Net discriminator": judge(UNetJudge),
    "a discriminator for one size": judge(LinearJudge),
    "a discriminator with a minibatch standard deviation": judge(MinibatchStdJudge),
    "a discriminator from a file": judge(loaded_judge),
    "total variation": loss(TotalVariation),
    "a one-sided gradient penalty": one_sided(1),
    "a one-sided gradient penalty with a high limit": one_sided(1e6),
}


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_design_does_not_fail(name):
    assert [check for check in check_component(USUAL[name]) if check.status == "failed"] == []


@pytest.mark.parametrize(("limit", "status"), [(1, "ok"), (1e6, "noted")])
def test_a_penalty_that_is_0_is_tried_with_larger_weights_and_then_noted(limit, status):
    (found,) = [check for check in check_component(one_sided(limit)) if check.name == "gradient flow"]
    assert found.status == status
