"""Every row that needs a GPU, by one command: the step, its arithmetic, two-stage, SSIM, memory, waiting for data.

Each row is written as soon as it is there, so that one that fails takes no other with it.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch.nn.functional import mse_loss

from benchmarks import _measure, _work, memory, ssim, step, two_stage
from benchmarks._published import pictures, planned, published, published_step
from benchmarks.loader import PHOTOS, cache_in, make_pairs
from benchmarks.overhead import waiting
from toolbox.data import loader, sample
from toolbox.distributed.accelerator import make_accelerator
from toolbox.training import run, state
from toolbox.training.step import take_steps

PATH = Path(__file__).resolve().parents[1] / "docs" / "performance" / "gpu.json"
SMALL = ("generator.width=8", "discriminator.width=8")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how large: `changes` go to every recipe, `quick` is one small round of each."""

    device: str
    size: int
    batch: int
    rounds: int
    changes: tuple[str, ...]
    quick: bool

    @property
    def torch_device(self) -> torch.device:
        """The device as torch has it."""
        return torch.device(self.device)


VARIANTS = {
    "bf16": ("training.precision=bf16",),
    "fp32": (),
    "bf16, recomputed": ("training.precision=bf16", "training.recompute=true"),
}


def step_row(one: Setting) -> dict[str, Any]:
    """Time the step of `default` in its settings against the published step in float32, in turn."""
    accelerator = make_accelerator(one.device)
    theirs = published(planned("published", one.size, one.batch, one.changes), accelerator)
    plain = pictures(one.size, one.batch, accelerator.device, torch.contiguous_format)
    sides: dict[str, Callable[[], object]] = {
        "published": step.counting(lambda number: published_step(theirs, plain, torch.Generator().manual_seed(number)))
    }
    for name, changes in VARIANTS.items():
        sides[name] = _step_of(one, changes)
    return _measure.summary(_measure.in_turn(sides, one.rounds, warm_up=1 if one.quick else 3), "bf16")


def _step_of(one: Setting, changes: tuple[str, ...], number: int | None = None) -> Callable[[], object]:
    built, given, accelerator = step.build(one.size, one.batch, one.device, "default", (*one.changes, *changes))

    def take(count: int) -> None:
        step.our_step(built, given, accelerator, count if number is None else number)
        _work.wait(accelerator.device)

    return step.counting(take)


def compiled_row(one: Setting) -> dict[str, Any]:
    """Time the step of `default` in bf16 with its generator compiled against the same without, in turn."""
    # A compiler is no part of what the tests need.
    compiled = () if one.quick else ("training.compile=true",)
    sides = {name: _step_of(one, (*VARIANTS["bf16"], *more)) for name, more in (("ours", compiled), ("plain", ()))}
    return _measure.summary(_measure.in_turn(sides, one.rounds, warm_up=1 if one.quick else 3))


def arithmetic_row(one: Setting) -> dict[str, Any]:
    """Count a step's operations, and set its rate beside that of bare matrix products; what the penalty costs."""
    bf16 = VARIANTS["bf16"]
    side = 64 if one.quick else 8192
    rates = {
        "bf16": _work.matrix_rate(one.torch_device, torch.bfloat16, side),
        "float32": _work.matrix_rate(one.torch_device, torch.float32, side, 3),
    }
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    rates["TF32"] = _work.matrix_rate(one.torch_device, torch.float32, side)
    torch.backends.cuda.matmul.allow_tf32 = before

    built, given, accelerator = step.build(one.size, one.batch, one.device, "default", (*one.changes, *bf16))
    network = built.generator.network.train()

    def generator() -> None:
        with accelerator.autocast():
            restored = network(given.image, given.mask)
        mse_loss(restored.float(), given.truth).backward()

    whole = _step_of(one, bf16)
    work = {"generator": _work.operations(generator), "step": _work.operations(whole)}
    times = {
        "generator": _work.seconds(generator, one.torch_device, one.rounds),
        **{
            name: min(values)
            for name, values in _measure.in_turn(
                {
                    "step": whole,
                    # Step 1 has none, where it comes every so many.
                    "step without the penalty": _step_of(one, (*bf16, "penalties.gradient.every=1000"), 1),
                },
                one.rounds,
                warm_up=1 if one.quick else 3,
            ).items()
        },
    }
    return {
        "operations": work,
        "seconds_at_least": times,
        "matrix_operations_a_second": rates,
        "share_of_the_matrix_rate": {name: work[name] / times[name] / rates["bf16"] for name in work},
        "penalty_share_of_the_step": 1 - times["step without the penalty"] / times["step"],
        "float32_convolutions_use_TF32": torch.backends.cudnn.allow_tf32,
        "float32_products_use_TF32": torch.backends.cuda.matmul.allow_tf32,
    }


def two_stage_row(one: Setting) -> dict[str, Any]:
    """Time the `two-stage` parts against Lightning, in Lightning's precision and in bf16."""
    size, batch = (64, 4) if one.quick else (one.size, one.batch)
    workers = 0 if one.quick else 4
    kinds = ("bf16",) if one.quick else ("fp32", "bf16")
    return {kind: two_stage.measure(size, batch, one.rounds, one.device, kind, workers) for kind in kinds}


def waiting_row(one: Setting) -> dict[str, Any]:
    """Train on pairs that are in the cache, and tell the share of the time that the loop stood still for data."""
    epochs, workers = (2, 0) if one.quick else (6, 8)
    photos = PHOTOS if PHOTOS.is_dir() else sample.folder() / "photos"
    plan = planned("default", one.size, one.batch, (*one.changes, "training.precision=bf16"))
    accelerator = make_accelerator(one.device, "bf16")
    with tempfile.TemporaryDirectory() as made, cache_in(Path(made) / "cache"):
        count = one.batch * (2 if one.quick else 25)
        items = make_pairs(Path(made), photos, count, one.size)
        samples = loader.Samples(items=items, recipe=run.sample_recipe(plan), stream=loader.Stream.TRAIN)
        keys = [loader.shuffled_batches(count, 1, one.batch, plan.settings.seed, epoch) for epoch in range(epochs)]
        seconds: list[float] = []
        batches = loader.iterate_batches(samples, itertools.chain(*keys), workers, accelerator.device)
        records = take_steps(
            state.build_state(plan, accelerator), waiting(batches, seconds), accelerator, seed=0, first=0
        )
        first = len(keys[0])  # in the first epoch they are decoded
        times = [spent for spent, _ in _timed(records)][first:]
    return {"workers": workers, "steps": len(times), "share_waiting": sum(seconds[first:]) / sum(times)}


def _timed(records: Iterator[Any]) -> Iterator[tuple[float, Any]]:
    import time

    started = time.perf_counter()
    for record in records:
        now = time.perf_counter()
        yield now - started, record
        started = now


ROWS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "step": step_row,
    "compiled": compiled_row,
    "arithmetic": arithmetic_row,
    "two-stage": two_stage_row,
    "ssim": lambda one: ssim.measure(one.batch, one.size, one.rounds, one.device),
    "memory": lambda one: memory.measure(one.size, one.batch, one.device, one.changes),
    "waiting": waiting_row,
}


def markdown(found: dict[str, Any]) -> list[str]:
    """Return the rows of the page, those that have figures."""
    lines = ["| what | here | target |", "|---|---|---|"]

    def add(row: str, what: str, target: str, tell: Callable[[dict[str, Any]], str]) -> None:
        if row in found:
            one = found[row]
            lines.append(f"| {what} | {one['fault'] if 'fault' in one else tell(one)} | {target} |")

    def times(one: dict[str, Any], side: str) -> str:
        ratio = one["times_as_fast"].get(side)
        if ratio is None:
            return f"{side} is not installed"
        return f"{ratio['median']:.2f} times as fast ({ratio['least']:.2f} to {ratio['most']:.2f})"

    def share(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda one: f"{one['share_of_the_matrix_rate'][name]:.1%}"

    add("step", "step of `default`, bf16, against the published step", "10", lambda one: times(one, "published"))
    add("compiled", "step of `default`, bf16, compiled against not", "", lambda one: times(one, "plain"))
    add("arithmetic", "generator's share of the matrix rate", "45 %", share("generator"))
    add("arithmetic", "whole step's share of the matrix rate", "", share("step"))
    add(
        *("arithmetic", "share of the step that is the float32 penalty", ""),
        lambda one: f"{one['penalty_share_of_the_step']:.1%}",
    )
    for kind in found.get("two-stage", {}):
        add("two-stage", f"two-stage, ours in {kind}", "1.2", lambda one, kind=kind: times(one[kind], "Lightning"))
    for side in ("pytorch-msssim", "torchmetrics"):
        add("ssim", f"SSIM against {side}", "1", lambda one, side=side: times(one, side))
    for kind, target in (("ours", "0.9"), ("ours, recomputed", "0.6")):
        tell = lambda one, kind=kind: f"{one['share_of_the_published'][kind]['peak']:.2f}"  # noqa: E731
        add("memory", f"peak memory, {kind}", target, tell)
    add("waiting", "share of a step waiting for data", "2 %", lambda one: f"{one['share_waiting']:.2%}")
    return lines


@click.command("gpu")
@click.option("--size", default=512, show_default=True, help="Side of the pictures in pixels.")
@click.option("--batch", default=8, show_default=True, help="Pictures a step.")
@click.option("--rounds", default=15, show_default=True, help="Steps of each kind, in turn.")
@click.option("--only", type=click.Choice(list(ROWS)), multiple=True, help="These rows alone.")
@_measure.quick
@click.option("--json", "path", type=click.Path(path_type=Path), help="Where the figures go.  [default: the docs]")
def command(size: int, batch: int, rounds: int, only: tuple[str, ...], quick: bool, path: Path | None) -> None:
    """Measure every row that needs a GPU; write JSON beside the docs, print the rows for the page."""
    if not quick and not torch.cuda.is_available():
        click.echo("There is no GPU here that torch can use; nothing was measured. --quick tries the code on the CPU.")
        raise SystemExit(1)
    one = Setting(device="cuda", size=size, batch=batch, rounds=rounds, changes=(), quick=False)
    if quick:
        one = Setting(device="cpu", size=32, batch=2, rounds=1, changes=SMALL, quick=True)
    name = "a CPU, to try the code" if quick else torch.cuda.get_device_name()
    found: dict[str, Any] = {"device": name, "size": one.size, "batch": one.batch}
    path = path or (None if quick else PATH)
    for row in only or ROWS:
        try:
            found[row] = ROWS[row](one)
        except (RuntimeError, ImportError, click.ClickException) as error:
            found[row] = {"fault": " ".join(str(error).split())[:200]}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**_measure.facts(), **found}, indent=2) + "\n", "utf-8")
        if not quick:
            torch.cuda.empty_cache()
    click.echo("\n".join(markdown(found)))
    if any("fault" in found[row] for row in only or ROWS):
        sys.exit(1)
