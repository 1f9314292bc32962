"""Train the network of the fill `learned` on photographs within a time limit.

    python -m benchmarks train-fill PHOTOS --split benchmarks/photo_split.csv --out DIR --minutes 9 --device cuda

The learning rate follows a cosine over the time. `DIR` gets the running average of the weights, `fill.safetensors` in
half precision, and `figures.jsonl`. The loss of a crop is 1 - M of its hole plus the mean absolute error; M is the
structural similarity along rows that the score uses.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import save_file
from toolbox_plugins.fills.frequency import extrapolate
from toolbox_plugins.fills.learned import QUICK, predict
from toolbox_plugins.fills.network import FillNet
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from benchmarks import fill
from benchmarks.common import fill_samples, holes
from benchmarks.common.fill_samples import SIDE, Photos, Pool
from toolbox.smooth_fill import fill_tensor

WEIGHTS, FIGURES = "fill.safetensors", "figures.jsonl"
# Sides of the crops, and how often each is used; a batch has the same number of pixels with every side.
SIDES = (SIDE, 384, 512)
SIDE_FREQUENCIES = (0.62, 0.25, 0.13)
WINDOW = 7
C1, C2 = 0.01**2, 0.03**2
WARM_UP = 0.03
MAX_FAILED_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class Case:
    """A development photograph with a hole.

    Attributes:
        luma: (H, W) uint8.
        lost: (H, W) bool.
        waves: (H, W) float32, the luma with the hole extrapolated.
    """

    luma: np.ndarray
    lost: np.ndarray
    waves: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a training.

    Attributes:
        seconds: length of the training.
        batch: crops of 256 pixels in a batch.
        rate: highest learning rate.
        average: decay of the running average of the weights.
        absolute: weight of the mean absolute error.
        share: largest part of a batch that has an extrapolation.
        ramp: number of samples in the pool from which on that part is used.
        seed: what decides all random numbers.
        workers: number of processes that make samples with an extrapolation.
        device: a device of torch.
    """

    seconds: float
    batch: int = 64
    rate: float = 1.2e-3
    average: float = 0.999
    absolute: float = 1.0
    share: float = 0.6
    ramp: int = 1500
    seed: int = 0
    workers: int = 3
    device: str = "cpu"


@click.command("train-fill")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", type=click.Path(exists=True, path_type=Path), required=True, help="Table of the sets.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the weights and figures.")
@click.option("--minutes", default=9.0, show_default=True, help="Length of the training.")
@click.option("--batch", default=Settings.batch, show_default=True, help="Crops of 256 pixels in a batch.")
@click.option("--rate", default=Settings.rate, show_default=True, help="Highest learning rate.")
@click.option("--workers", default=Settings.workers, show_default=True, help="Processes that extrapolate holes.")
@click.option("--seed", default=Settings.seed, show_default=True)
@click.option("--device", default=Settings.device, show_default=True)
def command(photos: Path, split: Path, out: Path, minutes: float, **options: Any) -> None:
    """Train on the photographs of the set `train` in PHOTOS, and measure on 100 of the set `development`."""
    settings = Settings(seconds=60 * minutes, **options)
    lumas = [holes.luma(holes.photo(path, 1 << 20)) for path in fill.chosen(photos, split, "train", 1 << 30, ())]
    paths = fill.chosen(photos, split, "development", 100, ())
    cases = [make_case(luma, lost) for _, _, luma, lost in fill.cases(paths, ["shape"], 512)]
    Training(settings, lumas, cases, out).run()


def make_case(luma: np.ndarray, lost: np.ndarray) -> Case:
    """Return a case; the hole is extrapolated from the crop around it."""
    box, waves = holes.around(lost), np.where(lost, 0, luma).astype(np.float32)
    waves[box] = extrapolate(waves[box][..., None], lost[box], **QUICK)[..., 0]
    return Case(luma=luma, lost=lost, waves=waves)


class Training:
    """The networks, the samples and the folder of a training."""

    def __init__(self, settings: Settings, lumas: Sequence[np.ndarray], cases: Sequence[Case], out: Path) -> None:
        """Start the workers, move the photographs to the device and build the network."""
        self.started = time.monotonic()
        self.settings, self.cases, self.out = settings, cases, out
        self.device = torch.device(settings.device)
        self.random = np.random.default_rng(settings.seed)
        self.pool = Pool(lumas, settings.workers, self.device)
        torch.manual_seed(settings.seed)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        self.photos = Photos(lumas, self.device)
        self.network = FillNet().to(self.device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False).eval()
        decayed = [value for value in self.network.parameters() if value.ndim == 4]
        others = [value for value in self.network.parameters() if value.ndim != 4]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98))
        self.steps = self.failed = 0
        out.mkdir(parents=True, exist_ok=True)

    def run(self) -> None:
        """Train until the time is over; write the weights every two minutes and at the end."""
        saved = shown = time.monotonic()
        figures: list[tuple[float, ...]] = []
        measured = 0
        while (part := (time.monotonic() - self.started) / self.settings.seconds) < 1:
            figures.append(self.step(part))
            now = time.monotonic()
            if now - shown > 5:
                similarity, absolute = np.nanmean(figures, 0)
                self.log(step=self.steps, M=similarity, absolute=absolute, pool=self.pool.count, failed=self.failed)
                figures, shown = [], now
            if now - saved > 120:
                self.write()
                saved = now
            if 3 * part > measured + 1:
                measured += 1
                self.log(step=self.steps, development=self.measure())
        self.pool.stop()
        self.write()
        self.log(step=self.steps, development=self.measure())

    def step(self, part: float) -> tuple[float, float]:
        """Do one optimizer step at a part, 0 to 1, of the time; return M and the mean absolute error."""
        settings = self.settings
        rate = settings.rate * min(1, part / WARM_UP + 0.01) * 0.5 * (1 + math.cos(math.pi * part)) + 1e-6
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        luma, lost, waves = self.sample()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            start = fill_tensor(luma, lost)
            beside = torch.cat([start[: len(start) - len(waves)], waves])
            filled = self.network(start, lost, beside)
        figures = objective(filled.float(), luma, lost)
        self.optimizer.zero_grad(set_to_none=True)
        (1 - figures[0] + settings.absolute * figures[1]).backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)
        values = torch.stack([*figures, norm]).tolist()
        if not all(map(math.isfinite, values)):
            self.failed += 1
            if self.failed > MAX_FAILED_STEPS:
                raise RuntimeError(f"more than {MAX_FAILED_STEPS} steps were not finite")
            return math.nan, math.nan
        self.optimizer.step()
        self.steps += 1
        decay = min(settings.average, (self.steps + 1) / (self.steps + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.network.parameters()), 1 - decay)
        return values[0], values[1]

    def sample(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return lumas and holes (B, 1, S, S), and the extrapolations of the last ones of them."""
        self.pool.fetch()
        side = int(self.random.choice(SIDES, p=SIDE_FREQUENCIES))
        batch = max(1, round(self.settings.batch * (SIDE / side) ** 2))
        share = self.settings.share * min(1, self.pool.count / self.settings.ramp) if side == SIDE else 0
        count = round(batch * share)
        luma, lost = fill_samples.draw(self.photos, batch - count, side, self.random)
        if not count:
            return luma, lost, luma[:0]
        more_luma, more_lost, waves = self.pool.draw(count, self.random)
        return torch.cat([luma, more_luma]), torch.cat([lost, more_lost]), waves

    def measure(self) -> float:
        """Return the mean of M over the development cases, by the running average of the weights."""
        found = [
            holes.lost_structure(
                np.rint(predict(self.averaged, case.luma, case.lost, case.waves)), case.luma, case.lost
            )
            for case in self.cases
        ]
        return float(np.mean([value for value in found if value is not None]))

    def log(self, **figures: Any) -> None:
        """Append a line of figures to the file, and print it."""
        line = json.dumps({"seconds": round(time.monotonic() - self.started, 1), **figures})
        with (self.out / FIGURES).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        click.echo(line)

    def write(self) -> None:
        """Write the running average in half precision to a temporary file and rename it."""
        state = {name: value.half().cpu().contiguous() for name, value in self.averaged.state_dict().items()}
        temporary = self.out / f"{WEIGHTS}.part"
        save_file(state, temporary)
        temporary.replace(self.out / WEIGHTS)


def objective(filled: Tensor, truth: Tensor, lost: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of M and the mean absolute error in the holes of lumas (B, 1, H, W), 0 to 1.

    M is taken of the windows of 7 pixels along a row that lie inside the hole, with a data range of 1.
    """

    def mean(values: Tensor) -> Tensor:
        return avg_pool2d(values, (1, WINDOW), stride=1)

    inside = (mean(lost) > 0.999).float()
    mean_filled, mean_truth = mean(filled), mean(truth)
    unbiased = WINDOW / (WINDOW - 1)
    variance_filled = (mean(filled**2) - mean_filled**2).clamp_min(0) * unbiased
    variance_truth = (mean(truth**2) - mean_truth**2).clamp_min(0) * unbiased
    covariance = (mean(filled * truth) - mean_filled * mean_truth) * unbiased
    above = (2 * mean_filled * mean_truth + C1) * (2 * covariance + C2)
    below = (mean_filled**2 + mean_truth**2 + C1) * (variance_filled + variance_truth + C2)
    count = inside.sum((1, 2, 3))
    similarity = (above / below * inside).sum((1, 2, 3))[count > 0] / count[count > 0]
    absolute = ((filled - truth).abs() * lost).sum((1, 2, 3)) / lost.sum((1, 2, 3)).clamp_min(1)
    return similarity.sum() / max(1, len(similarity)), absolute.mean()
