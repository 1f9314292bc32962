"""A component that ends the program, as `sys.exit` does, fails its checks; `toolbox plugin check` does not end."""

from __future__ import annotations

import sys

import pytest
import torch
from commands import invoke
from pydantic import field_validator

from toolbox import (
    DegradationSpec,
    DetectorSpec,
    DiscriminatorSpec,
    Field,
    FillerSpec,
    GeneratorSpec,
    LossSpec,
    MetricSpec,
    ObserverSpec,
    OptimizerSpec,
    Params,
    PenaltySpec,
    PostprocessorSpec,
    ScheduleSpec,
    SourceSpec,
    StepSpec,
)
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.command_spec import CommandSpec
from toolbox.hooks.kinds import KINDS
from toolbox.testing import check_component

EMPTY_CATALOG = Catalog(components={kind: {} for kind in KINDS}, plugins=())


def leave(*args, **kwargs):
    sys.exit(0)


class Network(torch.nn.Module):
    forward = leave


class Methods:
    __call__ = generator = discriminator = on_start = leave


class Steps(torch.optim.SGD):
    step = leave


class Validated(Params):
    size: int = Field(1, description="A size.")

    @field_validator("size")
    def check(cls, value):
        leave()


class Made(Params):
    size: int = Field(default_factory=leave, description="A size.")


def spec_of(spec_class, component=leave, **facts):
    return spec_class(**{"name": "rigged", "summary": "x", "build": lambda params, *inputs: component} | facts)


SPECS = {
    "generator": spec_of(GeneratorSpec, Network()),
    "discriminator": spec_of(DiscriminatorSpec, Network()),
    "loss": spec_of(LossSpec),
    "adversarial loss": spec_of(LossSpec, Methods(), role="adversarial"),
    "penalty": spec_of(PenaltySpec),
    "degradation": spec_of(DegradationSpec),
    "metric": spec_of(MetricSpec),
    "detector": spec_of(DetectorSpec),
    "filler": spec_of(FillerSpec),
    "postprocessor": spec_of(PostprocessorSpec),
    "observer": spec_of(ObserverSpec, Methods()),
    "step": spec_of(StepSpec, uses_discriminator=False),
    "optimizer": spec_of(OptimizerSpec, build=lambda params, weights: Steps(weights, lr=0.1)),
    "schedule": spec_of(
        ScheduleSpec,
        build=lambda params, optimizer, horizon: torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda number: leave() if number else 1.0
        ),
    ),
    "example of a source": spec_of(SourceSpec, build=leave, example=leave),
    "load of a command": CommandSpec(name="rigged", summary="x", load=leave),
    "build": spec_of(LossSpec, build=leave),
    "check": spec_of(LossSpec, check=leave),
    "warn": spec_of(LossSpec, warn=leave),
    "validator of params": spec_of(LossSpec, params=Validated),
    "default of params": spec_of(LossSpec, params=Made),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_component_that_ends_the_program_fails(name):
    checks = check_component(SPECS[name], {}, EMPTY_CATALOG)
    assert any(check.status == "failed" and "SystemExit: 0" in check.detail for check in checks)


SOURCE = """
import sys
from toolbox import hookimpl, LossSpec, MetricSpec
def leave(*args):
    sys.exit({status!r})
@hookimpl
def toolbox_losses():
    return [LossSpec(name="mine", summary="x", build=lambda params: leave)]
@hookimpl
def toolbox_metrics():
    return [MetricSpec(name="other", summary="x", build=lambda params: leave)]
"""


@pytest.mark.parametrize("status", [0, None, "no licence"])
def test_the_command_names_every_such_component_and_fails(tmp_path, status):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE.format(status=status))
    lines = invoke("plugin", "check", path, code=1).stdout.splitlines()
    for name in ("loss/mine", "metric/other"):
        assert any(line.startswith(name) and "it ends the program (SystemExit" in line for line in lines)
