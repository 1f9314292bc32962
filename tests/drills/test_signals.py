"""The drill on signals: SIGTERM and Ctrl-C in every phase of a run, once and twice; what goes on is the same run."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal

import numpy as np
import pytest
from forking import begin, finish
from run_outcomes import outcome, same
from toolbox_plugins.default.lost_region import damage

from toolbox.data import sample
from toolbox.imaging import io
from toolbox.training import checkpoint, run_dir

OPTIONS = ["--size", "32", "--epochs", "4", "--batch", "2", "--device", "cpu", "--set", "generator.width=4"]
OPTIONS += ["--set", "discriminator.width=4", "--set", "training.average=0.9", "--set", "validation.submit_every=2"]
OPTIONS += ["--set", "generator.schedule.every=1", "--set", "training.checkpoint_minutes=0.00001"]

# Where in a run: a function, and which of its calls.
PHASES = {
    "opening the photographs": ("toolbox.data.folders.open_folder", 1),
    "building the networks": ("toolbox.training.state.build_state", 1),
    "decoding": ("toolbox.data.preprocessing.load", 2),
    "measuring before": ("toolbox.training.validate.baseline_scores", 1),
    "the first step": ("toolbox.training.step.take_step", 1),
    "a step": ("toolbox.training.step.take_step", 5),
    "the last step": ("toolbox.training.step.take_step", 8),
    "the last step, inside an epoch": ("toolbox.training.step.take_step", 7),
    "saving the last step, inside an epoch": ("toolbox.training.checkpoint._write_files", 7),
    "saving": ("toolbox.training.checkpoint._write_files", 2),
    "old checkpoints removed": ("shutil.rmtree", 2),
    "validating": ("toolbox.training.validate.validate", 2),
    "validating at the end": ("toolbox.training.validate.validate", 4),
    "previewing": ("toolbox.training.metric_log.write_preview", 2),
    "keeping the best": ("toolbox.training.checkpoint.save_network", 1),
    "test photographs": ("toolbox.data.loader.load_test_photo", 2),
    "zipping": ("toolbox.utils.files.write_flat_zip", 1),
    "test photographs at the end": ("toolbox.data.loader.load_test_photo", 3),
    "zipping at the end": ("toolbox.utils.files.write_flat_zip", 2),
}
INSIDE = ["--steps", "7"]  # the last epoch has a step more
SHORT = ("saving", "the last step, inside an epoch", "zipping at the end")
ASKED = [pytest.param(name, marks=[] if name in SHORT else pytest.mark.drill) for name in PHASES]
# Asked once by one signal or the other, and twice.
WAYS = {name: ((signal.SIGTERM, signal.SIGINT)[place % 2],) for place, name in enumerate(PHASES)}
TWICE = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Lay out a competition of six pairs and two test inputs, train on it, and return its folder and the runs'."""
    folder = tmp_path_factory.mktemp("signals")
    random = np.random.default_rng(0)
    for name in ("train_input", "train_gt", "test_input"):
        (folder / "competition" / name).mkdir(parents=True)
    for index, path in enumerate(io.find_images(sample.folder() / "photos")[:8]):
        truth = io.read_rgb(path)[:48, :48]
        gray, _ = damage(truth, random)
        side = "train_input" if index < 6 else "test_input"
        io.write_png(folder / "competition" / side / f"{index}.png", gray)
        if index < 6:
            io.write_png(folder / "competition" / "train_gt" / f"{index}.png", truth)
    data = folder / "competition"
    for name, more in (("whole", []), ("inside", INSIDE)):
        assert finish(begin("run", "--out", folder / name, "--data", data, *OPTIONS, *more)) == 0
    return data, folder


def sending(target, call, numbers):
    """Return a function that has the call of a function send signals to its own process before it does its work."""

    def rig():
        place, _, name = target.rpartition(".")
        module = importlib.import_module(place)
        real, calls = getattr(module, name), itertools.count(1)

        def function(*given, **more):
            if next(calls) == call:
                for number in numbers:
                    os.kill(os.getpid(), number)
            return real(*given, **more)

        setattr(module, name, function)

    return rig


def zips(folder):
    return {path.name: path.read_bytes() for path in [*folder.glob("*.zip"), *folder.glob("submissions/*.zip")]}


def recorded(out):
    """Return how many steps the record has, and the step of the newest checkpoint."""
    path = out / run_dir.METRICS
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    newest, passed = checkpoint.newest_checkpoint(out / run_dir.CHECKPOINTS)
    assert not passed
    step = 0 if newest is None else json.loads((newest / "state.json").read_text("utf-8"))["progress"]["step"]
    return sum("validation" not in line for line in lines), step


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("phase", ASKED)
def test_a_signal_in_any_phase_loses_nothing(tmp_path, whole, phase, twice):
    data, runs = whole
    inside = phase.endswith("inside an epoch")
    expected = runs / ("inside" if inside else "whole")
    numbers = TWICE if twice else WAYS[phase]
    target, call = PHASES[phase]
    out = tmp_path / "run"
    options = ["--data", data, *OPTIONS, *(INSIDE if inside else [])]
    code = finish(begin("run", "--out", out, *options, rig=sending(target, call, numbers)))
    if phase == "opening the photographs":
        # Before the run is in charge the first one ends it, or the second where that comes before it was heeded;
        # SIGTERM as it ends any program, which shells call 143.
        assert code in [{signal.SIGTERM: -signal.SIGTERM, signal.SIGINT: 130}[number] for number in numbers]
    else:
        assert code == 128 + numbers[-1]
    steps, saved = recorded(out)
    # Asked once, every step is in a checkpoint; asked twice, all but those since the last one.
    assert saved == steps if len(numbers) == 1 else steps - 1 <= saved <= steps
    started = (out / run_dir.RUN_INFO).is_file()
    assert finish(begin("run", "--resume", out) if started else begin("run", "--out", out, *options)) == 0
    same(outcome(out), outcome(expected))
    assert zips(out) == zips(expected) and len(zips(out)) == 2
    assert not [path for path in out.rglob(".*.tmp")]
