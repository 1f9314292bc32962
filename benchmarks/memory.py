"""Measure the peak memory of a training step: the published step, ours, and ours with activation checkpointing.

    OMP_NUM_THREADS=1 python -m benchmarks memory --size 256 --batch 4

Each variant runs in a new process. ``bytes_and_seconds`` has, for each variant: the ``peak``; how much of it is
``imports`` (before there is any weight), ``weights`` and ``optimizers``; the rest, ``step``; and the seconds of a
step. ``share_of_the_published`` has the ratios to the published step. On a CPU the peak is that of the process, on a
GPU what torch allocated there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import torch
from torch.optim import Optimizer

from benchmarks.common import arithmetic, timing
from benchmarks.common.published import build_published, plan_recipe, published_step, random_batch
from benchmarks.step import build, our_step
from toolbox.distributed.accelerator import make_accelerator
from toolbox.utils.memory import peak_memory

VARIANTS = {"published": (), "ours": (), "ours, recomputed": ("training.recompute=true",)}
SMALL = ("generator.width=8", "discriminator.width=8")
STEPS = 2  # the optimizers create their state in the first step


def measure_variant(
    variant: str, size: int, batch: int, device: str | None, overrides: tuple[str, ...]
) -> dict[str, Any]:
    """Take steps of one variant in this process, and return its bytes and seconds; see the module docstring."""
    from skimage.metrics import structural_similarity  # noqa: F401 - counts as an import of every variant

    imports = peak_memory()
    if variant == "published":
        plan = plan_recipe("published", size, batch, overrides)
        accelerator = make_accelerator(device)
        theirs = build_published(plan, accelerator)
        plain_batch = random_batch(size, batch, accelerator.device, torch.contiguous_format)
        networks, optimizers = (theirs.generator, theirs.discriminator), theirs.optimizers

        def take_step() -> object:
            return published_step(theirs, plain_batch, torch.Generator())

    else:
        ours, our_batch, accelerator = build(size, batch, device, overrides=(*overrides, *VARIANTS[variant]))
        networks = tuple(side.network for side in ours.networks().values())
        optimizers = tuple(side.optimizer for side in ours.networks().values())

        def take_step() -> object:
            return our_step(ours, our_batch, accelerator)

    torch_device = accelerator.device
    if torch_device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(torch_device)
    for _ in range(STEPS):
        start = time.perf_counter()
        take_step()
        arithmetic.synchronize(torch_device)
        seconds = time.perf_counter() - start
    before_step = {
        "imports": 0 if torch_device.type == "cuda" else imports,
        "weights": sum(_tensor_bytes(*network.parameters()) for network in networks),
        "optimizers": sum(_optimizer_bytes(optimizer) for optimizer in optimizers),
    }
    peak = torch.cuda.max_memory_allocated(torch_device) if torch_device.type == "cuda" else peak_memory()
    return {
        "peak": peak,
        **before_step,
        "step": peak - sum(before_step.values()),
        "seconds": seconds,
        "device": str(torch_device),
    }


def _tensor_bytes(*tensors: torch.Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _optimizer_bytes(optimizer: Optimizer) -> int:
    states = optimizer.state.values()
    return sum(_tensor_bytes(*(x for x in state.values() if isinstance(x, torch.Tensor))) for state in states)


def measure(size: int, batch: int, device: str | None, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Measure each variant in a new process, and return the results and their ratios to the published step."""
    results = {}
    for variant in VARIANTS:
        options = [
            "--only",
            variant,
            "--size",
            str(size),
            "--batch",
            str(batch),
            *(["--device", device] if device else []),
        ]
        options += ["--quick"] if overrides else []
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "memory", *options], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise click.ClickException(
                f"memory --only '{variant}': {(done.stderr.strip() or 'killed').splitlines()[-1]}"
            )
        results[variant] = json.loads(done.stdout.splitlines()[-1])
    published = results["published"]
    shares = {
        variant: {key: result[key] / published[key] for key in ("peak", "step", "seconds")}
        for variant, result in results.items()
        if variant != "published"
    }
    return {"size": size, "batch": batch, "bytes_and_seconds": results, "share_of_the_published": shares}


@click.command("memory")
@click.option("--size", type=click.IntRange(1), default=256, show_default=True, help="Side of the pictures in pixels.")
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Pictures in a step.")
@click.option("--device", help="The device.  [default: the best available]")
@click.option("--only", type=click.Choice(list(VARIANTS)), help="Measure one variant in this process.")
@timing.quick_option
@timing.json_option
def command(size: int, batch: int, device: str | None, only: str | None, quick: bool, path: Path | None) -> None:
    """Measure the peak memory of our step and of the published step; print JSON, in bytes."""
    size, batch, overrides = (32, 1, SMALL) if quick else (size, batch, ())
    if only is not None:
        click.echo(json.dumps(measure_variant(only, size, batch, device, overrides)))
        return
    timing.report(measure(size, batch, device, overrides), path)
