"""`validation.choose_by`: the loss or a metric chooses the best weights, lower or higher; patience follows it. 12 s."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from commands import invoke
from runs import records, run
from training_steps import build

import toolbox
from toolbox.cli import main
from toolbox.config.binding import bind, bind_component
from toolbox.errors import TrainingError, UsageError
from toolbox.evaluation.metrics import Score
from toolbox.hooks import catalog
from toolbox.models.weight_file import read_header
from toolbox.testing import check_component
from toolbox.training.checkpoint import Progress
from toolbox.training.epoch_end import LOWEST_RANK, ranking_figure, save_progress
from toolbox.training.validation_result import ValidationResult

RESULT = ValidationResult(loss=3.0, score=Score(S=0.1, M=0.2, C=0.3, score=0.4), metrics={"psnr": 20.0, "none": None})


@pytest.fixture(scope="module")
def installed():
    return catalog.load(third_party=False)


def plan_with(installed, choose_by, **metrics):
    recipe = toolbox.Recipe.load("default").set("validation.choose_by", choose_by)
    for label, table in metrics.items():
        recipe = recipe.set(f"metrics.{label}", table)
    return bind(recipe, installed)


def test_the_figure_is_higher_for_better_weights(installed):
    assert ranking_figure(plan_with(installed, "score"), RESULT) == 0.4
    assert ranking_figure(plan_with(installed, "loss"), RESULT) == -3.0
    assert ranking_figure(plan_with(installed, "psnr"), RESULT) == 20.0
    without_score = replace(RESULT, score=Score(S=0.1, M=None, C=0.3, score=None))
    assert ranking_figure(plan_with(installed, "score"), without_score) == -3.0
    assert ranking_figure(plan_with(installed, "none", none={"name": "psnr"}), RESULT) == LOWEST_RANK
    for loss in (math.inf, math.nan):  # its pictures are not finite either, whatever their score is
        endless = replace(RESULT, loss=loss)
        for key in ("loss", "score", "psnr"):
            assert ranking_figure(plan_with(installed, key), endless) == LOWEST_RANK


def test_a_run_that_diverges_in_its_last_step_says_so(photos):
    options = ["--data", str(photos), "--size", "32", "--batch", "2", "--steps", "1", "--device", "cpu", "--out", "X"]
    small = ["--set", "generator.width=4", "--set", "generator.levels=2", "--set", "generator.optimizer.lr=1e30"]
    result = CliRunner().invoke(main, ["run", *options, *small])
    assert result.exit_code == 1 and "not finite" in result.stderr.splitlines()[-1], result.output
    assert "smaller learning rate" in result.stderr and "JSON" not in result.output


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    built, _ = build()
    run = SimpleNamespace(state=built, options=SimpleNamespace(folder=tmp_path / "run"))
    with torch.no_grad():
        next(built.generator.network.parameters()).fill_(math.nan)
    with pytest.raises(TrainingError, match="After step 4, .* of the generator is not finite, so .*resume="):
        save_progress(run, Progress(step=5))
    assert not (tmp_path / "run").exists()


def install_metric(monkeypatch, name, measure, better):
    """Add a metric to the catalog that the next commands load."""
    spec = toolbox.MetricSpec(name=name, summary="x", build=lambda params: measure, better=better, reference="a test")
    loaded = catalog.load(third_party=False)
    loaded.components["metric"][name] = catalog.Entry(
        kind="metric", spec=spec, plugin="test", distribution="", version=""
    )
    monkeypatch.setattr(catalog, "load", lambda third_party=True: loaded)


def test_a_lower_metric_chooses_and_patience_follows_it(tmp_path, photos, monkeypatch):
    """The metric grows with each validation; lower is better, so the first weights stay the best."""
    numbers = iter(range(1000))
    install_metric(monkeypatch, "growing", lambda restored, truth, mask: float(next(numbers)), "lower")
    out = tmp_path / "out"
    chosen = ["--set", "metrics.growing.enabled=true", "--set", "validation.choose_by=growing"]
    output = run(
        *("--data", photos, "--out", out, "--size", 32, "--batch", 4, "--epochs", 9),
        *(*chosen, "--set", "validation.patience=2"),
    ).output
    assert "The run ends here, after 2 validations without improvement" in output
    validations = [record for record in records(out) if "validation" in record]
    assert len(validations) == 3
    header = read_header(out / "best.safetensors")
    assert header.step == validations[0]["step"] + 1 and header.ranking == -validations[0]["validation"]["growing"]


def test_a_metric_that_is_never_defined_costs_no_training(tmp_path, photos, monkeypatch):
    install_metric(monkeypatch, "undefined", lambda restored, truth, mask: None, "higher")
    out = tmp_path / "out"
    chosen = ["--set", "metrics.undefined.enabled=true", "--set", "validation.choose_by=undefined"]
    output = run("--data", photos, "--out", out, "--size", 32, "--batch", 4, "--epochs", 1, *chosen).output
    assert "warning: 'undefined' chooses the best weights and is not defined in this validation" in output
    assert read_header(out / "best.safetensors").ranking == LOWEST_RANK
    assert "The run is finished" in run("--resume", out).output


def test_colorfulness_needs_no_truth(installed):
    metric = toolbox.build("metric", "colorfulness")
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    mask = np.zeros((4, 4), bool)
    assert metric(red, red, mask) == pytest.approx(0.3 * math.hypot(255, 127.5))
    assert metric(np.full((4, 4, 3), 90, np.uint8), red, mask) == 0
    halves = red.copy()
    halves[:, 2:] = 0  # the opponents are 255 and 0, and 127.5 and 0, for half of the pixels each
    expected = math.hypot(127.5, 63.75) + 0.3 * math.hypot(127.5, 63.75)
    assert metric(halves, red, mask) == pytest.approx(expected)
    checks = {check.name: check for check in check_component(installed.find("metric", "colorfulness"), None, installed)}
    assert checks["best at truth"].detail == "not checked: the spec has needs_truth = False"
    assert all(check.status == "ok" for check in checks.values())


def test_auxiliary_outputs_may_depend_on_the_params():
    class Params(toolbox.Params):
        parts: int = toolbox.Field(1, ge=0, description="Number of auxiliary outputs.")

    spec = toolbox.GeneratorSpec(
        name="parts",
        summary="A generator",
        params=Params,
        build=print,
        auxiliary=lambda params: tuple(f"part-{number}" for number in range(params.parts)),
    )
    assert spec.auxiliary_of(Params(parts=2)) == ("part-0", "part-1")
    loaded = catalog.load(third_party=False)
    loaded.components["generator"]["parts"] = catalog.Entry(
        kind="generator", spec=spec, plugin="test", distribution="", version=""
    )
    assert bind_component(loaded, "generator", "parts", {"parts": 0}).params.parts == 0
    recipe = (
        toolbox.Recipe.load("default").set("generator", {"name": "parts", "parts": 2}).set("losses.mse.on", "part-1")
    )
    assert bind(recipe, loaded).losses
    with pytest.raises(UsageError, match="'part-1' is not an output of generator 'parts'"):
        bind(recipe.set("generator.parts", 1), loaded)


def test_a_component_with_a_reference_is_checked_from_the_command_line():
    output = invoke("plugin", "check", "loss/hole", "--set", "inner.name=mse").output
    assert "needs params" not in output and "gradient" in output
    assert "--set inner=" in invoke("plugin", "check", "loss/hole").output
    assert "--set needs one component" in invoke("plugin", "check", "--set", "a=1", code=2).stderr
