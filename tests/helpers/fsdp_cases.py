"""What `test_fsdp` runs in one process and in two, each by `python fsdp_cases.py FOLDER`."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import distributed_cases
import numpy as np
import torch
from labelled_damage import labelled_plan
from torch import nn

from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.distributed import collectives, fsdp
from toolbox.distributed.shards import is_sharded
from toolbox.errors import UsageError
from toolbox.hooks import catalog
from toolbox.models.weight_file import WeightsHeader
from toolbox.training import checkpoint, step
from toolbox.training.checkpoint import Progress

PLAIN = [*distributed_cases.PLAIN, "discriminator.norm=none"]
# A network with norms and buffers; with SGD, since Adam makes a gradient large that is only rounding.
NORMED = ["generator.name=timm-unet", "generator.backbone=mobilenetv3_small_050", "generator.decoder=[16,8,8,8,4]"]
SGD = ["generator.optimizer.name=sgd", "generator.optimizer.momentum=0.9"]
# By name: settings, pictures in a batch, whether the generator is sharded in each part of the run (it is resumed
# between the parts), steps in each part.
CASES = {
    "plain": (PLAIN, 4, [True], 10),
    "an odd batch, recomputed micro-batches": (
        [*PLAIN, "training.accumulate=2", "training.recompute=true"],
        5,
        [True],
        10,
    ),
    "resumed, on and off": (PLAIN, 4, [True, False], 5),
    "resumed, off and on": ([*distributed_cases.PLAIN, "discriminator.norm=instance"], 4, [False, True], 5),
    "batch norm": ([*PLAIN, *SGD, *NORMED], 4, [True, True], 1),
}


def bind_plan(sharded, *settings):
    """Return the plan of a small default recipe in float64 with `settings`."""
    small = distributed_cases.SMALL
    if NORMED[0] in settings:  # the settings that make the default generator small don't fit another one
        small = [setting for setting in small if "generator" not in setting]
    return distributed_cases.bind_plan(*settings, f"training.shard={str(sharded).lower()}", small=small)


def train_and_save(settings, count, sharded, steps, folder):
    """Return the terms of all steps, one row for each; leave a checkpoint and the best weights in `folder`."""
    rows, saved = [], folder
    for number, should_shard in enumerate(sharded):
        built, accelerator, dtype = distributed_cases.build(bind_plan(should_shard, *settings))
        assert is_sharded(built.generator.network) == (should_shard and collectives.world_size() > 1)
        if number:
            checkpoint.load_checkpoint(saved, built)
        first = number * steps
        batches = distributed_cases.batches(first, first + steps, count, dtype)
        records = step.take_steps(built, batches, accelerator, seed=7, first=first)
        rows += [list(record.terms.values()) for record in records]
        saved = checkpoint.save_checkpoint(folder, built, Progress(step=first + steps))
    checkpoint.save_network(folder / "best.safetensors", built.eval_generator, WeightsHeader(recipe=""))
    return np.array(rows)


def other_steps():
    """Return by training step the terms of three steps of a sharded network, a row each, and its weights' norms."""
    shard, small = "training.shard=true", ["generator.width=8", "generator.levels=2", "training.precision=fp64"]
    loaded = catalog.load(third_party=False)
    plans = {
        "segmentation": labelled_plan(shard, "training.precision=fp64", "training.accumulate=2"),
        "flow-matching": bind(read("flow", lambda name: loaded.recipe(name).path, [shard, *small]), loaded),
    }
    results = {}
    for name, plan in plans.items():
        built, accelerator, dtype = distributed_cases.build(plan)
        assert is_sharded(built.generator.network) == (collectives.world_size() > 1)
        batches = distributed_cases.batches(0, 3, 4, dtype)
        if plan.kinds:
            batches = [
                replace(batch, labels=(batch.truth[:, :2] > 0.8).to(dtype), kinds=plan.kinds) for batch in batches
            ]
        records = step.take_steps(built, batches, accelerator, seed=7, first=0)
        rows = [list(record.terms.values()) for record in records]
        weights = fsdp.full_tensors(built.generator.network.state_dict())
        results[name] = rows, [float(weight.double().norm()) for weight in weights.values()]
    return results


def local_fractions():
    """Return the fraction of all values that this process holds: weights, their average, the optimizer's state."""
    built, accelerator, dtype = distributed_cases.build(bind_plan(True, *PLAIN))
    list(step.take_steps(built, distributed_cases.batches(0, 1, 4, dtype), accelerator, seed=7, first=0))
    states = [value for state in built.generator.optimizer.state.values() for value in state.values() if value.ndim]
    networks = (built.generator.network, built.average.module)
    groups = [*([*network.parameters()] for network in networks), states]
    return [
        sum(value.numel() for value in fsdp.local_shards(group)) / sum(value.numel() for value in group)
        for group in groups
    ]


def largest_changes():
    """Return the largest change of a value of this process in three steps.

    In the second step a picture of the last process is NaN. In the third a loss of the last process is infinite, with
    finite gradients.
    """
    built, accelerator, dtype = distributed_cases.build(bind_plan(True, *PLAIN))
    changes = []
    for number, batch in enumerate(distributed_cases.batches(0, 3, 4, dtype)):
        is_last = collectives.rank() == collectives.world_size() - 1
        if number == 1 and is_last:
            batch = replace(batch, truth=batch.truth * math.nan)
        if number == 2 and is_last:
            built = replace(built, losses=[*map(make_infinite, built.losses)])
        networks = [trained.network for trained in built.networks().values()]
        values = [value for network in networks for value in fsdp.local_shards(network.parameters())]
        before = [value.detach().clone() for value in values]
        step.take_step(built, batch, accelerator, number=number, random=step.seed_step(7, number))
        changes.append(max(float((a - b).abs().max()) for a, b in zip(values, before, strict=True) if a.numel()))
    return changes


def make_infinite(loss):
    """Return a reconstruction loss that is infinite with finite gradients, and an adversarial loss unchanged."""
    return loss if loss.adversarial else replace(loss, call=lambda *pictures: loss.call(*pictures) + math.inf)


class Scalar(nn.Module):
    """A network with a weight without dimensions, which can't be sharded."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))


def shard_scalar():
    """Return the error when a network is sharded that can't be."""
    try:
        fsdp.shard(Scalar(), torch.device("cpu"))
    except (UsageError, SystemExit) as error:
        return type(error).__name__, str(error)
    return "", ""


def step_rprop():
    """Return the error of an optimizer that uses an operation that shards don't have."""
    rprop = ["generator.optimizer.name=torch-optimizer", "generator.optimizer.kind=rprop"]
    built, accelerator, dtype = distributed_cases.build(bind_plan(True, *PLAIN, *rprop))
    try:
        list(step.take_steps(built, distributed_cases.batches(0, 1, 4, dtype), accelerator, seed=7, first=0))
    except UsageError as error:
        return str(error)
    return ""


def main(folder):
    """Run everything, write the results below `folder`, and return the exit code."""
    torch.set_num_threads(1)
    for name, case in CASES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{name} {collectives.rank()}.npz", rows=train_and_save(*case, folder / name))
    results = {"steps": other_steps()}
    if collectives.world_size() > 1:
        results |= {"fractions": local_fractions(), "changes": largest_changes(), "refused": shard_scalar()}
        results["rprop"] = step_rprop()
    (folder / f"results {collectives.rank()}.json").write_text(json.dumps(results), "utf-8")
    return 0


if __name__ == "__main__":
    collectives.run_with_peers(lambda: main(Path(sys.argv[1])))
