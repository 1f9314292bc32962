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


# A discriminator without a norm: one that looks across the samples sees another batch in each part.
PLAIN = ["discriminator.name=patchgan", "discriminator.width=4", "discriminator.norm=none"]


def build(*settings):
    loaded = catalog.load(third_party=False)
    plan = bind(read("default", lambda name: loaded.recipe(name).path, [*SMALL, *PLAIN, *settings]), loaded)
    accelerator = make_accelerator("cpu", "fp64")
    return state.build_state(plan, accelerator, torch.float64), accelerator


def batch(count):
    draw = torch.Generator().manual_seed(0)
    image, truth = torch.rand((2, count, 3, 32, 32), generator=draw, dtype=torch.float64)
    return Batch(image=image, mask=torch.zeros_like(image[:, :1]), truth=truth, names=tuple("abcdefgh"[:count]))


SPOILED = ["input", "loss.mse", "loss.lsgan", "loss.ssim", "penalty.gradient", "gradient g", "gradient d"]


def spoil(where, value, built, given, monkeypatch):
    """Have a value that is not finite come up in a step on `given`."""
    if where == "input":
        given.image[1, 0, 3, 3] = value
    elif where.startswith("gradient "):
        side = built.sides()["generator" if where.endswith("g") else "discriminator"]
        next(side.network.parameters()).register_hook(lambda gradient: gradient * value)
    elif where.startswith("penalty"):
        (penalty,) = built.penalties
        real = penalty.call
        object.__setattr__(penalty, "call", lambda judgement: real(judgement) * value)
    else:
        (loss,) = [one for one in built.losses if f"loss.{one.label}" == where]
        real = loss.call
        if loss.adversarial:
            monkeypatch.setattr(type(real), "generator", lambda self, *maps: maps[0][0].mean() * value)
        else:
            object.__setattr__(loss, "call", lambda *pictures: real(*pictures) * value)
