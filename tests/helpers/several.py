"""What `test_processes` runs in one process and in two: `python several.py PHOTOS FOLDER`, started once a process."""

from __future__ import annotations

import json
import math
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.data import folders, split
from toolbox.data.batch import Batch
from toolbox.distributed import collectives, sync_batchnorm
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import TrainingError
from toolbox.hooks import catalog
from toolbox.training import checkpoint, nonfinite, run_dir, state, step
from toolbox.training.checkpoint import Progress
from toolbox.training.options import RunOptions
from toolbox.training.run import train
from toolbox.utils import devices

SMALL = ["generator.width=4", "generator.levels=3", "discriminator.width=4", "training.average=0.9"]
PLAIN = ["discriminator.name=patchgan", "discriminator.width=4", "discriminator.layers=2"]
# Not the published one: the bias before its norm has a gradient of rounding alone, which Adam makes large.
BATCH_NORM = [*PLAIN, "discriminator.norm=batch"]
NO_PENALTY = "penalties.gradient.enabled=false"
# By name: settings, pictures a batch, whether the run is resumed half-way.
CASES = {
    "norm none": ([*PLAIN, "discriminator.norm=none"], 4, False),
    "norm none, no penalty": ([*PLAIN, "discriminator.norm=none", NO_PENALTY], 4, False),
    "norm instance, resumed": ([*PLAIN, "discriminator.norm=instance"], 4, True),
    "norm spectral, an odd batch": ([*PLAIN, "discriminator.norm=spectral"], 5, False),
    "batch norm": (BATCH_NORM, 4, False),
    "batch norm, no penalty, resumed": ([*BATCH_NORM, NO_PENALTY], 4, True),
    "in parts": ([*PLAIN, "discriminator.norm=none", "training.accumulate=2"], 5, False),
    "fewer pictures than processes": ([*PLAIN, "discriminator.norm=none"], 1, False),
    "float32": ([*PLAIN, "discriminator.norm=none", "training.precision=fp32"], 4, False),
}


def plan(*settings, small=SMALL):
    loaded = catalog.load(third_party=False)
    changes = [*small, "training.precision=fp64", *settings]
    return bind(read("default", lambda name: loaded.recipe(name).path, changes), loaded)


def build(chosen):
    precision = chosen.settings.training.precision
    accelerator = make_accelerator("cpu", precision, several=True)
    return (
        state.build_state(chosen, accelerator, devices.weight_dtype(precision)),
        accelerator,
        devices.weight_dtype(precision),
    )


def batches(first, last, count, dtype):
    """Yield this process's rows of each step's batch of `count` pictures."""
    for number in range(first, last):
        draw = torch.Generator().manual_seed(number)
        pictures = torch.rand((2, count, 3, 32, 32), generator=draw, dtype=torch.float64).to(dtype)
        rows, place = collectives.rank_slice(count)
        image, truth = pictures[:, rows]
        names = tuple(f"photo {index}" for index in range(count))[rows]
        yield Batch(image=image, mask=torch.zeros_like(image[:, :1]), truth=truth, names=names, batch_slice=place)


def trajectory(settings, count, resumed, folder):
    """Return the terms of ten steps, a row a step, and every weight, running average and buffer after them."""
    chosen = plan(*settings)
    built, accelerator, dtype = build(chosen)
    collectives.require_equal_state(built.state())
    rows = []
    for first, last in ((0, 5), (5, 10)) if resumed else ((0, 10),):
        given = batches(first, last, count, dtype)
        rows += [list(one.terms.values()) for one in step.take_steps(built, given, accelerator, seed=7, first=first)]
        collectives.require_equal_state(built.state())
        if resumed:
            saved = checkpoint.save_checkpoint(folder, built, Progress(step=last))
            built, accelerator, _ = build(chosen)
            checkpoint.load_checkpoint(saved, built)
    values = [value for tensors in built.state().values() for value in tensors]
    return np.array(rows), np.concatenate([value.double().numpy().ravel() for value in values])


class Silent:
    def print_line(self, line):
        pass

    def progress_bar(self, title, total, done=0):
        return nullcontext(lambda: None)


def run(photos, folder, **more):
    """Train through the runner, two epochs of which the last batch is short; return what it says."""
    chosen = plan("data.size=32", "training.batch=3", "training.epochs=2", "validation.previews=2")
    source = folders.open_folder(photos)
    sides = split.split_items(source.items, chosen.settings.split, print)
    if collectives.is_main_process():
        run_dir.begin_run_dir(folder, chosen, photos, "cpu")
    options = RunOptions(source=source, split=sides, folder=folder, device="cpu", **more)
    result = asdict(train(chosen, options, Silent()))
    return {name: result[name] for name in ("finished", "steps", "scores", "pixel_loss")}


def stopped():
    """Return after how many of ten steps all end when the last process asks at the third."""
    built, accelerator, dtype = build(plan())
    steps = iter(range(10))

    def pause():
        return next(steps) == 2 and collectives.rank() == collectives.world_size() - 1

    given = batches(0, 10, 4, dtype)
    return len(list(step.take_steps(built, given, accelerator, seed=7, first=0, pause=pause)))


def broken(folder):
    """Return after how many steps all end, and how, when a picture of the last process is not finite in the third."""
    chosen = plan(*PLAIN, "discriminator.norm=none")
    built, accelerator, dtype = build(chosen)
    options = SimpleNamespace(folder=folder)
    run = SimpleNamespace(plan=chosen, state=built, options=options, order=lambda epoch: [[(epoch, 0)]] * 10)

    def given():
        for number, batch in enumerate(batches(0, 10, 4, dtype)):
            last = number == 2 and collectives.rank() == collectives.world_size() - 1
            yield replace(batch, truth=batch.truth * math.nan) if last else batch

    seen = []
    try:
        records = step.take_steps(built, given(), accelerator, seed=chosen.settings.seed, first=0)
        seen.extend(one.step for one in nonfinite.save_nonfinite_steps(records, run, Progress()))
    except (TrainingError, SystemExit) as error:
        return len(seen), type(error).__name__, str(error)
    return len(seen), "", ""


def drifted():
    """Return how a weight that differs in one process ends the run."""
    built, _, _ = build(plan())
    with torch.no_grad():
        next(built.generator.network.parameters())[0, 0, 0, 0] += 1e-12 * collectives.rank()
    try:
        collectives.require_equal_state(built.state())
    except (TrainingError, SystemExit) as error:
        return type(error).__name__, str(error)
    return "", ""


def normed():
    """Return what a BatchNorm with an activation gives, its running variance, and a second derivative."""
    layer = BatchNormAct2d(3, act_layer=nn.Tanh).double().train()
    if collectives.world_size() > 1:
        sync_batchnorm.synchronize_batchnorm(layer)
    draw = torch.Generator().manual_seed(0)
    rows, _ = collectives.rank_slice(5)
    x = torch.randn(5, 3, 4, 4, generator=draw, dtype=torch.float64)[rows].requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad(y.exp().sum(), x, create_graph=True)
    slope.square().sum().backward()
    found = [layer.weight.grad, layer.bias.grad]
    collectives.all_reduce_sum(found)()
    pictures = [np.concatenate(collectives.gather_objects(one.tolist())).ravel() for one in (y, slope, x.grad)]
    return np.concatenate([*pictures, *(one.numpy() for one in [*found, layer.running_mean, layer.running_var])])


def writes(folder):
    """Return a list that takes the name of whatever this process writes below `folder` from here on."""
    found = []

    def hear(event, arguments):
        writing = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        changing = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
        if (writing or changing) and str(arguments[0]).startswith(str(folder)):
            found.append(str(arguments[0]))

    sys.addaudithook(hear)
    return found


def main(photos, folder):
    """Run everything, and return the exit code."""
    torch.set_num_threads(1)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    for name, (settings, count, resumed) in CASES.items():
        rows, weights = trajectory(settings, count, resumed, folder / "checkpoints")
        np.savez(folder / f"{name} {collectives.rank()}.npz", rows=rows, weights=weights)
    np.savez(folder / f"normed {collectives.rank()}.npz", rows=normed())
    written = writes(folder / "run")
    told = {
        "run": run(photos, folder / "run"),
        "written": written,
        "stopped": stopped(),
        "broken": broken(folder),
        "drifted": drifted(),
    }
    (folder / f"told {collectives.rank()}.json").write_text(json.dumps(told), "utf-8")
    return 0


if __name__ == "__main__":
    collectives.run_with_peers(lambda: main(Path(sys.argv[1]), Path(sys.argv[2])))
