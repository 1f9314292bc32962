"""The drill on the watch: rigged runs are called out within 200 steps, sound ones are left alone. 15 s the short form.

Rigged: the discriminator learns 50 times as fast as the recipe has it, and the generator not at all. The thresholds
were fixed on other seeds (`python -m benchmarks balance`).
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from toolbox.cli import main

SMALL = ["--size", "32", "--batch", "4", "--epochs", "200", "--device", "cpu"]
SMALL += ["--set", "data.repeat=9", "--set", "discriminator.width=8", "--set", "validation.every=3"]
NARROW = ["--set", "generator.width=8"]
RIG = ["discriminator.optimizer.lr=5e-3", "generator.optimizer.lr=1e-12", "generator.optimizer.weight_decay=0"]
# A rate at which these small networks learn within so few steps.
SOUND = ["discriminator.optimizer.lr=5e-4", "generator.optimizer.lr=5e-4"]
PATCHES = ["--recipe", "hinge-r1", "--set", "discriminator.layers=2"]
DRILL = [(seed, NARROW) for seed in range(22, 27)]
DRILL += [(seed, form) for seed in (22, 23) for form in (["--recipe", "timm-unet"], [*PATCHES, *NARROW])]
# Seed, what it is besides, and the steps.
CASES = [(21, NARROW, 140), *(pytest.param((*case, 200), marks=pytest.mark.drill) for case in DRILL)]


def trained(out, case, settings):
    """Train, and return the warnings on the screen, in the log and in the summary."""
    seed, form, steps = case
    chosen = [word for setting in settings for word in ("--set", setting)]
    words = ["run", *form, *SMALL, *chosen, "--out", out, "--seed", seed, "--steps", steps]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return warnings(out, result.output)


def warnings(out, output):
    shown = [line for line in output.splitlines() if line.startswith("warning: ")]
    log = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    summary = json.loads((out / "summary.json").read_text("utf-8")).get("warnings", {})
    return shown, [record for record in log if "warning" in record], summary


@pytest.mark.parametrize("case", CASES)
def test_a_rigged_run_is_called_out_within_200_steps_and_once(tmp_path, case):
    out = tmp_path / "out"
    (shown,), (record,), summary = trained(out, case, RIG)
    assert record["warning"]["cause"] == "discriminator-won" and record["step"] < 200
    assert shown == f"warning: {record['warning']['line']}" and "What helps: " in shown
    assert summary == {"discriminator-won": record["warning"]["line"]}
    # A run that goes on knows what was said.
    result = CliRunner().invoke(main, ["run", "--resume", str(out), "--steps", str(case[2] + 5)])
    assert result.exit_code == 0, result.output
    assert json.loads((out / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"] >= case[2]
    assert warnings(out, result.output) == ([], [record], summary)


@pytest.mark.parametrize("case", CASES)
def test_a_sound_run_is_left_alone(tmp_path, case):
    assert trained(tmp_path / "out", case, SOUND) == ([], [], {})
