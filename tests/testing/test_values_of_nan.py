"""Values that are NaN are called that by the kit, whatever it compares: NaN is not equal to itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from rigged.sound import Generator, Judge, changed, game, generator, judge, loss, metric, mse, penalty, r1

from toolbox import DegradationSpec, FillerSpec, OptimizerSpec, PostprocessorSpec, Sample, ScheduleSpec, StepSpec
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.kinds import KINDS
from toolbox.testing import check_component

EMPTY_CATALOG = Catalog(components={kind: {} for kind in KINDS}, plugins=())
NAN = math.nan
FALSE_WORDS = (
    "another value",
    "differs from call to call",
    "the output differs",
    "differ between two builds",
    "changes with the rest",
    "depends on",
    "changes the result",
    "change the result",
    "in [0, 1]",
    "central differences",
    "lower must be better",
    "does not lower it",
    "the same way",
    "continues with other",
    "continues differently",
    "is a sign wrong",
    "another result",
    "filled differently",
    "differs between two calls",
    "differs when four threads",
    "steps from the same state differ",
    "differ by nan",
    "has a better value",
    "has nan and the truth",
    "end in a sigmoid",
    "draws other numbers",
    "within 0e+00",
)


def with_nan(base):
    return changed(base, lambda self, forward, *inputs: forward(*inputs) * NAN)


class NanJudge(Judge):
    def forward(self, *inputs):
        return [values * NAN for values in super().forward(*inputs)]


class NanInEval(NanJudge):
    def forward(self, *inputs):
        return Judge.forward(self, *inputs) if self.training else super().forward(*inputs)


class NanWeight(Generator):
    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.layer.bias.fill_(NAN)


class NanSteps(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.data.fill_(NAN)


def nan_step(context, batch):
    for part in context.micro_batches(batch):
        value = context.reconstruction(context.losses[0], context.generate(part), part) * NAN
        context.backward(value, part)
        context.record("g", value.detach(), part)


def nan_schedule(params, optimizer, horizon):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda number: NAN if number else 1.0)


def nan_damage(sample, random):
    return Sample(image=sample.image * NAN, mask=sample.mask, truth=sample.truth)


def facts(build):
    return {"name": "rigged", "summary": "x", "reference": "y", "build": build}


SPECS = {
    "metric": metric(lambda restored, truth, mask: NAN),
    "metric that is undefined for the truth": metric(
        lambda restored, truth, mask: None if np.array_equal(restored, truth) else NAN
    ),
    "generator": generator(with_nan(Generator)),
    "generator with a weight": generator(NanWeight),
    "discriminator": judge(NanJudge),
    "discriminator in eval mode": judge(NanInEval),
    "loss": loss(lambda: lambda restored, truth, mask: mse(restored, truth, mask) * NAN),
    "adversarial loss": game(
        lambda fake, real: fake[0].mean() * NAN, lambda fake, real: (fake[0].mean() * NAN, real[0].mean() * NAN)
    ),
    "penalty": penalty(lambda: lambda context: r1(context) * NAN),
    "optimizer": OptimizerSpec(**facts(lambda params, weights: NanSteps(weights, lr=0.1))),
    "schedule": ScheduleSpec(**facts(nan_schedule)),
    "step": StepSpec(**facts(lambda params: nan_step), uses_discriminator=False),
    "degradation": DegradationSpec(**facts(lambda params: nan_damage)),
    "filler": FillerSpec(**facts(lambda params: lambda image, mask, seed=0: image * NAN)),
    "post-processor": PostprocessorSpec(
        **facts(lambda params: lambda restored, original, mask: restored * NAN), changes_known=True
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_kit_says_nothing_false_of_values_that_are_nan(name):
    checks = check_component(SPECS[name], {}, EMPTY_CATALOG)
    false = [check for check in checks if any(words in check.detail for words in FALSE_WORDS)]
    assert false == []
    assert any(check.status == "failed" for check in checks)
    said = [check for check in checks if "some values are NaN" in check.detail]
    assert said and all(check.status == "failed" for check in said)


def test_infinite_values_are_compared():
    def psnr(restored, truth, mask):
        error = float(np.square(restored.astype(float) - truth).mean())
        return -10 * math.log10(error) if error else math.inf

    checks = {check.name: check for check in check_component(metric(psnr), {}, EMPTY_CATALOG)}
    assert [check.name for check in checks.values() if check.status == "failed"] == []
    assert checks["best at truth"].detail == "inf for the truth itself"


def test_a_random_value_is_still_called_random():
    spec = loss(lambda: lambda restored, truth, mask: mse(restored, truth, mask) * torch.rand(()))
    checks = {check.name: check for check in check_component(spec, {}, EMPTY_CATALOG)}
    assert "another value" in checks["deterministic value"].detail
