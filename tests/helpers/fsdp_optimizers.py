"""What the drill of optimizers runs in one process and in two: `python fsdp_optimizers.py FOLDER [NAME/KIND …]`."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import distributed_cases
import torch

from toolbox.distributed import collectives, fsdp
from toolbox.distributed.shards import is_sharded
from toolbox.training import step

SMALL = ["generator.width=4", "generator.levels=2", "training.shard=true", "step.name=supervised"]
ALONE = ["losses.lsgan.enabled=false", "penalties.gradient.enabled=false", "discriminator.enabled=false"]
STEPS = 3


def train(name, kind):
    """Return the sum of the losses of each step with this optimizer, and the norms of the weights after them."""
    settings = [*ALONE, f"generator.optimizer.name={name}", f"generator.optimizer.kind={kind}"]
    built, accelerator, dtype = distributed_cases.build(distributed_cases.bind_plan(*settings, small=SMALL))
    assert is_sharded(built.generator.network) == (collectives.world_size() > 1)
    batches = distributed_cases.batches(0, STEPS, 4, dtype)
    records = list(step.take_steps(built, batches, accelerator, seed=7, first=0))
    weights = fsdp.full_tensors(built.generator.network.state_dict())
    norms = [float(weight.norm()) for weight in weights.values()] if collectives.is_main_process() else []
    return [record.terms["g"] for record in records] + norms


def main(folder, cases):
    """Train with each optimizer; write the values, or the error of one that can't be used, into `folder`."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    results = {}
    for case in cases:
        try:
            results[case] = train(*case.split("/"))
        except Exception as error:
            results[case] = f"{type(error).__name__}: {error}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{collectives.rank()}.json").write_text(json.dumps(results), "utf-8")
    return 0


if __name__ == "__main__":
    collectives.run_with_peers(lambda: main(Path(sys.argv[1]), sys.argv[2:]))
