"""Metrics that fail in a validation: no training is lost, and the run continues without them."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from runs import newest_checkpoint, records, steps
from training_steps import build, make_batch

from toolbox import MetricSpec
from toolbox.cli import main
from toolbox.evaluation.figures import call_metric
from toolbox.hooks.catalog import Entry
from toolbox.models.array_calls import COMPARED_CALLS, MetricCall
from toolbox.training.validate import validate


def metric(function, name="rigged"):
    spec = MetricSpec(name=name, summary="x", build=lambda params: function)
    return MetricCall(
        entry=Entry(kind="metric", spec=spec, plugin="stranger", distribution="", version=""), component=function
    )


def fail(restored, truth, mask):
    raise ZeroDivisionError("float division by zero")


def fail_on_the_second(calls=[]):  # noqa: B006
    def measure(restored, truth, mask):
        calls.append(1)
        return [0.5][len(calls) - 1]

    return measure


FAILURES = {
    "raises": (fail, "raised ZeroDivisionError: float division by zero"),
    "raises on the second photograph": (fail_on_the_second(), "raised IndexError"),
    "is not a number": (lambda a, b, m: math.nan, "returned nan"),
    "is too large": (lambda a, b, m: 10**400, "returned a int too large for a float"),
    "is a fraction that is too large": (lambda a, b, m: Fraction(10**400), "returned a Fraction too large"),
    "returns an array": (lambda a, b, m: a.mean((0, 1)), "returned a float64 array [3]"),
    "writes into the photograph": (lambda a, b, m: a.fill(0), "writes into `restored`"),
}


@pytest.mark.parametrize("what", FAILURES)
def test_a_failing_metric_is_left_out_and_the_others_are_measured(what):
    function, words = FAILURES[what]
    built, accelerator = build()
    measures = {"broken": metric(function), "sound": metric(lambda a, b, m: float(a.shape[0]), "sound")}
    result = validate(built, [make_batch(2)], accelerator, measures)
    assert result.metrics == {"sound": 32.0}
    assert list(result.failures) == ["broken"]
    line = result.failures["broken"]
    assert line.startswith("Metric 'rigged' of the plugin 'stranger'") and words in line and f"{__file__}:" in line
    assert result.score.S is not None


def write_and_return(restored, truth, mask):
    truth[...] = 0
    return 1.0


def write_and_fail(restored, truth, mask):
    restored[...] = 0
    raise ZeroDivisionError


def write_late(calls=[]):  # noqa: B006
    def measure(restored, truth, mask):
        calls.append(1)
        truth[...] = 0 if len(calls) > COMPARED_CALLS else truth
        return 1.0

    return measure


@pytest.mark.parametrize("writing", [write_and_return, write_and_fail, write_late()])
def test_a_metric_that_writes_into_its_inputs_does_not_change_the_figures_after_it(writing):
    """`toolbox score` measured the metrics of other plugins on the truth that it had overwritten."""
    broken, pictures = metric(writing), [np.full((8, 8, 3), 200, np.uint8) for _ in range(2)]
    sound = metric(lambda restored, truth, mask: float(restored.mean() + truth.mean()), "sound")
    for _ in range(COMPARED_CALLS + 2):
        failures = {}
        call_metric("broken", broken, *pictures, np.ones((8, 8), bool), failures)
        assert call_metric("sound", sound, *pictures, np.ones((8, 8), bool), failures) == 400


@pytest.mark.parametrize("allocate", [lambda: np.empty((10**7, 10**7)), lambda: torch.empty(10**14)])
def test_a_metric_that_needs_too_much_memory_is_left_out(allocate):
    """It ended the run, with the advice to make the batch smaller, and again after it was resumed."""
    built, accelerator = build()
    measures = {"hungry": metric(lambda a, b, m: float(allocate()[0])), "sound": metric(lambda a, b, m: 1.0, "sound")}
    result = validate(built, [make_batch(2)], accelerator, measures)
    assert result.metrics == {"sound": 1.0}
    assert result.failures["hungry"].startswith("Memory ran out in Metric 'rigged' of the plugin 'stranger' (")


def test_memory_of_the_device_that_runs_out_in_a_metric_still_ends_the_run():
    def exhaust(*inputs):
        raise torch.OutOfMemoryError("full")

    built, accelerator = build()
    with pytest.raises(torch.OutOfMemoryError):
        validate(built, [make_batch(1)], accelerator, {"hungry": metric(exhaust)})


PLUGIN = """
from toolbox import MetricSpec, hookimpl

def build(params):
    def measure(restored, truth, mask):
        raise {error}("no luck")
    return measure

@hookimpl
def toolbox_metrics():
    return [MetricSpec(name="boom", summary="It fails", build=build)]
"""
TINY = ["generator.width=4", "generator.levels=2", "discriminator.width=4", "training.memory_format=contiguous"]


def test_a_validation_that_ends_the_process_costs_no_step(photos, tmp_path):
    file = tmp_path / "stranger.py"
    file.write_text(PLUGIN.format(error="KeyboardInterrupt"))
    runner = CliRunner()
    assert runner.invoke(main, ["plugin", "add", str(file)]).exit_code == 0
    settings = [part for setting in [*TINY, "metrics.boom.enabled=true"] for part in ("--set", setting)]
    options = ["--size", "32", "--batch", "2", "--epochs", "1", "--device", "cpu"]
    result = runner.invoke(main, ["run", "--data", str(photos), "--out", "run", *options, *settings])
    assert result.output.endswith("toolbox: stopped.\n")
    run = tmp_path / "run"
    taken = [record["step"] for record in steps(run)]
    saved = newest_checkpoint(run)
    progress = json.loads((saved / "state.json").read_text())["progress"]
    assert progress["pending"] and progress["step"] == len(taken) > 0 and progress["epoch"] == 1

    file.write_text(PLUGIN.format(error="ValueError"))
    chosen = ["--set", "validation.choose_by=boom"]
    result = runner.invoke(main, ["run", "--resume", "run", "--device", "cpu", *chosen])
    assert result.exit_code == 1, result.output
    line = result.stderr.splitlines()[-1]
    assert "metrics.boom, which chooses the best weights, failed" in line and "toolbox run --resume " in line
    result = runner.invoke(main, ["run", "--resume", "run", "--device", "cpu", "--set", "validation.choose_by=score"])
    assert result.exit_code == 0, result.output
    line = "metrics.boom is left out from here on; a resumed run tries it again. Metric 'boom' of the plugin 'stranger'"
    assert f"warning: {line}" in result.stdout
    (warning,) = [record for record in records(run) if "warning" in record]
    assert warning["step"] == taken[-1] and warning["epoch"] == 0 and warning["warning"]["cause"] == "metrics.boom"
    assert warning["warning"]["line"].startswith(line)
    assert json.loads((run / "summary.json").read_text())["warnings"] == {"metrics.boom": warning["warning"]["line"]}
    assert [record["step"] for record in steps(run)] == taken
    (validation,) = [record["validation"] for record in records(run) if "validation" in record]
    assert "boom" not in validation and validation["score"] is not None
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{len(taken):08d}"]


def test_a_metric_without_any_value_is_named(photos, tmp_path):
    file = tmp_path / "stranger.py"
    file.write_text(PLUGIN.format(error="ValueError").replace('raise ValueError("no luck")', "return None"))
    runner = CliRunner()
    assert runner.invoke(main, ["plugin", "add", str(file)]).exit_code == 0
    settings = [part for setting in [*TINY, "metrics.boom.enabled=true"] for part in ("--set", setting)]
    options = ["--size", "32", "--batch", "2", "--epochs", "1", "--device", "cpu"]
    result = runner.invoke(main, ["run", "--data", str(photos), "--out", "run", *options, *settings])
    assert result.exit_code == 0, result.output
    assert "warning: metrics.boom: no value for any photograph of this validation." in result.stdout
