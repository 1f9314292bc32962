"""Train the colour network on a pack of photographs within a time limit; the same command continues it.

    python -m benchmarks train-color PACK --out DIR --encoder FILE.safetensors --minutes 9 --device cuda

A network that is trained on few photographs overfits early. So the training has three stages:

- `teacher-0`, `teacher-1`, …: networks with different regularisation, each trained for a short time;
- `student`: a network that learns the mean of the teachers' predictions, and partly the true colours. It can be trained
  for longer, because the predictions contain more than the photographs alone (Beyer et al., "Knowledge distillation: A
  good teacher is patient and consistent", CVPR 2022);
- `score`: from the student, with a frozen encoder, for the competition's C.

The photographs, the crops and the augmentations are on the device. `DIR` gets the weights of each stage, a JSON line of
figures for each measurement, and the state.
"""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from benchmarks import color_pack
from benchmarks.common import color_networks, color_state
from benchmarks.common.batch_random import BatchRandom
from benchmarks.common.color_networks import logits
from benchmarks.common.color_objectives import color_loss, score_loss, taught_colors, true_colors
from benchmarks.common.color_samples import Development
from benchmarks.common.color_stages import SCORE_SHARES, Settings, Stage, plan
from benchmarks.common.color_state import State
from benchmarks.common.photo_store import PhotoStore
from benchmarks.common.same_options import require_same_options
from benchmarks.common.scan_batch import degrade
from benchmarks.common.schedule import rate_factor
from toolbox.config import recipe
from toolbox.models import weight_file
from toolbox.models.weight_file import WeightsHeader
from toolbox.training.running_average import running_average
from toolbox.utils import files

FIGURES, STATE, OPTIONS = "figures.jsonl", "state.safetensors", "options.json"
WARM_UP = 80  # steps


@click.command("train-color")
@click.argument("pack", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the training.")
@click.option(
    "--encoder", type=click.Path(exists=True, path_type=Path), help="Initial weights of the encoder, safetensors."
)
@click.option(
    "--student",
    type=click.Path(exists=True, path_type=Path),
    help="Weights to start from; then only the stage `score` is done.",
)
@click.option("--minutes", default=9.0, show_default=True, help="Time of the whole training.")
@click.option(
    "--steps", type=click.IntRange(0), default=0, help="Length of the whole training in steps, in place of --minutes."
)
@click.option("--stop-after", default=math.inf, help="Stop after this many minutes; the same command continues.")
@click.option("--every", default=100.0, show_default=True, help="Seconds between two measurements.")
@click.option("--backbone", default="tf_efficientnet_lite2", show_default=True)
@click.option("--width", type=click.IntRange(1), default=32, show_default=True)
@click.option(
    "--size",
    type=click.IntRange(1),
    default=192,
    show_default=True,
    help="Side of the crops in pixels, a multiple of 32.",
)
@click.option(
    "--side",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Short side of the photographs in memory, in pixels.",
)
@click.option("--batch", type=click.IntRange(1), default=96, show_default=True)
@click.option("--zoom", default=1.7, show_default=True, help="Largest zoom of a random crop.")
@click.option("--rate", default=1.5e-3, show_default=True, help="Learning rate of the decoder.")
@click.option("--encoder-rate", default=4e-4, show_default=True)
@click.option("--weight-decay", default=0.05, show_default=True)
@click.option("--average", default=0.999, show_default=True, help="Decay of the running average of the weights.")
@click.option(
    "--vivid", default=2.0, show_default=True, help="Additional weight of a vivid pixel; a gray pixel has weight 1."
)
@click.option("--chroma", default=4.0, show_default=True, help="Weight of the distance between mean and true colour.")
@click.option("--fill", default=0.4, show_default=True, help="Share of photographs with a filled shape.")
@click.option("--aged", default=0.45, show_default=True, help="Share of photographs that look like old prints.")
@click.option("--film", default=0.15, show_default=True, help="Share of photographs with another film's tones.")
@click.option("--teachers", type=click.IntRange(1), default=5, show_default=True, help="Number of teachers.")
@click.option("--truth", default=0.3, show_default=True, help="Weight of the true colours in the student's loss.")
@click.option(
    "--mixing", default=0.25, show_default=True, help="Share of the student's pictures that are a mixture of two."
)
@click.option("--seed", default=18, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def command(
    pack: Path, out: Path, encoder: Path | None, student: Path | None, stop_after: float, every: float, **options: Any
) -> None:
    """Train on PACK, a file of `color-pack`, and write weights and figures to a folder."""
    deadline = time.monotonic() + 60 * stop_after
    out.mkdir(parents=True, exist_ok=True)
    settings = Settings(**options)
    require_options_of(out, settings, {"PACK": pack, "--encoder": encoder, "--student": student})
    training = Training(settings, color_pack.read(pack), out, encoder)
    if student is not None:
        training.take_student(student)
    for stage in plan(training.settings, only_score=student is not None):
        if not training.finish(stage, deadline, every):
            click.echo(f"stopped in {stage.name}; the same command continues")
            return


def require_options_of(out: Path, settings: Settings, inputs: dict[str, Path | None]) -> None:
    """Write the options to the folder of a new training; UsageError if it has files of a training with other ones."""
    options: dict[str, Any] = {f"--{name.replace('_', '-')}": value for name, value in settings.fixed().items()}
    options |= {f"{name} (SHA-256)": files.sha256(path) if path else "none" for name, path in inputs.items()}
    path = out / OPTIONS
    if path.is_file():
        require_same_options(out, json.loads(path.read_text("utf-8")), options)
    elif any(out.glob("*.safetensors")):
        raise click.UsageError(f"{out} has weights of a training without {OPTIONS}; use another --out")
    else:
        files.write_json(path, options)


class Training:
    """The photographs, the finished networks and the folder of a training."""

    def __init__(self, settings: Settings, packs: Any, out: Path, encoder: Path | None) -> None:
        """Bring the photographs to the device."""
        self.settings, self.out, self.encoder = settings, out, encoder
        self.device = torch.device(settings.device)
        torch.manual_seed(settings.seed)
        torch.backends.cudnn.benchmark = self.device.type == "cuda"
        torch.set_float32_matmul_precision("high")
        self.store = PhotoStore(packs["train"].photos, settings.side, self.device, settings.seed)
        self.development = Development(packs["development"], settings.size)
        self.teachers: list[nn.Module] = []
        self.student: nn.Module | None = None

    def take_student(self, path: Path) -> None:
        """Take the network of the stage `student` from a weight file."""
        network = color_networks.build(self.settings.backbone, self.settings.width, None)
        weight_file.load_weights(path, network)
        self.student = network.eval().requires_grad_(False)

    def finish(self, stage: Stage, deadline: float, every: float) -> bool:
        """Do a stage, or load what it wrote; return False if the time was over before its end."""
        path = self.out / f"{stage.name}.safetensors"
        if path.is_file():
            network = self.build(stage, None)
            weight_file.load_weights(path, network)
        else:
            state = self.start(stage)
            if not self.run(stage, state, deadline, every):
                return False
            network = state.average.module
            self.write(stage, network, state.step)
        network.eval().requires_grad_(False)
        if stage.name == "student":
            self.student = network
        elif stage.name != "score":
            self.teachers.append(network)
        return True

    def build(self, stage: Stage, encoder: Path | None) -> nn.Module:
        """Build the network of a stage, with initial weights of the encoder or with random ones."""
        settings = self.settings
        network = color_networks.build(
            settings.backbone,
            settings.width,
            encoder,
            frozen=stage.frozen,
            drop_path=stage.drop_path,
            dropout=stage.dropout,
        )
        return network.to(self.device, memory_format=torch.channels_last)

    def best_teacher(self) -> nn.Module:
        """Return the teacher with the smallest divergence on the development set."""
        return min(self.teachers, key=lambda teacher: self.development.measure([teacher], self.device)["divergence"])

    def start(self, stage: Stage) -> State:
        """Return the saved state of a stage, or the initial one: of ImageNet, the best teacher, or the student."""
        is_teacher, settings = stage.name.startswith("teacher"), self.settings
        network = self.build(stage, self.encoder if is_teacher else None)
        groups: list[dict[str, Any]] = []
        for is_encoder, rate in ((True, settings.encoder_rate), (False, settings.rate)):
            trained = [
                parameter
                for name, parameter in network.named_parameters()
                if parameter.requires_grad and name.startswith("encoder.") == is_encoder
            ]
            groups += [{"params": trained, "base": rate * stage.rates}] if trained else []
        is_fused = self.device.type == "cuda"
        optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=is_fused)
        is_saved = color_state.stage_of(self.out / STATE) == stage.name
        source = None if is_teacher or is_saved else self.best_teacher() if stage.name == "student" else self.student
        if source is not None:
            network.load_state_dict(source.state_dict())
        average = running_average(network, settings.average)
        state = State(network=network, average=average, optimizer=optimizer, stage=stage.name)
        if is_saved:
            color_state.load(self.out / STATE, state)
            click.echo(f"continue {stage.name} from step {state.step}")
        return state

    def run(self, stage: Stage, state: State, deadline: float, every: float) -> bool:
        """Train until the time of the stage is over; save the state and return False if the deadline is earlier."""
        start, earlier, measured = time.monotonic(), state.seconds, time.monotonic()
        losses: list[Tensor] = []
        while self.done(state) < stage.length:
            losses.append(self.step(stage, state))
            now = time.monotonic()
            state.seconds = earlier + now - start
            is_over, is_due = now > deadline, now - measured > every
            if is_due:
                self.report(state, losses)
                measured, losses = time.monotonic(), []
            if is_over or is_due:
                color_state.save(self.out / STATE, state)
            if is_over:
                return False
        self.report(state, losses)
        return True

    def done(self, state: State) -> float:
        """Return how much of a stage is done, in the unit of its length."""
        return state.step if self.settings.steps else state.seconds

    def step(self, stage: Stage, state: State) -> Tensor:
        """Do one optimizer step and return the loss."""
        scale = rate_factor(state.step, self.done(state) / stage.length, WARM_UP)
        for group in state.optimizer.param_groups:
            group["lr"] = group["base"] * scale
        color_networks.train_mode(state.network, stage.frozen)
        loss = self.objective(stage, state)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
        state.optimizer.step()
        state.step += 1
        state.average.update_parameters(state.network)
        return loss.detach()

    def objective(self, stage: Stage, state: State) -> Tensor:
        """Return the loss of the next batch of a stage."""
        settings = self.settings
        random = BatchRandom.seeded(settings.batch, self.device, settings.seed + 1000 * stage.number, state.step)
        index = self.store.indices(state.step, settings.batch)
        is_score, is_student = stage.name == "score", stage.name == "student"
        zoom, turned, shares = (1.3, 0.0, SCORE_SHARES) if is_score else (settings.zoom, 0.5, settings.shares)
        crops = self.store.crops(index, settings.size, random, zoom=zoom, turned=turned)
        gray, truth = degrade(crops, shares, random)
        mixed = round(settings.batch * settings.mixing) if is_student else 0
        if mixed:
            part = random.uniform(0.5, 1)[:mixed]
            gray[:mixed] = torch.lerp(gray[:mixed].roll(1, 0), gray[:mixed], part).round()
        classes, true = logits(state.network, gray), true_colors(truth)
        if is_score:
            return score_loss(classes, true, gray, truth)
        weights = {"vivid": settings.vivid, "chroma": settings.chroma}
        true_loss = color_loss(classes[mixed:], true.part(mixed), **weights)
        if not is_student:
            return true_loss
        teacher_loss = color_loss(classes, taught_colors(self.teachers, gray), **weights)
        return torch.lerp(teacher_loss, true_loss, settings.truth)

    def report(self, state: State, losses: list[Tensor]) -> None:
        """Measure the running average on the development set, and append the figures to the file."""
        loss = float(torch.stack(losses).mean()) if losses else math.nan
        row = {"stage": state.stage, "step": state.step, "seconds": round(state.seconds), "loss": loss}
        row |= self.development.measure([state.average.module], self.device)
        with (self.out / FIGURES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        short = ("loss", "divergence", "distance_ratio", "worst_category", "mean_hue_recall", "cast", "hue_correlation")
        click.echo(f"{state.stage} {state.step} {row['seconds']} s " + " ".join(f"{n} {row[n]:.4f}" for n in short))

    def write(self, stage: Stage, network: nn.Module, step: int) -> None:
        """Write a network as a weight file, in half precision."""
        settings = self.settings
        table = {"name": "luma-unet", "backbone": settings.backbone, "width": settings.width, "fills": False}
        tree = {
            "keep": "luma",
            "restoring": {"size": settings.size, "fill_with": "average"},
            "generator": table,
            "losses": {"classes": {"name": "color-classes", "on": "classes", "vivid": settings.vivid}},
        }
        header = WeightsHeader(recipe=recipe.dump(tree), recipe_name="luma", step=step)
        halved = copy.deepcopy(network).half()
        weight_file.write_weights(self.out / f"{stage.name}.safetensors", halved.state_dict(), header)
