"""What `test_sharding` runs in one process and in two: `python shards.py FOLDER`, started once a process."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import several
import torch
from torch import nn

from toolbox.distributed import collectives, fsdp
from toolbox.errors import UsageError
from toolbox.models.weight_file import WeightsHeader
from toolbox.training import checkpoint, step
from toolbox.training.checkpoint import Progress

PLAIN = [*several.PLAIN, "discriminator.norm=none"]
# With norms and buffers in it; by SGD, since Adam makes rounding large where a gradient is nothing else.
NORMED = ["generator.name=timm-unet", "generator.backbone=mobilenetv3_small_050", "generator.decoder=[16,8,8,8,4]"]
SGD = ["generator.optimizer.name=sgd", "generator.optimizer.momentum=0.9"]
# By name: settings, pictures a batch, whether it is spread in each stretch, between which it is resumed, steps in each.
CASES = {
    "plain": (PLAIN, 4, [True], 10),
    "an odd batch, recomputed in parts": ([*PLAIN, "training.accumulate=2", "training.recompute=true"], 5, [True], 10),
    "resumed, on and off": (PLAIN, 4, [True, False], 5),
    "resumed, off and on": ([*several.PLAIN, "discriminator.norm=instance"], 4, [False, True], 5),
    "batch norm": ([*PLAIN, *SGD, *NORMED], 4, [True, True], 1),
}


def plan(spread, *settings):
    # Another generator has no use for the settings that make the default one small.
    small = several.SMALL if NORMED[0] not in settings else [one for one in several.SMALL if "generator" not in one]
    return several.plan(*settings, f"training.shard={str(spread).lower()}", small=small)


def trajectory(settings, count, spread, steps, folder):
    """Return the terms of all steps, a row a step; what a checkpoint then holds is left in `folder`."""
    rows, saved = [], folder
    for number, on in enumerate(spread):
        built, accelerator, dtype = several.build(plan(on, *settings))
        assert fsdp.is_sharded(built.generator.network) == (on and collectives.world_size() > 1)
        if number:
            checkpoint.load_checkpoint(saved, built)
        first = number * steps
        given = several.batches(first, first + steps, count, dtype)
        rows += [list(one.terms.values()) for one in step.take_steps(built, given, accelerator, seed=7, first=first)]
        saved = checkpoint.save_checkpoint(folder, built, Progress(step=first + steps))
    checkpoint.save_network(folder / "best.safetensors", built.restorer, WeightsHeader(recipe=""))
    return np.array(rows)


def held():
    """Return which share of all values this process has of the weights, their average and the optimiser's state."""
    built, accelerator, dtype = several.build(plan(True, *PLAIN))
    list(step.take_steps(built, several.batches(0, 1, 4, dtype), accelerator, seed=7, first=0))
    states = [value for one in built.generator.optimizer.state.values() for value in one.values() if value.ndim]
    networks = (built.generator.network, built.average.module)
    kinds = [*([*network.parameters()] for network in networks), states]
    return [sum(one.numel() for one in fsdp.local_shards(kind)) / sum(one.numel() for one in kind) for kind in kinds]


def moved():
    """Return the largest move of a value of this process in a step, in one where a picture of the last is NaN, and in
    one where a loss of the last is infinite and has gradients all the same.
    """
    built, accelerator, dtype = several.build(plan(True, *PLAIN))
    found = []
    for number, batch in enumerate(several.batches(0, 3, 4, dtype)):
        last = collectives.rank() == collectives.world_size() - 1
        if number == 1 and last:
            batch = replace(batch, truth=batch.truth * math.nan)
        if number == 2 and last:
            built = replace(built, losses=[*map(infinite, built.losses)])
        values = [value for side in built.sides().values() for value in fsdp.local_shards(side.network.parameters())]
        before = [value.detach().clone() for value in values]
        step.take_step(built, batch, accelerator, number=number, random=step.seed_step(7, number))
        found.append(max(float((a - b).abs().max()) for a, b in zip(values, before, strict=True) if a.numel()))
    return found


def infinite(loss):
    """Return a loss that is infinite with finite gradients, if it is of reconstruction."""
    return loss if loss.adversarial else replace(loss, call=lambda *given: loss.call(*given) + math.inf)


class Scalar(nn.Module):
    """Has a weight that is no list of anything, and so can't be shared out."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))


def refused():
    """Return what is said of a generator that can't be spread."""
    try:
        fsdp.shard(Scalar(), torch.device("cpu"))
    except (UsageError, SystemExit) as error:
        return type(error).__name__, str(error)
    return "", ""


def main(folder):
    """Run everything, and return the exit code."""
    torch.set_num_threads(1)
    for name, case in CASES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{name} {collectives.rank()}.npz", rows=trajectory(*case, folder / name))
    if collectives.world_size() > 1:
        told = {"held": held(), "moved": moved(), "refused": refused()}
        (folder / f"told {collectives.rank()}.json").write_text(json.dumps(told), "utf-8")
    return 0


if __name__ == "__main__":
    collectives.run_with_peers(lambda: main(Path(sys.argv[1])))
