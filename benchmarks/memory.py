"""The peak memory of a training step, each kind in a new process: the published step, ours, ours with checkpointing."""

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

from benchmarks import _measure, _work
from benchmarks._published import pictures, planned, published, published_step
from benchmarks.step import build, our_step
from toolbox.distributed.accelerator import make_accelerator
from toolbox.utils.memory import peak_memory

KINDS = {"published": (), "ours": (), "ours, recomputed": ("training.recompute=true",)}
SMALL = ("generator.width=8", "discriminator.width=8")
STEPS = 2  # the optimisers make their state in the first


def one(kind: str, size: int, batch: int, device: str | None, changes: tuple[str, ...]) -> dict[str, Any]:
    """Take steps of one kind in this process; return its peak in bytes, what of it was there without a step, the time.

    On a CPU the peak is that of the process; `imports` is what it held before there was a weight. On a GPU it is what
    torch had allocated there.
    """
    from skimage.metrics import structural_similarity  # noqa: F401 - so that it counts as an import of both sides

    imports = peak_memory()
    if kind == "published":
        plan = planned("published", size, batch, changes)
        accelerator = make_accelerator(device)
        theirs = published(plan, accelerator)
        plain = pictures(size, batch, accelerator.device, torch.contiguous_format)
        networks, optimizers = (theirs.generator, theirs.discriminator), theirs.optimizers

        def call() -> object:
            return published_step(theirs, plain, torch.Generator())

    else:
        ours, given, accelerator = build(size, batch, device, changes=(*changes, *KINDS[kind]))
        networks = tuple(side.network for side in ours.networks().values())
        optimizers = tuple(side.optimizer for side in ours.networks().values())

        def call() -> object:
            return our_step(ours, given, accelerator)

    place = accelerator.device
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    for _ in range(STEPS):
        started = time.perf_counter()
        call()
        _work.wait(place)
        seconds = time.perf_counter() - started
    held = {
        "imports": 0 if place.type == "cuda" else imports,
        "weights": sum(_bytes(*network.parameters()) for network in networks),
        "optimizers": sum(_state(optimizer) for optimizer in optimizers),
    }
    peak = torch.cuda.max_memory_allocated(place) if place.type == "cuda" else peak_memory()
    return {"peak": peak, **held, "step": peak - sum(held.values()), "seconds": seconds, "device": str(place)}


def _bytes(*tensors: torch.Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _state(optimizer: Optimizer) -> int:
    return sum(_bytes(*(x for x in one.values() if isinstance(x, torch.Tensor))) for one in optimizer.state.values())


def measure(size: int, batch: int, device: str | None, changes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return for each kind what `one` found in a process of its own, and its shares of the published step."""
    found = {}
    for kind in KINDS:
        options = [
            "--only",
            kind,
            "--size",
            str(size),
            "--batch",
            str(batch),
            *(["--device", device] if device else []),
        ]
        options += ["--quick"] if changes else []
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "memory", *options], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise click.ClickException(f"memory --only '{kind}': {(done.stderr.strip() or 'killed').splitlines()[-1]}")
        found[kind] = json.loads(done.stdout.splitlines()[-1])
    theirs = found["published"]
    shares = {
        kind: {what: one[what] / theirs[what] for what in ("peak", "step", "seconds")}
        for kind, one in found.items()
        if kind != "published"
    }
    return {"size": size, "batch": batch, "bytes_and_seconds": found, "share_of_the_published": shares}


@click.command("memory")
@click.option("--size", default=256, show_default=True, help="Side of the pictures in pixels.")
@click.option("--batch", default=4, show_default=True, help="Pictures a step.")
@click.option("--device", help="The device; the best there is if not given.")
@click.option("--only", type=click.Choice(list(KINDS)), help="Take the steps of one kind in this process.")
@_measure.quick
@_measure.json_path
def command(size: int, batch: int, device: str | None, only: str | None, quick: bool, path: Path | None) -> None:
    """Measure the peak memory of a step against the published step's; print JSON, bytes."""
    size, batch, changes = (32, 1, SMALL) if quick else (size, batch, ())
    if only is not None:
        click.echo(json.dumps(one(only, size, batch, device, changes)))
        return
    _measure.report(measure(size, batch, device, changes), path)
