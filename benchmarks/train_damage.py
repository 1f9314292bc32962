"""Train the network that finds damage within a time limit: on simulated damage, from the weights that ship.

    python -m benchmarks train-damage --out DIR --seconds 540 --device cuda --workers 10

Processes make the samples, each with photographs of the training set of `photo_split.csv`; the accelerator turns them
anew, traces their lines and trains. The learning rate falls to zero over the time. `DIR` gets the running average of
the weights (`weights.safetensors`, half precision) and a log.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import save_file
from toolbox_plugins.damage.artefacts import read_artefacts
from toolbox_plugins.damage.kinds import KINDS
from toolbox_plugins.damage.network import DamageNet
from torch import Tensor, nn

from benchmarks.common.damage_batches import Pool, halve_labels, objective, prepare
from benchmarks.common.damage_samples import PORTION, SIZES, Workers, development_samples, read_photographs
from benchmarks.common.json_lines import logger
from benchmarks.common.schedule import rate_factor
from toolbox import weights_path
from toolbox.models import weight_file
from toolbox.training.running_average import running_average

SHARED = Path(__file__).resolve().parents[2] / "shared"
WEIGHTS, LOG = "weights.safetensors", "log.jsonl"
# Artefacts whose number modulo 10 is one of these are trained on, and measured on; the rest is for `benchmarks damage`.
TRAINED, MEASURED = tuple(range(7)), (7,)
# Seconds between two weight files, and steps between two lines of the log.
SAVED_EVERY, LOGGED_EVERY = 120, 50
# Steps in which the learning rate rises, and the factor that it falls to.
WARM_UP, LEAST_RATE = 100, 0.01
# The least number of samples in a pool before it is used.
LEAST = 64
# The most samples in the pools that were never drawn.
ENOUGH = 512


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a training."""

    seconds: float
    device: str
    workers: int
    batch: int
    rate: float
    encoder: float
    average: float
    repeats: float
    capacity: int
    measured: int
    freeze: bool
    seed: int


class Training:
    """A network, its running average, its optimizer, and the pools of samples."""

    def __init__(self, settings: Settings, weights: dict[str, Tensor], log: Callable[..., None]) -> None:
        """Build the network from initial weights."""
        self.settings, self.log = settings, log
        self.device = torch.device(settings.device)
        self.network = DamageNet()
        self.network.load_state_dict({name: value.float() for name, value in weights.items()})
        self.network = self.network.to(self.device, memory_format=torch.channels_last)
        self.average = running_average(self.network, settings.average).eval()
        for module in self.network.early_stages() if settings.freeze else ():
            module.eval().requires_grad_(False)
        encoder = [each for each in self.network.encoder.parameters() if each.requires_grad]
        inside = {id(parameter) for parameter in encoder}
        others = [p for p in self.network.parameters() if p.requires_grad and id(p) not in inside]
        groups = [{"params": encoder, "scale": settings.encoder}, {"params": others, "scale": 1.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.rate, weight_decay=0.01)
        self.pools = {
            size: Pool(size, max(PORTION, settings.capacity // PORTION * PORTION), self.device) for size in SIZES
        }
        self.random = torch.Generator(self.device).manual_seed(settings.seed)
        self.step = self.skipped = 0

    def receive(self, workers: Workers, *, timeout: float = 0.0, most: int = 8) -> int:
        """Move samples of the processes into the pools; return how many portions there were.

        None is taken while there are enough that were never drawn: on a slow device the processes wait, which saves
        their time for the training.
        """
        for number in range(most):
            if sum(pool.received - pool.drawn for pool in self.pools.values()) >= ENOUGH:
                return number
            portion = workers.receive(timeout if number == 0 else 0.0)
            if portion is None:
                return number
            self.pools[portion.shape[-1]].add(torch.from_numpy(portion))
        return most

    def ready_sizes(self) -> list[int]:
        """Return the sizes with samples that have not been drawn too often."""
        repeats = self.settings.repeats
        return [s for s, pool in self.pools.items() if pool.received >= LEAST and pool.drawn < repeats * pool.received]

    def precision(self) -> Any:
        """Return the context of the network: half precision on a GPU."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def train_step(self, size: int, fraction: float) -> float:
        """Train on one batch; return its loss. A step whose loss or gradient is not finite is left out."""
        pool, count = self.pools[size], max(2, round(self.settings.batch * (384 / size) ** 2))
        drawn = pool.draw(count, self.random)
        with self.precision():
            logits = self.network(drawn.gray, drawn.traced)
        loss = objective(logits, drawn.labels)
        scale = rate_factor(self.step, fraction, WARM_UP, LEAST_RATE)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * scale * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), 5.0))
        self.step += 1
        if not math.isfinite(norm):
            self.skipped += 1
            return math.nan
        self.optimizer.step()
        pool.reweight(drawn, logits)
        self.average.update_parameters(self.network)
        return float(loss.detach())

    @torch.no_grad()
    def measure(self, damaged: np.ndarray, sound: np.ndarray, portion: int = 8) -> dict[str, float]:
        """Return F1 of each kind's pictures at half the size, and what is marked in sound ones, for the average."""
        counts, alarms = np.zeros((len(KINDS), 3)), []
        for samples in (damaged, sound):
            for start in range(0, len(samples), portion):
                batch = torch.from_numpy(samples[start : start + portion]).to(self.device)
                drawn = prepare(batch[:, 0].float(), halve_labels(batch[:, 1]), torch.empty(0))
                with self.precision():
                    logits = self.average(drawn.gray, drawn.traced)
                found, there = 1 - logits.float().softmax(1)[:, 0], drawn.labels > 0
                if samples is sound:
                    alarms += [(float((each > 0.5).float().mean()), float(each.max())) for each in found]
                    continue
                for number, (each, truth) in enumerate(zip(found > 0.5, there, strict=True), start):
                    right = float((each & truth).sum())
                    counts[number % len(KINDS)] += right, float(each.sum()), float(truth.sum())
        f1 = 2 * counts[:, 0] / np.maximum(1, counts[:, 1] + counts[:, 2])
        shares, peaks = np.array(alarms).T
        figures = {kind: round(float(value), 3) for kind, value in zip(KINDS, f1, strict=True)}
        return figures | {
            "sound_percent": round(100 * float(shares.mean()), 4),
            "sound_over_0.5_percent": float((shares > 0.005).sum()),
            "sound_peak_over_0.85": float((peaks > 0.85).sum()),
        }

    def save(self, path: Path) -> None:
        """Write the running average in half precision."""
        state = self.average.module.state_dict()
        if not all(bool(value.isfinite().all()) for value in state.values() if value.is_floating_point()):
            self.log(event="not saved: the average is not finite")
            return
        halved = copy.deepcopy(self.average.module).half().state_dict()
        save_file({name: value.contiguous().cpu() for name, value in sorted(halved.items())}, f"{path}.tmp")
        os.replace(f"{path}.tmp", path)


def train(
    settings: Settings,
    *,
    workers: Workers,
    development: tuple[np.ndarray, np.ndarray],
    weights: dict[str, Tensor],
    out: Path,
    end: float,
    log: Callable[..., None],
) -> None:
    """Train until the clock `time.monotonic` is at `end`, and write the weights into a folder.

    Args:
        settings: the options.
        workers: processes that make samples and have been started.
        development: damaged and sound squares to measure on, see `development_samples`.
        weights: initial weights of the network.
        out: the folder.
        end: the time at which the training must have ended.
        log: is called with figures.
    """
    training = Training(settings, weights, log)
    damaged, sound = development
    begin = time.monotonic()
    log(event="start", **training.measure(damaged, sound))
    reserve = 1.5 * (time.monotonic() - begin) + 5
    log(event="prepared", left=round(end - time.monotonic()), reserve=round(reserve))
    begin = saved = time.monotonic()
    losses: list[float] = []
    measured = 0
    while (now := time.monotonic()) < end - reserve:
        fraction = (now - begin) / max(1.0, end - reserve - begin)
        training.receive(workers)
        sizes = training.ready_sizes()
        if not sizes:
            training.receive(workers, timeout=0.5)
            continue
        size = min(sizes, key=lambda each: training.pools[each].drawn / SIZES[each])
        losses.append(training.train_step(size, fraction))
        if training.step % LOGGED_EVERY == 0:
            log(**progress(training, losses, now - begin, fraction), errors=len(workers.errors))
            losses.clear()
        if now - saved > SAVED_EVERY:
            training.save(out / WEIGHTS)
            saved = now
        if fraction > (measured + 1) / 4:
            measured += 1
            log(event="measured", step=training.step, **training.measure(damaged, sound))
    training.save(out / WEIGHTS)
    log(event="end", step=training.step, **training.measure(damaged, sound), first_errors=workers.errors[:2])


def progress(training: Training, losses: list[float], seconds: float, fraction: float) -> dict[str, Any]:
    """Return the figures of the last steps for the log."""
    received, drawn = (sum(getattr(pool, name) for pool in training.pools.values()) for name in ("received", "drawn"))
    return {
        "step": training.step,
        "seconds": round(seconds, 1),
        "fraction": round(fraction, 3),
        "loss": round(float(np.nanmean(losses)), 4) if not np.isnan(losses).all() else None,
        "samples": received,
        "drawn": drawn,
        "drawn_per_second": round(drawn / max(1e-3, seconds), 1),
        "skipped": training.skipped,
    }


@click.command("train-damage")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the weights and the log.")
@click.option("--shared", type=click.Path(path_type=Path), default=SHARED, help="Folder with photos/ and damage/.")
@click.option(
    "--init", type=click.Path(exists=True, path_type=Path), help="Initial weights.  [default: those that ship]"
)
@click.option("--seconds", default=540.0, show_default=True, help="Time of the training, with everything.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes that make samples.")
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Crops of 384 pixels in a batch; of larger ones fewer.",
)
@click.option("--rate", default=2e-3, show_default=True, help="Highest learning rate.")
@click.option("--encoder", default=0.35, show_default=True, help="Factor of the learning rate of the encoder.")
@click.option("--average", default=0.999, show_default=True, help="Decay of the running average of the weights.")
@click.option("--repeats", default=4.0, show_default=True, help="The most times that a sample is used in the mean.")
@click.option(
    "--capacity",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    help="Samples of each size in memory, rounded down to 8.",
)
@click.option(
    "--measured",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Damaged and sound photographs to measure on.",
)
@click.option("--freeze", is_flag=True, help="Keep the early stages of the encoder; a step takes half the time.")
@click.option("--seed", default=0, show_default=True)
def command(out: Path, shared: Path, init: Path | None, **options: Any) -> None:
    """Train the network that finds damage on simulated damage, and write weights and a log."""
    end = time.monotonic() + options["seconds"]
    settings = Settings(**options)
    out.mkdir(parents=True, exist_ok=True)
    workers = Workers(
        photographs=read_photographs(shared / "photos", "train"),
        artefacts=read_artefacts(shared / "damage", remainders=TRAINED),
        count=settings.workers,
        seed=settings.seed,
    )
    workers.start()
    try:
        measured = read_artefacts(shared / "damage", remainders=MEASURED)
        train(
            settings,
            workers=workers,
            development=development_samples(
                read_photographs(shared / "photos", "development"), measured, settings.measured
            ),
            weights=weight_file.read_file(init or weights_path("print-damage")),
            out=out,
            end=end,
            log=logger(out / LOG),
        )
    finally:
        workers.stop()
