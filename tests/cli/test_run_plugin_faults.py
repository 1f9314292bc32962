"""`toolbox run` with plugins that fail: one line names the component, and a run that took no step leaves no folder."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from commands import invoke

from toolbox.cli import main

CODE = """
import io
import os
import sys
import warnings

import torch
from torch import nn

from toolbox import GeneratorSpec, LossSpec, OptimizerSpec, hookimpl

FAULT = {fault!r}


def value(tensor):
    if FAULT == "stop":
        raise StopIteration(3)
    if FAULT == "raise":
        raise KeyError("no luck")
    if FAULT == "meta":
        return tensor.to("meta")
    if FAULT == "sparse":
        return tensor.reshape(1).to_sparse()
    if FAULT == "stdout":
        sys.stdout = io.StringIO()
    return tensor


def build_loss(params):
    if FAULT == "filters":
        warnings.filterwarnings("ignore")
    return lambda restored, truth, mask: value((restored - truth).square().mean())


class Mine(torch.optim.SGD):
    def step(self, closure=None):
        if FAULT == "optimizer-stop":
            raise StopIteration
        if FAULT == "optimizer-folder":
            os.chdir("/")
        return super().step(closure)


def build_optimizer(params, weights):
    return None if FAULT == "optimizer-none" else Mine(weights, lr=1e-3)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, image, mask):
        result = torch.sigmoid(self.layer(image))
        return result * float("nan") if FAULT == "eval-nan" and not self.training else result


def build_generator(params):
    return (lambda image, mask: image) if FAULT == "function" else Net()


@hookimpl
def toolbox_losses():
    return [LossSpec(name="mine", summary="x", build=build_loss)]


@hookimpl
def toolbox_optimizers():
    return [OptimizerSpec(name="mine", summary="x", build=build_optimizer)]


@hookimpl
def toolbox_generators():
    return [GeneratorSpec(name="mine", summary="x", build=build_generator)]
"""

RECIPE = """
[data]
size = 32
[generator]
name = "mine"
[generator.optimizer]
name = "mine"
[generator.schedule]
name = "constant"
[losses.mine]
[degradations.lost-region]
[training]
batch = 2
"""


def run_with(fault, tmp_path, photos, code):
    """Run two steps with the plugin that has a fault; return the result."""
    (tmp_path / "mine.py").write_text(CODE.format(fault=fault), "utf-8")
    (tmp_path / "mine.toml").write_text(RECIPE, "utf-8")
    invoke("plugin", "add", tmp_path / "mine.py")
    options = ["--recipe", tmp_path / "mine.toml", "--data", photos, "--out", tmp_path / "run", "--steps", 2]
    result = CliRunner().invoke(main, ["run", *map(str, options), "--no-report"])
    assert result.exit_code == code, result.output
    return result


REFUSED = {
    "raise": "Loss 'mine' of the plugin 'mine' raised KeyError: 'no luck'",
    "stop": "Loss 'mine' of the plugin 'mine' raised StopIteration: 3",
    "meta": "returned a meta tensor [], not a scalar tensor",
    "sparse": "returned a sparse tensor [1], not a scalar tensor",
    "optimizer-stop": "Optimizer 'mine' of the plugin 'mine' raised StopIteration",
    "optimizer-none": "Optimizer 'mine' of the plugin 'mine' (",
    "function": "Generator 'mine' of the plugin 'mine' (",
    "eval-nan": "gives values that are not finite in eval mode",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_run_that_is_refused_in_its_first_step_names_the_component_and_leaves_no_folder(fault, tmp_path, photos):
    output = run_with(fault, tmp_path, photos, 1).output
    assert REFUSED[fault] in output and "Traceback" not in output
    assert not (tmp_path / "run").exists()


CHANGES = {
    "stdout": "Loss 'mine' of the plugin 'mine' changed sys.stdout in a call",
    "filters": "Loss 'mine' of the plugin 'mine' changed the warning filters when it was built",
    "optimizer-folder": "Optimizer 'mine' of the plugin 'mine' changed the working folder in a call",
}


@pytest.mark.parametrize("fault", CHANGES)
def test_what_a_component_changes_is_put_back_and_named(fault, tmp_path, photos):
    output = run_with(fault, tmp_path, photos, 0).output
    assert CHANGES[fault] in output and "this run, after step" in output
