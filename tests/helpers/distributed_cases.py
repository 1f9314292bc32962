"""What `test_collectives` runs in one process and in two, each by `python distributed_cases.py PHOTOS FOLDER`."""

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
from labelled_damage import labelled_plan
from timm.layers import BatchNormAct2d
from torch import nn

from toolbox.config.binding import bind
from toolbox.config.recipe import Recipe, read
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
# Not the published discriminator: the gradient of a bias before its norm is only rounding, which Adam makes large.
BATCH_NORM = [*PLAIN, "discriminator.norm=batch"]
# With norms over whole tensors, and with state of another kind than Adam's.
OPTIMIZERS = ["generator.optimizer.name=timm-optimizer", "generator.optimizer.kind=lamb"]
OPTIMIZERS += ["discriminator.optimizer.name=torch-optimizer", "discriminator.optimizer.kind=nadam"]
NO_PENALTY = "penalties.gradient.enabled=false"
# By name: settings, pictures in a batch, whether the run is resumed after half of its steps.
CASES = {
    "norm none": ([*PLAIN, "discriminator.norm=none"], 4, False),
    "norm none, no penalty": ([*PLAIN, "discriminator.norm=none", NO_PENALTY], 4, False),
    "norm instance, resumed": ([*PLAIN, "discriminator.norm=instance"], 4, True),
    "norm spectral, an odd batch": ([*PLAIN, "discriminator.norm=spectral"], 5, False),
    "batch norm": (BATCH_NORM, 4, False),
    "batch norm, no penalty, resumed": ([*BATCH_NORM, NO_PENALTY], 4, True),
    "micro-batches": ([*PLAIN, "discriminator.norm=none", "training.accumulate=2"], 5, False),
    "fewer pictures than processes": ([*PLAIN, "discriminator.norm=none"], 1, False),
    "optimizers of timm and torch, resumed": ([*PLAIN, "discriminator.norm=none", *OPTIMIZERS], 4, True),
    "float32": ([*PLAIN, "discriminator.norm=none", "training.precision=fp32"], 4, False),
}


def bind_plan(*settings, small=SMALL):
    """Return the plan of a small default recipe in float64 with `settings`."""
    loaded = catalog.load(third_party=False)
    changes = [*small, "training.precision=fp64", *settings]
    return bind(read("default", lambda name: loaded.recipe(name).path, changes), loaded)


def build(plan):
    """Return the train state of a plan, its accelerator and its dtype."""
    precision = plan.settings.training.precision
    accelerator, dtype = make_accelerator("cpu", precision, distributed=True), devices.weight_dtype(precision)
    return state.build_state(plan, accelerator, dtype), accelerator, dtype


def batches(first, last, count, dtype):
    """Yield this process's rows of each step's batch of `count` pictures."""
    for number in range(first, last):
        draw = torch.Generator().manual_seed(number)
        pictures = torch.rand((2, count, 3, 32, 32), generator=draw, dtype=torch.float64).to(dtype)
        rows, position = collectives.rank_slice(count)
        image, truth = pictures[:, rows]
        names = tuple(f"photo {index}" for index in range(count))[rows]
        yield Batch(image=image, mask=torch.zeros_like(image[:, :1]), truth=truth, names=names, batch_slice=position)


def train_ten_steps(settings, count, resumed, folder):
    """Return the terms of ten steps, one row for each, and every weight, average and buffer after them."""
    plan = bind_plan(*settings)
    built, accelerator, dtype = build(plan)
    collectives.require_equal_state(built.tensors())
    rows = []
    for first, last in ((0, 5), (5, 10)) if resumed else ((0, 10),):
        given = batches(first, last, count, dtype)
        records = step.take_steps(built, given, accelerator, seed=7, first=first)
        rows += [list(record.terms.values()) for record in records]
        collectives.require_equal_state(built.tensors())
        if resumed:
            saved = checkpoint.save_checkpoint(folder, built, Progress(step=last))
            built, accelerator, _ = build(plan)
            checkpoint.load_checkpoint(saved, built)
    values = [value for tensors in built.tensors().values() for value in tensors]
    return np.array(rows), np.concatenate([value.double().numpy().ravel() for value in values])


class SilentConsole:
    def print_line(self, line):
        pass

    def show_picture(self, path):
        pass

    def progress_bar(self, title, total, done=0):
        return nullcontext(lambda: None)


def segmentation_run(photos, folder):
    """Train a network of segmentation for two epochs; return the result."""
    return full_run(photos, folder, labelled_plan("training.precision=fp64", "training.accumulate=2"))


def full_run(photos, folder, plan=None, **options):
    """Train for two epochs whose last batch is short; return the result."""
    plan = plan or bind_plan("data.size=32", "training.batch=3", "training.epochs=2", "validation.previews=2")
    source = folders.open_folder(photos)
    data_split = split.split_items(source.items, plan.settings.split, print)
    if collectives.is_main_process():
        run_dir.start_run_dir(folder, plan, photos, "cpu", recipe=Recipe(name="test", tree={}), photos={})
    run_options = RunOptions(source=source, split=data_split, folder=folder, device="cpu", **options)
    result = asdict(train(plan, run_options, SilentConsole()))
    return {name: result[name] for name in ("finished", "steps", "scores", "pixel_loss", "best")}


def stop_at_third_step():
    """Return the number of steps taken when the last process asks to stop at the third of ten."""
    built, accelerator, dtype = build(bind_plan())
    numbers = iter(range(10))

    def should_stop():
        return next(numbers) == 2 and collectives.rank() == collectives.world_size() - 1

    given = batches(0, 10, 4, dtype)
    return len(list(step.take_steps(built, given, accelerator, seed=7, first=0, should_stop=should_stop)))


def nonfinite_third_step(folder):
    """Return the number of records, and the error, when the last process has NaN in the third batch."""
    plan = bind_plan(*PLAIN, "discriminator.norm=none")
    built, accelerator, dtype = build(plan)
    run = SimpleNamespace(
        plan=plan,
        state=built,
        accelerator=accelerator,
        options=SimpleNamespace(folder=folder),
        epoch_batches=lambda epoch: [[(epoch, 0)]] * 10,
    )

    def with_nan():
        for number, batch in enumerate(batches(0, 10, 4, dtype)):
            is_bad = number == 2 and collectives.rank() == collectives.world_size() - 1
            yield replace(batch, truth=batch.truth * math.nan) if is_bad else batch

    seen = []
    try:
        records = step.take_steps(built, with_nan(), accelerator, seed=plan.settings.seed, first=0)
        seen.extend(record.step for record in nonfinite.save_nonfinite_steps(records, run, Progress()))
    except (TrainingError, SystemExit) as error:
        return len(seen), type(error).__name__, str(error)
    return len(seen), "", ""


def different_weights():
    """Return the error of a run in which one weight of one process is different."""
    built, _, _ = build(bind_plan())
    with torch.no_grad():
        next(built.generator.network.parameters())[0, 0, 0, 0] += 1e-12 * collectives.rank()
    try:
        collectives.require_equal_state(built.tensors())
    except (TrainingError, SystemExit) as error:
        return type(error).__name__, str(error)
    return "", ""


def batch_norm_values():
    """Return the output of a BatchNorm with an activation, its running statistics, its first and second derivatives."""
    layer = BatchNormAct2d(3, act_layer=nn.Tanh).double().train()
    if collectives.world_size() > 1:
        sync_batchnorm.synchronize_batchnorm(layer)
    draw = torch.Generator().manual_seed(0)
    rows, _ = collectives.rank_slice(5)
    x = torch.randn(5, 3, 4, 4, generator=draw, dtype=torch.float64)[rows].requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad(y.exp().sum(), x, create_graph=True)
    slope.square().sum().backward()
    gradients = [layer.weight.grad, layer.bias.grad]
    collectives.all_reduce_sum(gradients)()
    maps = [np.concatenate(collectives.gather_objects(values.tolist())).ravel() for values in (y, slope, x.grad)]
    statistics = [*gradients, layer.running_mean, layer.running_var]
    return np.concatenate([*maps, *(values.numpy() for values in statistics)])


def record_writes(folder):
    """Return a list to which the path of every later write below `folder` by this process is added."""
    written = []

    def hook(event, arguments):
        is_write = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        is_change = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
        if (is_write or is_change) and str(arguments[0]).startswith(str(folder)):
            written.append(str(arguments[0]))

    sys.addaudithook(hook)
    return written


def main(photos, folder):
    """Run everything, write the results below `folder`, and return the exit code."""
    torch.set_num_threads(1)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    for name, (settings, count, resumed) in CASES.items():
        rows, weights = train_ten_steps(settings, count, resumed, folder / "checkpoints")
        np.savez(folder / f"{name} {collectives.rank()}.npz", rows=rows, weights=weights)
    np.savez(folder / f"batch norm values {collectives.rank()}.npz", rows=batch_norm_values())
    written = record_writes(folder / "run")
    results = {
        "run": full_run(photos, folder / "run"),
        "written": written,
        "segmentation": segmentation_run(photos, folder / "segmentation"),
        "stopped": stop_at_third_step(),
        "not finite": nonfinite_third_step(folder),
        "different weights": different_weights(),
    }
    (folder / f"results {collectives.rank()}.json").write_text(json.dumps(results), "utf-8")
    return 0


if __name__ == "__main__":
    collectives.run_with_peers(lambda: main(Path(sys.argv[1]), Path(sys.argv[2])))
