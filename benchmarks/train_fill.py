"""Train the small network that weights the extrapolations of the fill `average`.

    python -m benchmarks train-fill PHOTOS --split benchmarks/photo_split.csv --out DIR --samples 575

`DIR` gets the samples, which a later training with the same photographs, split, number and seed reads again, and
`average-fill.safetensors`. The loss is 1 - M of the hole, the structural similarity along rows that the score uses,
plus a part of the mean absolute error. Photographs are those of the set `train`; every sixth sample is held out and
used to measure the progress.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from safetensors.numpy import save_file
from toolbox_plugins.fills import weighting
from toolbox_plugins.fills.average import ORIGINS, WINDOWS, extrapolations
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, silu

from benchmarks import fill
from benchmarks.common import holes
from benchmarks.common.fill_holes import random_holes
from benchmarks.common.same_options import require_same_options
from benchmarks.common.schedule import rate_factor
from toolbox.training.running_average import running_average
from toolbox.utils import files

SAMPLES, WEIGHTS = "samples.npz", "average-fill.safetensors"
PLANES = 1 + len(WINDOWS) * len(ORIGINS)
OUTPUTS = len(weighting.SIGMAS) + PLANES
HIDDEN = 20
# Side of a crop that is filled, and of the parts of it that are trained on.
SIDE, PART = 224, 128
PARTS = 2
HELD_OUT = 6
WINDOW = 7
C1, C2 = 0.01**2, 0.03**2
# Steps in which the learning rate rises, and the decay of the running average.
WARM_UP, AVERAGE = 20, 0.985


@click.command("train-fill")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", type=click.Path(exists=True, path_type=Path), required=True, help="Table of the sets.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for samples and weights.")
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=575,
    show_default=True,
    help="Number of holes; each takes about a second.",
)
@click.option("--steps", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=10, show_default=True)
@click.option("--rate", default=1e-2, show_default=True, help="Highest learning rate.")
@click.option("--absolute", default=0.3, show_default=True, help="Weight of the mean absolute error.")
@click.option("--seed", default=0, show_default=True)
def command(
    photos: Path, split: Path, out: Path, samples: int, steps: int, batch: int, rate: float, absolute: float, seed: int
) -> None:
    """Fill holes in photographs of the set `train` in PHOTOS, and train the weights on the truth."""
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    made_with = {
        "PHOTOS": str(photos.resolve()),
        "--split (SHA-256)": files.sha256(split),
        "--samples": samples,
        "--seed": seed,
    }
    parts = read_samples(out / SAMPLES, made_with)
    if parts is None:
        paths = fill.choose_photos(photos, split, "train", 1 << 30, ())
        parts = np.stack([part for _ in range(samples) for part in make_parts(paths, random)])
        temporary = out / f"part-{SAMPLES}"
        np.savez(temporary, parts=parts, options=json.dumps(made_with))
        temporary.replace(out / SAMPLES)
    is_held_out = np.arange(len(parts)) // PARTS % HELD_OUT == HELD_OUT - 1
    torch.manual_seed(seed)
    network = train(parts[~is_held_out], parts[is_held_out], steps, batch, rate, absolute, random)
    save_file(layers(network), out / WEIGHTS)


def read_samples(path: Path, made_with: dict[str, Any]) -> np.ndarray | None:
    """Return the parts of an earlier call, or None if there is no file; UsageError if its options were others."""
    if not path.is_file():
        return None
    with np.load(path) as stored:
        options = json.loads(str(stored["options"])) if "options" in stored else {}
        require_same_options(path, options, made_with)
        click.echo(f"the samples of {path} are used again")
        return np.asarray(stored["parts"])


def make_parts(paths: list[Path], random: np.random.Generator) -> list[np.ndarray]:
    """Return parts of a random photograph with a hole, each (3 + OUTPUTS + FEATURES, PART, PART) float16.

    The planes are the luma, the hole, the mean of the extrapolations, and what `weighting.describe` returns.
    """
    while True:
        luma = holes.luma(holes.photo(paths[random.integers(len(paths))], 1 << 20))
        side = SIDE if random.random() < 0.5 else round(SIDE / random.uniform(0.8, 1.5))
        if min(luma.shape) < side:
            continue
        top, left = (int(random.integers(0, length - side + 1)) for length in luma.shape)
        kind = cv2.INTER_CUBIC if side < SIDE else cv2.INTER_AREA
        crop = cv2.resize(luma[top : top + side, left : left + side], (SIDE, SIDE), interpolation=kind)
        lost = random_holes(1, SIDE, random, torch.device("cpu"))[0, 0].numpy() > 0
        if 0.003 < lost.mean() < 0.4:
            break
    truth = crop.astype(np.float32)
    known = np.where(lost, np.float32(0), truth)
    planes = np.stack([filled[..., 0] for filled in extrapolations(known[..., None], lost)])
    planes = np.rint(planes.clip(0, 255))
    details, features = weighting.describe(planes, known, lost)
    mean = np.where(lost, planes.mean(0), truth)
    stack = np.concatenate([np.stack([truth, lost, mean], 2), details, features], 2).transpose(2, 0, 1)
    rows, columns = np.nonzero(lost)
    parts = []
    for chosen in random.integers(0, len(rows), PARTS):
        corner = np.array([rows[chosen], columns[chosen]]) - PART // 2 + random.integers(-24, 25, 2)
        y, x = corner.clip(0, SIDE - PART)
        parts.append(stack[:, y : y + PART, x : x + PART].astype(np.float16))
    return parts


class Weighting(nn.Module):
    """The network as 1x1 convolutions; a new one returns the plain mean."""

    def __init__(self) -> None:
        """Build the layers; the last one is zero."""
        super().__init__()
        sizes = (weighting.FEATURES, HIDDEN, HIDDEN, OUTPUTS)
        self.layers = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in zip(sizes, sizes[1:], strict=False))
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, parts: Tensor) -> Tensor:
        """Return the filled luma (B, 1, h, w), 0 to 1, for parts of `make_parts` (B, C, h, w)."""
        lost, mean = parts[:, 1:2], parts[:, 2:3]
        details, values = parts[:, 3 : 3 + OUTPUTS], parts[:, 3 + OUTPUTS :]
        for number, layer in enumerate(self.layers):
            values = layer(silu(values) if number else values)
        factors = avg_pool2d(values, weighting.BLUR, 1, weighting.BLUR // 2, count_include_pad=False)
        return (mean + lost * (factors * details).sum(1, keepdim=True)) / 255


def train(
    parts: np.ndarray,
    held_out: np.ndarray,
    steps: int,
    batch: int,
    rate: float,
    absolute: float,
    random: np.random.Generator,
) -> Weighting:
    """Return the running average of a network that is trained on parts (N, C, PART, PART)."""
    network = Weighting()
    averaged = running_average(network, AVERAGE)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3, betas=(0.9, 0.98))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_factor(step, step / steps, WARM_UP)
        chosen = torch.from_numpy(parts[random.integers(0, len(parts), batch)]).float()
        similarity, error = objective(network(chosen), chosen[:, :1] / 255, chosen[:, 1:2])
        optimizer.zero_grad()
        (1 - similarity + absolute * error).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.3)
        optimizer.step()
        averaged.update_parameters(network)
        if len(held_out) and (step + 1) % 50 == 0:
            click.echo(
                f"{step + 1} M held out {measure(averaged.module, held_out):.4f}, mean {measure(None, held_out):.4f}"
            )
    return averaged.module


@torch.no_grad()
def measure(network: Weighting | None, parts: np.ndarray) -> float:
    """Return the mean of M over parts, filled by a network or, with None, by the plain mean."""
    scores = []
    for part in parts:
        values = torch.from_numpy(part[None]).float()
        filled = values[:, 2:3] / 255 if network is None else network(values).clamp(0, 1)
        scores.append(float(objective(filled, values[:, :1] / 255, values[:, 1:2])[0]))
    return float(np.mean(scores))


def layers(network: Weighting) -> dict[str, np.ndarray]:
    """Return the weights and biases as `weighting.load_layers` reads them."""
    state = {}
    for number, layer in enumerate(network.layers):
        state[f"{number}.weight"] = np.ascontiguousarray(layer.weight.detach()[:, :, 0, 0].numpy().T)
        state[f"{number}.bias"] = layer.bias.detach().numpy()
    return state


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
    similarity = (above / below * inside).sum((1, 2, 3)) / count.clamp_min(1)
    absolute = ((filled - truth).abs() * lost).sum((1, 2, 3)) / lost.sum((1, 2, 3)).clamp_min(1)
    return similarity.sum() / (count > 0).sum().clamp_min(1), absolute.mean()
