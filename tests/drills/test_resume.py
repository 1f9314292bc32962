"""Drill: a run that is killed at random moments and resumed has the same weights as an uninterrupted one.

Half of the kills are at any moment; the others are in each phase of a run in turn, which the child tells by a shared
byte.
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
from forking import start_command, wait
from run_outcomes import outcome, require_same
from toolbox_plugins.default import unet
from toolbox_plugins.default.lost_region import damage
from torch import nn

from toolbox.data import sample
from toolbox.imaging import io
from toolbox.reports import run_records
from toolbox.training import checkpoint, run_dir, step, submit, validate
from toolbox.utils import files

OPTIONS = ["--size", "32", "--epochs", "4", "--batch", "2", "--device", "cpu", "--set", "generator.width=4"]
OPTIONS += ["--set", "discriminator.width=4", "--set", "training.average=0.9", "--set", "data.zoom=2"]
OPTIONS += ["--set", "generator.schedule.every=1", "--set", "training.checkpoint_minutes=0.0005"]
OPTIONS += ["--set", "degradations.flip.horizontal=0.5", "--set", "validation.submit_every=2"]

# A training step that is not the core's, with random numbers of its own.
FLOW = ["--recipe", "flow", "--set", "generator.width=8", "--set", "generator.levels=2", "--size", "32"]
FLOW += ["--epochs", "4", "--batch", "2", "--device", "cpu", "--set", "training.checkpoint_minutes=0.0001"]
FLOW += ["--set", "data.repeat=12"]  # long epochs, so that runs are resumed inside of one
FLOW += ["--set", "validation.submit_every=2", "--set", "training.accumulate=2"]

PHASES = ["start-up", "step", "save", "validate", "restore", "zip"]
# The number of runs, and of kills in each.
LENGTHS = [(1, 2), pytest.param((25, 3), marks=pytest.mark.drill)]
MAX_ATTEMPTS = 24


@pytest.fixture
def pairs(tmp_path):
    """Make a competition folder of seven pairs and three photographs to restore."""
    random_numbers = np.random.default_rng(0)
    folder = tmp_path / "pairs"
    for index, path in enumerate(io.find_images(sample.folder() / "photos")[:10]):
        truth = io.read_rgb(path)[:48, :64]
        role, name = ("train", f"TRAIN_{index}.png") if index < 7 else ("test", f"TEST_{index}.png")
        for part, pixels in ((f"{role}_input", damage(truth, random_numbers)[0]), ("train_gt", truth)):
            if role == "train" or part == "test_input":
                (folder / part).mkdir(parents=True, exist_ok=True)
                io.write_png(folder / part / name, pixels)
    return folder


@pytest.fixture
def phase(monkeypatch):
    """Make a run in a forked child tell its phase in a shared byte, and add dropout to its generator."""
    shared = mmap.mmap(-1, 1)

    def report(owner, name, title):
        original = getattr(owner, name)

        def call(*args, **kwargs):
            before, shared[0] = shared[0], PHASES.index(title)
            try:
                return original(*args, **kwargs)
            finally:
                shared[0] = before

        monkeypatch.setattr(owner, name, call)

    report(step, "take_step", "step")
    report(checkpoint, "save_checkpoint", "save")
    report(validate, "validate", "validate")
    report(submit, "restore_and_zip", "restore")
    report(files, "write_flat_zip", "zip")
    plain = unet.double_conv
    monkeypatch.setattr(unet, "double_conv", lambda *widths: nn.Sequential(*plain(*widths), nn.Dropout(0.1)))
    return shared


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_killed_run_is_resumed_to_the_same_weights(tmp_path, pairs, phase, workers, length):
    options = [*OPTIONS, "--data", pairs, "--set", f"data.workers={workers}"]
    kill_and_resume(tmp_path, options, phase, length, seed=workers + length[0])


@pytest.mark.drill
@pytest.mark.parametrize("length", [(4, 3)])
def test_a_killed_run_of_a_step_of_a_plugin_is_resumed_to_the_same_weights(tmp_path, pairs, phase, length):
    options = [*FLOW, "--data", pairs]
    kill_and_resume(tmp_path, options, phase, length, seed=1)


def kill_and_resume(tmp_path, options, phase, length, seed):
    """Kill runs with these options at several moments, resume them, and compare them with one that was not killed."""
    runs, kills = length
    started = time.monotonic()
    assert wait(start_command("run", "--out", tmp_path / "uninterrupted", *options)) == 0
    duration = time.monotonic() - started
    expected = outcome(tmp_path / "uninterrupted")
    chance = random.Random(seed)
    killed_phases, resumed_inside_epoch, number = [], 0, 0
    for run in range(runs):
        out = tmp_path / f"run-{run}"
        for _ in range(kills):
            # Every second kill is at any moment; the others are in the phases from the last to the first.
            wanted = None if number % 2 else (5 - number // 2) % 6
            killed_phases.append(kill_run(out, options, phase, wanted, chance, duration))
            number += 1
            newest, _ = checkpoint.newest_checkpoint(out / run_dir.CHECKPOINTS)
            if newest is not None:
                progress = json.loads((newest / checkpoint.STATE).read_text("utf-8"))["progress"]
                resumed_inside_epoch += progress["batch"] > 0
        assert wait(start_or_resume(out, options)) == 0
        require_same(outcome(out), expected)
    if runs > 1:
        assert set(killed_phases) == set(PHASES), killed_phases
        assert resumed_inside_epoch > 0, "no run was resumed inside an epoch"


def kill_run(out, options, phase, wanted, chance, duration):
    """Start or resume the run in `out`, kill it and return its phase; a run that ended before is repeated."""
    before = out.with_name("before")
    if out.is_dir():
        shutil.copytree(out, before)
    for attempt in range(MAX_ATTEMPTS):
        phase[0] = 0
        child = start_or_resume(out, options)
        # The rest of a run may not have the phase, and takes less time.
        wait_for_moment(child, phase, wanted if attempt < 4 else None, chance, duration * 0.9**attempt)
        os.kill(child, signal.SIGKILL)
        if wait(child) == -signal.SIGKILL:
            shutil.rmtree(before, ignore_errors=True)
            return PHASES[phase[0]]
        shutil.rmtree(out)
        if before.is_dir():
            shutil.copytree(before, out)
    raise AssertionError(f"the run ended before each of {MAX_ATTEMPTS} kills")


def start_or_resume(out, options):
    if (out / run_records.RUN_INFO).is_file():
        return start_command("run", "--resume", out)
    return start_command("run", "--out", out, *options)


def wait_for_moment(child, phase, wanted, chance, duration):
    """Wait for the moment of the kill: in the phase `wanted`, if the child reaches it, or at any moment."""
    if wanted is None:
        time.sleep(chance.uniform(0, 0.7 * duration))
        return
    # The last phases come late, and some phases come more than once.
    earliest = time.monotonic() + (chance.uniform(0, 0.5 * duration) if PHASES[wanted] != "start-up" else 0)
    ended = None
    while ended is None and (phase[0] != wanted or time.monotonic() < earliest):
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        time.sleep(0.0002)
    if PHASES[wanted] in ("start-up", "step", "validate"):
        time.sleep(chance.uniform(0, 0.01))
