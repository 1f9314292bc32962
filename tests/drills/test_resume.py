"""The drill on resuming: a run killed at random moments comes to the very weights of the one that was left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import time

import pytest
import torch
from forking import begin, finish
from safetensors.torch import load_file

from toolbox import images, runfolder, sample

OPTIONS = ["--size", "32", "--epochs", "4", "--batch", "2", "--device", "cpu", "--set", "generator.width=4"]
OPTIONS += ["--set", "discriminator.width=4", "--set", "training.average=0.9", "--set", "data.zoom=2"]
OPTIONS += ["--set", "generator.schedule.every=1", "--set", "training.checkpoint_minutes=0.0005"]
OPTIONS += ["--set", "degradations.flip.horizontal=0.5", "--set", "validation.submit_every=2"]

# Runs, and the kills of each.
LENGTHS = [(1, 3), pytest.param((17, 3), marks=pytest.mark.drill)]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in images.find(sample.folder() / "photos")[:7]:
        images.write_png(folder / f"{path.stem}.png", images.read_rgb(path)[:48, :64])
    return folder


def outcome(folder):
    """Return all that must be the same: weights, optimisers, averages, every step's figures, the best, the zip."""
    saved = max((folder / runfolder.CHECKPOINTS).iterdir())
    tensors = {path.name: load_file(path) for path in saved.glob("*.safetensors")}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    best = load_file(folder / runfolder.BEST)
    return tensors, lines, best


def same(one, other):
    assert one[1] == other[1]
    for a, b in ((one[2], other[2]), *((one[0][name], other[0][name]) for name in one[0])):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_killed_run_comes_to_the_same_weights(tmp_path, photos, workers, length):
    runs, kills = length
    options = [*OPTIONS, "--data", photos, "--set", f"data.workers={workers}"]
    started = time.monotonic()
    assert finish(begin("run", "--out", tmp_path / "whole", *options)) == 0
    duration = time.monotonic() - started
    expected = outcome(tmp_path / "whole")
    chance = random.Random(workers + runs)
    killed = 0
    for number in range(runs):
        out = tmp_path / f"run-{number}"
        for _ in range(kills):
            child = again(out, options)
            # Towards the end of what is left too, and at the very start.
            time.sleep(chance.uniform(0, 0.7 * duration))
            os.kill(child, signal.SIGKILL)
            killed += finish(child) == -signal.SIGKILL
        assert finish(again(out, options)) == 0
        same(outcome(out), expected)
    assert killed >= runs


def again(out, options):
    return begin("run", "--resume", out) if (out / runfolder.FACTS).is_file() else begin("run", "--out", out, *options)
