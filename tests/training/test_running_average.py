"""The running average of the generator's weights: what it is, what it is used for, and that it goes on exactly."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn

from toolbox.cli import main
from toolbox.data import sample
from toolbox.imaging import io
from toolbox.training.state import running_average

TINY = ["--set", "generator.width=4", "--set", "discriminator.width=4", "--device", "cpu", "--size", "32"]


def run(*arguments):
    result = CliRunner().invoke(main, ["run", *TINY, *map(str, arguments)])
    assert result.exit_code == 0, result.output


@pytest.fixture
def photos(tmp_path):
    """Lay out a folder of six small colour photographs."""
    (tmp_path / "photos").mkdir()
    for path in io.find_images(sample.folder() / "photos")[:6]:
        io.write_png(tmp_path / "photos" / f"{path.stem}.png", io.read_rgb(path)[:48, :64])
    return tmp_path / "photos"


def test_weights_and_buffers_follow_by_a_decay_that_grows_to_the_one_asked_for():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).double()
    averaged = running_average(network, 0.3)
    wanted = None
    for number in range(6):
        with torch.no_grad():
            for value in [*network.parameters(), *network.buffers()]:
                value.copy_(torch.full_like(value, float(number * number)))
        averaged.update_parameters(network)
        # The first is taken as it is; then (1 + n) / (10 + n) until that exceeds 0.3, after three.
        decay = min(0.3, (1 + number) / (10 + number))
        wanted = float(number * number) if wanted is None else decay * wanted + (1 - decay) * number * number
        for name in ("0.weight", "1.running_mean", "1.running_var"):
            found = averaged.module.state_dict()[name]
            assert torch.allclose(found, torch.full_like(found, wanted), rtol=1e-12), name


def test_the_average_does_not_train():
    assert not any(value.requires_grad for value in running_average(nn.Conv2d(1, 1, 1), 0.9).parameters())


def test_what_is_handed_out_is_the_average(tmp_path, photos):
    out = tmp_path / "out"
    run("--data", photos, "--out", out, "--epochs", 1, "--batch", 2, "--set", "training.average=0.9")
    saved = max((out / "checkpoints").iterdir())
    best, moving = load_file(out / "best.safetensors"), load_file(saved / "generator.safetensors")
    averaged = load_file(saved / "average.safetensors")
    assert all(torch.equal(best[name], averaged[f"module.{name}"]) for name in best)
    assert any(not torch.equal(best[name], moving[name]) for name in best)


def test_it_changes_no_step(tmp_path, photos):
    for name, setting in (("with", "0.9"), ("without", "")):
        extra = ["--set", f"training.average={setting}"] if setting else []
        run("--data", photos, "--out", tmp_path / name, "--epochs", 2, "--batch", 2, *extra)
    lines = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text("utf-8").splitlines()]
        for name in ("with", "without")
    ]
    steps = [[one for one in some if "validation" not in one] for some in lines]
    assert steps[0] == steps[1] and len(steps[0]) == 4


def test_it_goes_on_exactly(tmp_path, photos):
    options = ["--data", photos, "--epochs", 3, "--batch", 2, "--set", "training.average=0.9"]
    run("--out", tmp_path / "whole", *options)
    run("--out", tmp_path / "parts", *options, "--set", "training.steps=3")
    recipe = tmp_path / "parts" / "recipe.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("steps = 3\n", ""), "utf-8")
    run("--resume", tmp_path / "parts")
    one, other = (
        load_file(tmp_path / name / "checkpoints" / "step-00000006" / "average.safetensors")
        for name in ("whole", "parts")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
