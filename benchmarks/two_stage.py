"""A training step of the `two-stage` parts in our loop against a plain Lightning loop with its defaults, in turn.

The parts are those of the code share: two U-Nets over ResNet-34, without pretrained weights, MSE on the gray and on the
colours, AdamW. Lightning has the same weights and the same pairs in the same order, which both read from disk.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset

from benchmarks import _measure, _work
from benchmarks._published import build_as_run
from benchmarks.loader import PHOTOS, cache_in, make_pairs
from toolbox.color import luma
from toolbox.config.binding import bind
from toolbox.config.plan import Plan
from toolbox.config.recipe import read
from toolbox.data import sample
from toolbox.data.batch import Batch
from toolbox.data.loader import Samples, Stream, iterate_batches, shuffled_batches
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog
from toolbox.training import run, state, step

RECIPE = """
[data]
size = {size}
[training]
batch = {batch}
precision = "{precision}"
[generator]
name = "two-stage"
[generator.optimizer]
name = "adamw"
lr = 1e-4
weight_decay = 0.01
[generator.gray]
name = "smp-unet"
encoder = "resnet34"
mask_input = true
[generator.color]
name = "smp-unet"
encoder = "resnet34"
mask_input = true
[losses.mse]
[losses.gray]
name = "mse"
on = "gray"
"""
WARM_UP = 2  # steps; the optimisers make their state in the first
Pictures = tuple[Tensor, Tensor, Tensor]


class Pairs(Dataset):
    """Pairs with their masks, read from PNG as plain scripts do: what `samples` gives for `keys`, in that order."""

    def __init__(self, folder: Path, samples: Samples, keys: list[list[tuple[int, int]]]) -> None:
        self.folder, self.count = folder, 0
        folder.mkdir()
        for batch in keys:
            for image, mask, truth in zip(*samples.load(batch)[:3], strict=True):
                for name, values in (("image", image[:1]), ("mask", mask.to(torch.uint8) * 255), ("truth", truth)):
                    pixels = values.permute(1, 2, 0).numpy()[..., ::-1]
                    cv2.imwrite(str(folder / f"{self.count}-{name}.png"), pixels)
                self.count += 1

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.count

    def __getitem__(self, index: int) -> Pictures:
        """Return the damaged picture, its mask and the truth, (C, H, W) in [0, 1]."""
        image, truth = (
            cv2.cvtColor(cv2.imread(str(self.folder / f"{index}-{name}.png")), cv2.COLOR_BGR2RGB)
            for name in ("image", "truth")
        )
        mask = cv2.imread(str(self.folder / f"{index}-mask.png"), cv2.IMREAD_GRAYSCALE)[..., None]
        image, mask, truth = (torch.from_numpy(one).permute(2, 0, 1).float() / 255 for one in (image, mask, truth))
        return image, mask, truth


def planned(folder: Path, size: int, batch: int, precision: str) -> Plan:
    """Return the plan of the parts as they are compared."""
    path = folder / "parts.toml"
    path.write_text(RECIPE.format(size=size, batch=batch, precision=precision), "utf-8")
    loaded = catalog.load(third_party=False)
    return bind(read(str(path), lambda known: loaded.recipe(known).path), loaded)


def loss(network: nn.Module, image: Tensor, mask: Tensor, truth: Tensor) -> Tensor:
    """Return the loss as one writes it by hand."""
    restored, outputs = network(image, mask)
    return mse_loss(restored, truth) + mse_loss(outputs["gray"], luma(truth))


def fit(network: nn.Module, loader: DataLoader, steps: int, device: torch.device, after: Callable[..., None]) -> None:
    """Fit by Lightning with its defaults; `after` is told each step's loss when the step has been launched."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Pictures, index: int) -> Tensor:
            return loss(self.network, *batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-4, weight_decay=0.01)

        def on_train_batch_end(self, outputs: dict[str, Tensor], batch: Pictures, index: int) -> None:
            after(outputs["loss"])

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on what it would rather have: more workers, a logger
        trainer = lightning.Trainer(
            max_steps=steps,
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(), loader)


def pieces(built: state.TrainState, batch: Batch, rounds: int) -> dict[str, Any]:
    """Return what differs between the two, piece by piece on the same weights and batch, in turn; seconds."""
    ours = built.generator.network
    plain = copy.deepcopy(ours).to(memory_format=torch.contiguous_format)
    given = [one.contiguous() for one in (batch.image, batch.mask, batch.truth)]
    optimizers = {}
    for name, network, fused in (("ours", ours, {"fused": True}), ("plain", plain, {})):
        optimizers[name] = torch.optim.AdamW(network.parameters(), lr=1e-4, **fused)

    def both_ways(network: nn.Module, pictures: Sequence[Tensor]) -> Callable[[], None]:
        def once() -> None:
            loss(network, *pictures).backward()
            _work.wait(batch.image.device)

        return once

    def moved(name: str) -> Callable[[], None]:
        def once() -> None:
            optimizers[name].step()
            _work.wait(batch.image.device)

        return once

    networks = {"ours": both_ways(ours, (batch.image, batch.mask, batch.truth)), "plain": both_ways(plain, given)}
    found = {
        "channels last": _measure.in_turn(networks, rounds),
        "fused optimiser": _measure.in_turn({name: moved(name) for name in optimizers}, rounds),
    }
    return {name: _measure.summary(times) for name, times in found.items()}


def measure(
    size: int, batch: int, rounds: int, device: str | None, precision: str = "fp32", workers: int = 0
) -> dict[str, Any]:
    """Return the seconds of a step of both loops, data included, and of the pieces they differ in.

    Without Lightning the loop of ours alone is timed, and `not_installed` says so.
    """
    accelerator = make_accelerator(device, precision)
    steps = rounds + WARM_UP
    photos = PHOTOS if PHOTOS.is_dir() else sample.folder() / "photos"
    with tempfile.TemporaryDirectory() as made, cache_in(Path(made) / "cache"):
        plan = planned(Path(made), size, batch, precision)
        items = make_pairs(Path(made), photos, batch * (steps + 1), size)
        samples = Samples(items=items, recipe=run.sample_recipe(plan), stream=Stream.TRAIN)
        keys = shuffled_batches(len(items), 1, batch, plan.settings.seed, epoch=0)
        theirs = Pairs(Path(made) / "png", samples, keys)
        loader = DataLoader(theirs, batch_size=batch)
        built = build_as_run(plan, accelerator)
        layout = state.MEMORY_FORMATS[built.memory_format]
        network = copy.deepcopy(built.generator.network).to(memory_format=torch.contiguous_format)
        batches = iterate_batches(samples, keys, workers, accelerator.device, memory_format=layout)
        records = step.take_steps(built, batches, accelerator, seed=plan.settings.seed, first=0)
        first: dict[str, float] = {}
        clocks = {"seconds": time.perf_counter, "processor": time.process_time}
        times: dict[str, dict[str, list[float]]] = {kind: {"ours": [], "Lightning": []} for kind in clocks}
        since = {}

        def mark(side: str | None) -> None:
            _work.wait(accelerator.device)
            for kind, clock in clocks.items():
                if side is not None and since:
                    times[kind][side].append(clock() - since[kind])
            since.update({kind: clock() for kind, clock in clocks.items()})

        def after(value: Tensor | None) -> None:
            if value is not None:
                mark("Lightning")
                first.setdefault("Lightning", float(value))
                mark(None)
            record = next(records)  # it takes the next step
            mark("ours")
            first.setdefault("ours", record.terms["g"])
            mark(None)

        missing = importlib.util.find_spec("lightning") is None
        mark(None)
        if missing:
            for _ in range(steps):
                after(None)
        else:
            fit(network, loader, steps, accelerator.device, after)
        records.close()
        loading = {
            "ours": lambda: next(iterate_batches(samples, keys, 0, accelerator.device, memory_format=layout)),
            "plain": lambda: next(iter(loader)),
        }
        apart = _measure.summary(_measure.in_turn(loading, rounds))
        given = next(iterate_batches(samples, keys, 0, accelerator.device, memory_format=layout))
    counted = {kind: {side: values[WARM_UP:] for side, values in one.items() if values} for kind, one in times.items()}
    return {
        "size": size,
        "batch": batch,
        "device": str(accelerator.device),
        "precision": precision,
        "workers": workers,
        "not_installed": ["lightning"] if missing else [],
        "first_loss": first,
        **_measure.summary(counted["seconds"]),
        "processor_time": _measure.summary(counted["processor"]),
        "pieces": {**pieces(built, given, rounds), "a batch from disk": apart},
    }


@click.command("two-stage")
@click.option("--size", default=128, show_default=True, help="Side of the pictures in pixels.")
@click.option("--batch", default=8, show_default=True, help="Pictures a step.")
@click.option("--rounds", default=11, show_default=True, help="Steps of each loop, in turn.")
@click.option("--device", help="The device; the best there is if not given.")
@click.option("--precision", default="fp32", show_default=True, help="Of ours; Lightning keeps its default.")
@_measure.quick
@_measure.json_path
def command(
    size: int, batch: int, rounds: int, device: str | None, precision: str, quick: bool, path: Path | None
) -> None:
    """Time a step of the `two-stage` parts in our loop against a plain Lightning loop; print JSON."""
    if quick:
        size, batch, rounds = 64, 4, 1  # smaller, the norms make much of the last digit
    _measure.report(measure(size, batch, rounds, device, precision), path)
