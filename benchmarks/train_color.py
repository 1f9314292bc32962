"""Train the colour network on a pack of photographs within a time limit; the same command continues it.

    python -m benchmarks train-color PACK --out DIR --encoder FILE.safetensors --steps 6000 --minutes 15

The learning rate rises during the first steps, stays constant, and falls linearly to zero during the last part of the
training. A complete training can be extended with more `--steps`: it continues from where the fall began. `DIR` gets
the weights, a JSON line of figures for each measurement, and the state.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from toolbox_plugins.luma.classes import centres, shares
from toolbox_plugins.luma.imperfect_fill import imperfect_fill
from toolbox_plugins.luma.plugin import LumaUNetParams, build_luma_unet
from toolbox_plugins.luma.scan import scan
from torch import Tensor, nn

from benchmarks import color_pack
from benchmarks.common import color_state
from benchmarks.common.color_samples import Batches, Development, quarter_chroma
from benchmarks.common.color_state import State
from toolbox.config import recipe
from toolbox.models import weight_file
from toolbox.models.weight_file import WeightsHeader

FIGURES = "figures.jsonl"
WEIGHTS = "weights.safetensors"
NOW, STABLE = "state.safetensors", "stable.safetensors"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a training. A continued training may change only the last five."""

    backbone: str
    width: int
    size: int
    batch: int
    zoom: float
    rate: float
    encoder_rate: float
    frozen: int
    weight_decay: float
    average: float
    vivid: float
    chroma: float
    fill: float
    aged: float
    film: float
    seed: int
    steps: int
    decay: float
    warm_up: int
    workers: int
    device: str

    def fixed(self) -> dict[str, Any]:
        """Return the options that a continued training can't change."""
        return dict(list(asdict(self).items())[:-5])

    @property
    def fall(self) -> int:
        """Return the step at which the learning rate begins to fall."""
        return round(self.steps * (1 - self.decay))

    def scale(self, step: int) -> float:
        """Return the factor of the learning rates in a step."""
        rise = min(1.0, (step + 1) / self.warm_up)
        return rise if step < self.fall else max(0.0, rise * (self.steps - step) / max(1, self.steps - self.fall))


@click.command("train-color")
@click.argument("pack", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the training.")
@click.option(
    "--encoder", type=click.Path(exists=True, path_type=Path), help="Initial weights of the encoder, safetensors."
)
@click.option("--minutes", default=math.inf, help="Stop after this many minutes; the same command continues.")
@click.option("--every", default=1000, show_default=True, help="Steps between two measurements.")
@click.option("--keep", default=10000, show_default=True, help="Steps between two weight files.")
@click.option("--backbone", default="tf_efficientnet_lite0", show_default=True)
@click.option("--width", default=32, show_default=True)
@click.option("--size", default=128, show_default=True, help="Side of the crops in pixels, a multiple of 32.")
@click.option("--batch", default=16, show_default=True)
@click.option("--zoom", default=1.6, show_default=True, help="Largest zoom of a random crop.")
@click.option("--rate", default=1e-3, show_default=True, help="Learning rate of the decoder.")
@click.option("--encoder-rate", default=3e-4, show_default=True)
@click.option(
    "--frozen", default=0, show_default=True, help="Number of encoder stages, from the stem, that are not trained."
)
@click.option("--weight-decay", default=0.05, show_default=True)
@click.option("--average", default=0.999, show_default=True, help="Decay of the running average of the weights.")
@click.option(
    "--vivid", default=2.0, show_default=True, help="Additional weight of a vivid pixel; a gray pixel has weight 1."
)
@click.option("--chroma", default=20.0, show_default=True, help="Weight of the distance between mean and true colour.")
@click.option("--fill", default=0.4, show_default=True, help="Share of photographs with a filled shape.")
@click.option("--aged", default=0.4, show_default=True, help="Share of photographs that look like old prints.")
@click.option("--film", default=0.15, show_default=True, help="Share of photographs with another film's tones.")
@click.option("--seed", default=0, show_default=True)
@click.option("--steps", default=1000, show_default=True, help="Steps of the training, all sessions together.")
@click.option("--decay", default=0.25, show_default=True, help="Part of the steps in which the learning rate falls.")
@click.option("--warm-up", default=200, show_default=True, help="Steps in which the learning rate rises.")
@click.option("--workers", default=0, show_default=True, help="Threads that prepare batches.")
@click.option("--device", default="cpu", show_default=True)
def command(pack: Path, out: Path, encoder: Path | None, minutes: float, every: int, keep: int, **options: Any) -> None:
    """Train on PACK, a file of `color-pack`, and write weights and figures to a folder."""
    settings = Settings(**options)
    packs = color_pack.read(pack)
    out.mkdir(parents=True, exist_ok=True)
    training = Training(settings, packs, out, encoder)
    training.resume()
    training.run(minutes, every, keep)


class Training:
    """The state, the photographs and the folder of a training."""

    def __init__(self, settings: Settings, packs: Any, out: Path, weights: Path | None) -> None:
        """Build the network, the optimizer and the batches."""
        torch.manual_seed(settings.seed)
        self.settings, self.out, self.device = settings, out, torch.device(settings.device)
        params = LumaUNetParams(
            backbone=settings.backbone, width=settings.width, fills=False, weights=weights and str(weights)
        )
        network = build_luma_unet(params).to(self.device, memory_format=torch.channels_last)
        self.frozen = stages(network.encoder, settings.frozen)
        for stage in self.frozen:
            stage.requires_grad_(False)
        encoder = [parameter for parameter in network.encoder.parameters() if parameter.requires_grad]
        decoder = [parameter for name, parameter in network.named_parameters() if not name.startswith("encoder.")]
        groups = [{"params": encoder, "base": settings.encoder_rate}, {"params": decoder, "base": settings.rate}]
        optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        average = copy.deepcopy(network).requires_grad_(False)
        self.state = State(network=network, average=average, optimizer=optimizer, facts=settings.fixed())
        self.centres = centres().to(self.device)
        self.batches = Batches(
            packs["train"],
            batch=settings.batch,
            size=settings.size,
            zoom=settings.zoom,
            degradations=(imperfect_fill(settings.fill), scan(settings.aged, settings.film)),
            seed=settings.seed,
        )
        self.development = Development(packs["development"], settings.size)

    def resume(self) -> None:
        """Load the last state; if the learning rate now falls later than before, load the state before its fall."""
        for name in (NOW, STABLE):
            if (self.out / name).is_file():
                color_state.load(self.out / name, self.state)
                if self.state.fell in (None, self.settings.fall) or name == STABLE:
                    click.echo(f"continue from step {self.state.step}")
                    return

    def run(self, minutes: float, every: int, keep: int) -> None:
        """Train until all steps are done or the time is over, and write the weights."""
        started = saved = time.monotonic()
        earlier, losses, settings = self.state.seconds, [], self.settings
        for gray, truth in self.batches.from_step(self.state.step, settings.workers):
            now = time.monotonic()
            self.state.seconds = earlier + now - started
            is_over = self.state.step >= settings.steps or now - started > 60 * minutes
            if self.state.step >= settings.fall and self.state.fell is None:
                color_state.save(self.out / STABLE, self.state)
                self.state.fell = settings.fall
            if is_over or now - saved > 600:
                color_state.save(self.out / NOW, self.state)
                saved = now
            if is_over:
                break
            losses.append(self.step(gray, truth))
            if self.state.step % every == 0:
                self.measure(float(np.mean(losses)))
                losses = []
            if self.state.step % keep == 0:
                self.write(self.out / f"step-{self.state.step}.safetensors")
        self.measure(float(np.mean(losses)) if losses else None)
        self.write(self.out / WEIGHTS)

    def step(self, gray: Tensor, truth: Tensor) -> float:
        """Do one optimizer step and return the loss of the classes."""
        state, settings = self.state, self.settings
        for group in state.optimizer.param_groups:
            group["lr"] = group["base"] * settings.scale(state.step)
        state.network.train()
        for stage in self.frozen:
            stage.eval()
        luma = (gray.to(self.device).float() / 255).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = state.network.decode(luma, torch.zeros_like(luma))[0]
        # The loss of every other column takes half the time; neighbouring pixels are similar.
        columns = slice(state.step % 2, None, 2)
        target = quarter_chroma(truth.to(self.device))[..., columns]
        classes, distance = objective(logits[..., columns].float(), target, settings.vivid, self.centres)
        state.optimizer.zero_grad(set_to_none=True)
        (classes + settings.chroma * distance).backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
        state.optimizer.step()
        state.step += 1
        color_state.follow(state.average, state.network, min(settings.average, (state.step + 1) / (state.step + 10)))
        return float(classes.detach())

    def measure(self, loss: float | None) -> None:
        """Measure the running average on the development set, and append the figures to the file."""
        logits = self.development.logits(self.state.average, self.device)
        chroma = torch.einsum("bkhw,kc->bchw", logits.softmax(1), centres())
        figures = {"divergence": self.development.divergence(logits)} | self.development.figures(chroma)
        row = {"step": self.state.step, "minutes": round(self.state.seconds / 60, 1), "loss": loss, **figures}
        with (self.out / FIGURES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        short = ("divergence", "distance_ratio", "worst_category", "mean_hue_recall", "colorfulness", "median_cast")
        click.echo(f"{row['step']} {row['minutes']} min loss {loss} " + " ".join(f"{n} {row[n]:.4f}" for n in short))

    def write(self, path: Path) -> None:
        """Write the running average as a weight file."""
        settings = self.settings
        table = {"name": "luma-unet", "backbone": settings.backbone, "width": settings.width, "fills": False}
        tree = {
            "keep": "luma",
            "restoring": {"size": settings.size, "fill_with": "average"},
            "generator": table,
            "losses": {"classes": {"name": "color-classes", "on": "classes", "vivid": settings.vivid}},
        }
        header = WeightsHeader(recipe=recipe.dump(tree), recipe_name="luma", step=self.state.step)
        weight_file.write_weights(path, self.state.average.state_dict(), header)


def stages(encoder: nn.Module, count: int) -> list[nn.Module]:
    """Return the stem, its norm and the first `count` - 1 stages of an EfficientNet of timm; nothing for 0."""
    return [encoder.conv_stem, encoder.bn1, *encoder.blocks[: count - 1]] if count else []


def objective(logits: Tensor, chroma: Tensor, vivid: float, class_centres: Tensor) -> tuple[Tensor, Tensor]:
    """Return two losses of the logits (B, COUNT, h, w) for the true colours (B, 2, h, w).

    The first is the mean of w KL(t || p), as in the loss `color-classes`. The second is the mean distance in the plane
    of Cb and Cr between the mean colour of the classes and the true colour.
    """
    target = shares(chroma)
    weight = 1 + vivid * (chroma.square().sum(1).sqrt() / 0.1).clamp_max(1)
    log_probabilities = logits.log_softmax(1)
    divergence = (target * (target.clamp_min(1e-8).log() - log_probabilities)).sum(1)
    mean = torch.einsum("bkhw,kc->bchw", log_probabilities.exp(), class_centres)
    return (weight / weight.mean() * divergence).mean(), (mean - chroma).square().sum(1).add(1e-6).sqrt().mean()
