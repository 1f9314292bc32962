"""Tiny train states and batches for tests of the training step."""

from __future__ import annotations

import torch

from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import make_accelerator
from toolbox.hooks import catalog
from toolbox.training import state

SMALL = ["generator.width=4", "generator.levels=3", "training.precision=fp64"]

# A discriminator without a norm: one with a norm over the batch sees another batch in each micro-batch.
PLAIN = ["discriminator.name=patchgan", "discriminator.width=4", "discriminator.norm=none"]

# Where `make_not_finite` puts a value that is not finite.
LOCATIONS = ["input", "loss.mse", "loss.lsgan", "loss.ssim", "penalty.gradient", "gradient g", "gradient d"]


def build(*settings):
    """Return the train state of a small default recipe with `settings`, and its accelerator."""
    loaded = catalog.load(third_party=False)
    plan = bind(read("default", lambda name: loaded.recipe(name).path, [*SMALL, *PLAIN, *settings]), loaded)
    accelerator = make_accelerator("cpu", "fp64")
    return state.build_state(plan, accelerator, torch.float64), accelerator


def make_batch(count):
    """Return a batch of `count` random pictures, the same ones each time."""
    draw = torch.Generator().manual_seed(0)
    image, truth = torch.rand((2, count, 3, 32, 32), generator=draw, dtype=torch.float64)
    return Batch(image=image, mask=torch.zeros_like(image[:, :1]), truth=truth, names=tuple("abcdefgh"[:count]))


def make_not_finite(location, value, built, batch, monkeypatch):
    """Make a step on `batch` meet `value`, which is not finite, at one of `LOCATIONS`."""
    if location == "input":
        batch.image[1, 0, 3, 3] = value
    elif location.startswith("gradient "):
        trained = built.networks()["generator" if location.endswith("g") else "discriminator"]
        next(trained.network.parameters()).register_hook(lambda gradient: gradient * value)
    elif location.startswith("penalty"):
        (penalty,) = built.penalties
        original = penalty.call
        object.__setattr__(penalty, "call", lambda context: original(context) * value)
    else:
        (loss,) = [loss for loss in built.losses if f"loss.{loss.label}" == location]
        original = loss.call
        if loss.adversarial:
            monkeypatch.setattr(type(original), "generator", lambda self, *maps: maps[0][0].mean() * value)
        else:
            object.__setattr__(loss, "call", lambda *pictures: original(*pictures) * value)
