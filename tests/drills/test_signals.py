"""Drill: SIGTERM and Ctrl-C in every phase of a run, once and twice; the resumed run is the same."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal

import numpy as np
import pytest
from forking import start_command, wait
from run_outcomes import outcome, require_same
from toolbox_plugins.default.lost_region import damage

from toolbox.data import sample
from toolbox.imaging import io
from toolbox.reports import run_records
from toolbox.training import checkpoint, run_dir

OPTIONS = ["--size", "32", "--epochs", "4", "--batch", "2", "--device", "cpu", "--set", "generator.width=4"]
OPTIONS += ["--set", "discriminator.width=4", "--set", "training.average=0.9", "--set", "validation.submit_every=2"]
OPTIONS += ["--set", "generator.schedule.every=1", "--set", "training.checkpoint_minutes=0.00001"]
# The runs that are compared have different caches, so a measured layout might differ.
OPTIONS += ["--set", "training.memory_format=channels-last"]

# The function that is running when the signal comes, and which call of it.
PHASES = {
    "opening the photographs": ("toolbox.data.folders.open_folder", 1),
    "building the networks": ("toolbox.training.state.build_state", 1),
    "decoding": ("toolbox.data.preprocessing.load_arrays", 2),
    "scoring the baselines": ("toolbox.training.validate.baseline_scores", 1),
    "the first step": ("toolbox.training.step.take_step", 1),
    "a step": ("toolbox.training.step.take_step", 5),
    "the last step": ("toolbox.training.step.take_step", 8),
    "the last step, inside an epoch": ("toolbox.training.step.take_step", 7),
    "saving the last step, inside an epoch": ("toolbox.training.checkpoint.write_checkpoint_files", 7),
    "saving": ("toolbox.training.checkpoint.write_checkpoint_files", 2),
    "deleting old checkpoints": ("shutil.rmtree", 2),
    "validating": ("toolbox.training.validate.validate", 2),
    "validating at the end": ("toolbox.training.validate.validate", 4),
    "writing a preview": ("toolbox.training.metric_log.write_preview", 2),
    "saving the best weights": ("toolbox.training.checkpoint.save_network", 1),
    "test photographs": ("toolbox.data.loader.load_test_photo", 2),
    "zipping": ("toolbox.utils.files.write_flat_zip", 1),
    "test photographs at the end": ("toolbox.data.loader.load_test_photo", 3),
    "zipping at the end": ("toolbox.utils.files.write_flat_zip", 2),
}
SEVEN_STEPS = ["--steps", "7"]  # the last epoch has 8
SHORT_FORM = ("saving", "the last step, inside an epoch", "zipping at the end")
PHASE_PARAMS = [pytest.param(name, marks=[] if name in SHORT_FORM else pytest.mark.drill) for name in PHASES]
# One signal, of either kind in turn; and two signals.
ONCE = {name: ((signal.SIGTERM, signal.SIGINT)[index % 2],) for index, name in enumerate(PHASES)}
TWICE = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Train on a competition folder of six pairs and two test inputs; return that folder, and the folder of runs."""
    folder = tmp_path_factory.mktemp("signals")
    random = np.random.default_rng(0)
    data = folder / "competition"
    for name in ("train_input", "train_gt", "test_input"):
        (data / name).mkdir(parents=True)
    for index, path in enumerate(io.find_images(sample.folder() / "photos")[:8]):
        truth = io.read_rgb(path)[:48, :48]
        gray, _ = damage(truth, random)
        io.write_png(data / ("train_input" if index < 6 else "test_input") / f"{index}.png", gray)
        if index < 6:
            io.write_png(data / "train_gt" / f"{index}.png", truth)
    for name, options in (("all steps", []), ("seven steps", SEVEN_STEPS)):
        assert wait(start_command("run", "--out", folder / name, "--data", data, *OPTIONS, *options)) == 0
    return data, folder


def signal_in_call(target, call, signals):
    """Return a function that makes one call of `target` send signals to its own process before it does its work."""

    def prepare():
        module_name, _, name = target.rpartition(".")
        module = importlib.import_module(module_name)
        original, calls = getattr(module, name), itertools.count(1)

        def function(*args, **kwargs):
            if next(calls) == call:
                for number in signals:
                    os.kill(os.getpid(), number)
            return original(*args, **kwargs)

        setattr(module, name, function)

    return prepare


def zips(folder):
    return {path.name: path.read_bytes() for path in [*folder.glob("*.zip"), *folder.glob("submissions/*.zip")]}


def recorded_and_saved_steps(out):
    """Return the number of step records, and the step of the newest checkpoint."""
    path = out / run_dir.METRICS
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    newest, warnings = checkpoint.newest_checkpoint(out / run_dir.CHECKPOINTS)
    assert not warnings
    step = 0 if newest is None else json.loads((newest / checkpoint.STATE).read_text("utf-8"))["progress"]["step"]
    return sum(not {"validation", "epoch_end"} & line.keys() for line in lines), step


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("phase", PHASE_PARAMS)
def test_a_signal_in_any_phase_loses_nothing(tmp_path, uninterrupted, phase, twice):
    data, runs = uninterrupted
    has_seven_steps = phase.endswith("inside an epoch")
    expected = runs / ("seven steps" if has_seven_steps else "all steps")
    signals = TWICE if twice else ONCE[phase]
    target, call = PHASES[phase]
    out = tmp_path / "run"
    options = ["--data", data, *OPTIONS, *(SEVEN_STEPS if has_seven_steps else [])]
    code = wait(start_command("run", "--out", out, *options, prepare=signal_in_call(target, call, signals)))
    if phase == "opening the photographs":
        # The run does not handle signals yet. The first one ends it, or the second if that comes before the first has
        # been processed.
        assert code in [128 + number for number in signals]
    else:
        assert code == 128 + signals[-1]
    steps, saved = recorded_and_saved_steps(out)
    # After one signal every step is in a checkpoint; after two all but those since the last checkpoint.
    assert saved == steps if len(signals) == 1 else steps - 1 <= saved <= steps
    resume = ["--resume", out] if (out / run_records.RUN_INFO).is_file() else ["--out", out, *options]
    assert wait(start_command("run", *resume)) == 0
    require_same(outcome(out), outcome(expected))
    assert zips(out) == zips(expected) and len(zips(out)) == 2
    assert not [path for path in out.rglob(".*.tmp")]
