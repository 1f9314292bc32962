"""The running average of the generator's weights: its values, its use, and that it is resumed exactly."""

from __future__ import annotations

import torch
from runs import newest_checkpoint, run, steps
from safetensors.torch import load_file
from torch import nn

from toolbox.training.state import running_average

SIZE = ["--size", 32, "--batch", 2]
AVERAGE = ["--set", "training.average=0.9"]


def test_weights_and_buffers_are_averaged_with_a_decay_that_grows_to_its_limit():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).double()
    averaged = running_average(network, 0.3)
    expected = None
    for number in range(6):
        with torch.no_grad():
            for value in [*network.parameters(), *network.buffers()]:
                value.copy_(torch.full_like(value, float(number * number)))
        averaged.update_parameters(network)
        # The first values are copied. Then the decay is (1 + n) / (10 + n) until that exceeds 0.3, after three steps.
        decay = min(0.3, (1 + number) / (10 + number))
        expected = float(number * number) if expected is None else decay * expected + (1 - decay) * number * number
        for name in ("0.weight", "1.running_mean", "1.running_var"):
            actual = averaged.module.state_dict()[name]
            assert torch.allclose(actual, torch.full_like(actual, expected), rtol=1e-12), name


def test_the_average_is_saved_as_the_best_weights(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--epochs", 1, *SIZE, *AVERAGE)
    saved = newest_checkpoint(out)
    best, current = load_file(out / "best.safetensors"), load_file(saved / "generator.safetensors")
    averaged = load_file(saved / "average.safetensors")
    assert all(torch.equal(best[name], averaged[f"module.{name}"]) for name in best)
    assert any(not torch.equal(best[name], current[name]) for name in best)


def test_the_average_changes_no_step(tmp_path, photos):
    for name, options in (("with", AVERAGE), ("without", [])):
        run("--data", photos, "--out", tmp_path / name, "--epochs", 2, *SIZE, *options)
    assert steps(tmp_path / "with") == steps(tmp_path / "without") and len(steps(tmp_path / "with")) == 4


def test_a_resumed_average_is_exact(tmp_path, photos):
    options = ["--data", photos, "--epochs", 3, *SIZE, *AVERAGE]
    run("--out", tmp_path / "uninterrupted", *options)
    run("--out", tmp_path / "resumed", *options, "--set", "training.steps=3")
    recipe = tmp_path / "resumed" / "recipe.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("steps = 3\n", ""), "utf-8")
    run("--resume", tmp_path / "resumed")
    expected, actual = (
        load_file(newest_checkpoint(tmp_path / name) / "average.safetensors") for name in ("uninterrupted", "resumed")
    )
    assert all(torch.equal(actual[key], expected[key]) for key in expected)
