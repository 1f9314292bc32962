"""Run all measurements that need a GPU with one command, and write docs/performance/gpu.json.

    python -m benchmarks gpu

The rows, each written as soon as it is measured, so that an error in one row does not lose the others:

- ``step``: our step in several precisions against the published step in float32.
- ``compiled``: our step with a compiled generator against the same without.
- ``arithmetic``: the operations of a step; its rate as a fraction of that of plain matrix products; the share of the
  gradient penalty in the time of a step.
- ``two-stage``, ``ssim``, ``memory``: the benchmarks of these names.
- ``waiting``: the fraction of the training time that is waiting for data.

The table printed at the end has the columns: what was measured, the result on this GPU, the target. With ``--quick``
everything runs once on the CPU, to test the code.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch.nn.functional import mse_loss

from benchmarks import memory, ssim, step, two_stage
from benchmarks.common import arithmetic, timing
from benchmarks.common.gpu_table import markdown_table
from benchmarks.common.published import build_published, plan_recipe, published_step, random_batch
from benchmarks.loader import PHOTOS, make_pairs, temporary_cache
from benchmarks.overhead import record_waiting
from toolbox.data import loader, sample
from toolbox.distributed.accelerator import make_accelerator
from toolbox.models.samples import sample_recipe
from toolbox.training import state
from toolbox.training.step import take_steps

PATH = Path(__file__).resolve().parents[1] / "docs" / "performance" / "gpu.json"
SMALL = ("generator.width=8", "discriminator.width=8")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The setting of all measurements.

    Attributes:
        device: the device.
        size: side of the pictures in pixels.
        batch: pictures in a step.
        rounds: number of steps of each variant.
        overrides: settings of every recipe.
        quick: whether this is one small round to test the code.
    """

    device: str
    size: int
    batch: int
    rounds: int
    overrides: tuple[str, ...]
    quick: bool

    @property
    def torch_device(self) -> torch.device:
        """The device as an object of torch."""
        return torch.device(self.device)


VARIANTS = {
    "bf16": ("training.precision=bf16",),
    "fp32": (),
    "bf16, recomputed": ("training.precision=bf16", "training.recompute=true"),
}


def step_row(setting: Setting) -> dict[str, Any]:
    """Time the step of `default` in several precisions against the published step in float32."""
    accelerator = make_accelerator(setting.device)
    theirs = build_published(plan_recipe("published", setting.size, setting.batch, setting.overrides), accelerator)
    published_batch = random_batch(setting.size, setting.batch, accelerator.device, torch.contiguous_format)
    variants: dict[str, Callable[[], object]] = {
        "published": step.with_step_number(
            lambda number: published_step(theirs, published_batch, torch.Generator().manual_seed(number))
        )
    }
    for name, overrides in VARIANTS.items():
        variants[name] = _step_caller(setting, overrides)
    return timing.compare(timing.time_alternately(variants, setting.rounds, warm_up=1 if setting.quick else 3), "bf16")


def _step_caller(setting: Setting, overrides: tuple[str, ...], number: int | None = None) -> Callable[[], object]:
    """Return a function that takes a step of `default`: steps 0, 1, 2, … or always step `number`."""
    built, batch, accelerator = step.build(
        setting.size, setting.batch, setting.device, "default", (*setting.overrides, *overrides)
    )

    def take(count: int) -> None:
        step.our_step(built, batch, accelerator, count if number is None else number)
        arithmetic.synchronize(accelerator.device)

    return step.with_step_number(take)


def compiled_row(setting: Setting) -> dict[str, Any]:
    """Time the step of `default` in bf16 with a compiled generator against the same without."""
    # The tests must not need a compiler.
    compiled = () if setting.quick else ("training.compile=true",)
    variants = {
        name: _step_caller(setting, (*VARIANTS["bf16"], *overrides))
        for name, overrides in (("ours", compiled), ("plain", ()))
    }
    return timing.compare(timing.time_alternately(variants, setting.rounds, warm_up=1 if setting.quick else 3))


def arithmetic_row(setting: Setting) -> dict[str, Any]:
    """Compare the rate of a step's operations with that of matrix products, and measure the share of the penalty."""
    bf16 = VARIANTS["bf16"]
    side = 64 if setting.quick else 8192
    rates = {
        "bf16": arithmetic.matrix_rate(setting.torch_device, torch.bfloat16, side),
        "float32": arithmetic.matrix_rate(setting.torch_device, torch.float32, side, 3),
    }
    allow_tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    rates["TF32"] = arithmetic.matrix_rate(setting.torch_device, torch.float32, side)
    torch.backends.cuda.matmul.allow_tf32 = allow_tf32

    built, batch, accelerator = step.build(
        setting.size, setting.batch, setting.device, "default", (*setting.overrides, *bf16)
    )
    network = built.generator.network.train()

    def generator_pass() -> None:
        with accelerator.autocast():
            restored = network(batch.image, batch.mask)
        mse_loss(restored.float(), batch.truth).backward()

    full_step = _step_caller(setting, bf16)
    operations = {
        "generator": arithmetic.count_operations(generator_pass),
        "step": arithmetic.count_operations(full_step),
    }
    times = {
        "generator": arithmetic.shortest_seconds(generator_pass, setting.torch_device, setting.rounds),
        **{
            name: min(values)
            for name, values in timing.time_alternately(
                {
                    "step": full_step,
                    # With this cadence, step 1 has no penalty.
                    "step without the penalty": _step_caller(setting, (*bf16, "penalties.gradient.every=1000"), 1),
                },
                setting.rounds,
                warm_up=1 if setting.quick else 3,
            ).items()
        },
    }
    return {
        "operations": operations,
        "seconds_at_least": times,
        "matrix_operations_a_second": rates,
        "share_of_the_matrix_rate": {name: operations[name] / times[name] / rates["bf16"] for name in operations},
        "penalty_share_of_the_step": 1 - times["step without the penalty"] / times["step"],
        "float32_convolutions_use_TF32": torch.backends.cudnn.allow_tf32,
        "float32_products_use_TF32": torch.backends.cuda.matmul.allow_tf32,
    }


def two_stage_row(setting: Setting) -> dict[str, Any]:
    """Time a step of `two-stage` against Lightning, in float32 and in bf16."""
    size, batch = (32, 2) if setting.quick else (setting.size, setting.batch)
    workers = 0 if setting.quick else 4
    precisions = ("bf16",) if setting.quick else ("fp32", "bf16")
    return {
        precision: two_stage.measure(size, batch, setting.rounds, setting.device, precision, workers)
        for precision in precisions
    }


def waiting_row(setting: Setting) -> dict[str, Any]:
    """Train on pairs in the cache, and return the fraction of the time that the loop waits for data."""
    epochs, workers = (2, 0) if setting.quick else (6, 8)
    photos = PHOTOS if PHOTOS.is_dir() else sample.folder() / "photos"
    plan = plan_recipe("default", setting.size, setting.batch, (*setting.overrides, "training.precision=bf16"))
    accelerator = make_accelerator(setting.device, "bf16")
    with tempfile.TemporaryDirectory() as folder, temporary_cache(Path(folder) / "cache"):
        count = setting.batch * (2 if setting.quick else 25)
        items = make_pairs(Path(folder), photos, count, setting.size)
        samples = loader.Samples(items=items, recipe=sample_recipe(plan), stream=loader.Stream.TRAIN)
        keys = [loader.shuffled_batches(count, 1, setting.batch, plan.settings.seed, epoch) for epoch in range(epochs)]
        waits: list[float] = []
        batches = loader.iterate_batches(samples, itertools.chain(*keys), workers, accelerator.device)
        records = take_steps(
            state.build_state(plan, accelerator), record_waiting(batches, waits), accelerator, seed=0, first=0
        )
        first = len(keys[0])  # the first epoch decodes the photographs and is not counted
        times = [seconds for seconds, _ in _with_times(records)][first:]
    return {"workers": workers, "steps": len(times), "share_waiting": sum(waits[first:]) / sum(times)}


def _with_times(records: Iterator[Any]) -> Iterator[tuple[float, Any]]:
    """Yield the records, each with the seconds that it took."""
    start = time.perf_counter()
    for record in records:
        now = time.perf_counter()
        yield now - start, record
        start = now


ROWS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "step": step_row,
    "compiled": compiled_row,
    "arithmetic": arithmetic_row,
    "two-stage": two_stage_row,
    "ssim": lambda setting: ssim.measure(setting.batch, setting.size, setting.rounds, setting.device),
    "memory": lambda setting: memory.measure(setting.size, setting.batch, setting.device, setting.overrides),
    "waiting": waiting_row,
}


@click.command("gpu")
@click.option("--size", type=click.IntRange(1), default=512, show_default=True, help="Side of the pictures in pixels.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Pictures in a step.")
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="Steps of each, alternately.")
@click.option("--only", type=click.Choice(list(ROWS)), multiple=True, help="Measure only these rows.")
@timing.quick_option
@click.option(
    "--json",
    "path",
    type=click.Path(path_type=Path),
    help="Write the figures here.  [default: docs/performance/gpu.json]",
)
def command(size: int, batch: int, rounds: int, only: tuple[str, ...], quick: bool, path: Path | None) -> None:
    """Measure all rows on a GPU; write JSON and print a Markdown table."""
    if not quick and not torch.cuda.is_available():
        click.echo("torch finds no GPU; nothing was measured. To test the code on the CPU: --quick")
        raise SystemExit(1)
    setting = Setting(device="cuda", size=size, batch=batch, rounds=rounds, overrides=(), quick=False)
    if quick:
        setting = Setting(device="cpu", size=32, batch=2, rounds=1, overrides=SMALL, quick=True)
    name = "a CPU, to test the code" if quick else torch.cuda.get_device_name()
    results: dict[str, Any] = {"device": name, "size": setting.size, "batch": setting.batch}
    path = path or (None if quick else PATH)
    for row in only or ROWS:
        try:
            results[row] = ROWS[row](setting)
        except (RuntimeError, ImportError, click.ClickException) as error:
            results[row] = {"fault": " ".join(str(error).split())[:200]}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**timing.environment(), **results}, indent=2) + "\n", "utf-8")
        if not quick:
            torch.cuda.empty_cache()
    click.echo("\n".join(markdown_table(results)))
    if any("fault" in results[row] for row in only or ROWS):
        sys.exit(1)
