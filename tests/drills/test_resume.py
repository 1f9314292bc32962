"""The drill on resuming: a run killed at random moments comes to the very weights of the one that was left alone.

The moments: any, and in turn ones in each phase of a run, which a byte shared with the child tells.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
from forking import begin, finish
from run_outcomes import outcome, same
from toolbox_plugins.default import unet
from toolbox_plugins.default.lost_region import damage
from torch import nn

from toolbox.data import sample
from toolbox.imaging import io
from toolbox.training import checkpoint, epoch_end, run_dir, step, validate
from toolbox.utils import files

OPTIONS = ["--size", "32", "--epochs", "4", "--batch", "2", "--device", "cpu", "--set", "generator.width=4"]
OPTIONS += ["--set", "discriminator.width=4", "--set", "training.average=0.9", "--set", "data.zoom=2"]
OPTIONS += ["--set", "generator.schedule.every=1", "--set", "training.checkpoint_minutes=0.0005"]
OPTIONS += ["--set", "degradations.flip.horizontal=0.5", "--set", "validation.submit_every=2"]

PHASES = ["start-up", "step", "save", "validate", "restore", "zip"]
# Runs, and the kills of each.
LENGTHS = [(1, 2), pytest.param((25, 3), marks=pytest.mark.drill)]


@pytest.fixture
def pairs(tmp_path):
    """Lay out a competition folder of seven pairs and three photographs to restore."""
    random_ = np.random.default_rng(0)
    folder = tmp_path / "pairs"
    for index, path in enumerate(io.find_images(sample.folder() / "photos")[:10]):
        truth = io.read_rgb(path)[:48, :64]
        role, name = ("train", f"TRAIN_{index}.png") if index < 7 else ("test", f"TEST_{index}.png")
        for part, pixels in ((f"{role}_input", damage(truth, random_)[0]), ("train_gt", truth)):
            if role == "train" or part == "test_input":
                (folder / part).mkdir(parents=True, exist_ok=True)
                io.write_png(folder / part / name, pixels)
    return folder


@pytest.fixture
def phase(monkeypatch):
    """Have a run in a forked child tell its phase by a shared byte, and its generator drop a tenth of its values."""
    shared = mmap.mmap(-1, 1)

    def telling(owner, name, title):
        real = getattr(owner, name)

        def call(*arguments, **named):
            before, shared[0] = shared[0], PHASES.index(title)
            try:
                return real(*arguments, **named)
            finally:
                shared[0] = before

        monkeypatch.setattr(owner, name, call)

    telling(step, "take_step", "step")
    telling(checkpoint, "save_checkpoint", "save")
    telling(validate, "validate", "validate")
    telling(epoch_end, "restore_and_zip", "restore")
    telling(files, "write_flat_zip", "zip")
    plain = unet.double_conv
    monkeypatch.setattr(unet, "double_conv", lambda *widths: nn.Sequential(*plain(*widths), nn.Dropout(0.1)))
    return shared


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_killed_run_comes_to_the_same_weights(tmp_path, pairs, phase, workers, length):
    runs, kills = length
    options = [*OPTIONS, "--data", pairs, "--set", f"data.workers={workers}"]
    started = time.monotonic()
    assert finish(begin("run", "--out", tmp_path / "whole", *options)) == 0
    duration = time.monotonic() - started
    expected = outcome(tmp_path / "whole")
    chance = random.Random(workers + runs)
    hit, middles, number = [], 0, 0
    for run in range(runs):
        out = tmp_path / f"run-{run}"
        for _ in range(kills):
            # Every second one at any moment, towards the end of what is left too, and at the very start.
            wanted = None if number % 2 else (5 - number // 2) % 6
            hit.append(killed(out, options, phase, wanted, chance, duration))
            number += 1
            newest, _ = checkpoint.newest_checkpoint(out / run_dir.CHECKPOINTS)
            middles += newest is not None and json.loads((newest / "state.json").read_text())["progress"]["batch"] > 0
        assert finish(again(out, options)) == 0
        same(outcome(out), expected)
    if runs > 1:
        assert set(hit) == set(PHASES), hit
        assert middles > 0, "no run went on in the middle of an epoch"


def killed(out, options, phase, wanted, chance, duration):
    """Kill the run that begins or goes on in `out` and return in which phase; one that was through is taken back."""
    before = out.with_name("before")
    if out.is_dir():
        shutil.copytree(out, before)
    for attempt in range(24):
        phase[0] = 0
        child = again(out, options)
        # In what is left of a run some phases do not come any more, and it takes less time.
        wait(child, phase, wanted if attempt < 4 else None, chance, duration * 0.9**attempt)
        os.kill(child, signal.SIGKILL)
        if finish(child) == -signal.SIGKILL:
            shutil.rmtree(before, ignore_errors=True)
            return PHASES[phase[0]]
        shutil.rmtree(out)
        if before.is_dir():
            shutil.copytree(before, out)
    raise AssertionError("no kill of 24 hit")


def again(out, options):
    return begin("run", "--resume", out) if (out / run_dir.RUN_INFO).is_file() else begin("run", "--out", out, *options)


def wait(child, phase, wanted, chance, duration):
    """Wait for a moment to kill: in the phase `wanted`, if the child comes to it, or any."""
    if wanted is None:
        time.sleep(chance.uniform(0, 0.7 * duration))
        return
    # The phases of the end come late, and some of them more than once.
    after = time.monotonic() + (chance.uniform(0, 0.5 * duration) if PHASES[wanted] != "start-up" else 0)
    ended = None
    while ended is None and (phase[0] != wanted or time.monotonic() < after):
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        time.sleep(0.0002)
    if PHASES[wanted] in ("start-up", "step", "validate"):
        time.sleep(chance.uniform(0, 0.01))
