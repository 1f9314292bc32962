"""Optimizers and schedules after loading: the recipe's options, the checkpoint's state and epoch. Some 5 s."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save
from torch import nn

from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import UsageError
from toolbox.hooks import catalog
from toolbox.models import weight_file
from toolbox.models.optimizers import load_optimizer, split_optimizer
from toolbox.training import optimizer_state, state

TINY = ["generator.width=4", "generator.levels=2", "discriminator.width=4", "generator.optimizer.lr=1e-3"]
COSINE = ["generator.schedule.name=cosine", "generator.schedule.final=0.1", "training.epochs=10"]
STEP = ["generator.schedule.name=step", "generator.schedule.every=2", "generator.schedule.factor=0.1"]


@pytest.fixture(scope="module")
def loaded():
    return catalog.load(third_party=False)


def train(loaded, *settings, epochs=0):
    """Build a generator with its optimizer, and take one step with random gradients in each of `epochs` epochs."""
    plan = bind(read("default", lambda name: loaded.recipe(name).path, [*TINY, *settings]), loaded)
    trained = state.build_state(plan, make_accelerator("cpu")).generator
    for epoch in range(epochs):
        draw = torch.Generator().manual_seed(epoch)
        for weight in trained.network.parameters():
            weight.grad = torch.rand(weight.shape, generator=draw)
        trained.optimizer.step()
        trained.schedule.step()
    return trained


def after(epochs):
    """Return the counts of epochs and steps of a run that `train` has trained."""
    return {"epoch": epochs, "step": epochs}


@pytest.mark.parametrize("settings", [COSINE, STEP, []], ids=["cosine", "step", "the recipe's"])
@pytest.mark.parametrize("epochs", [0, 1, 7, 13])
def test_loading_restores_the_saved_state_to_the_bit(loaded, settings, epochs):
    saved, new = train(loaded, *settings, epochs=epochs), train(loaded, *settings)
    tensors, rest = optimizer_state.split_state(saved)
    optimizer_state.load_optimizer_state(new, tensors, rest, after(epochs))
    loaded_tensors, loaded_rest = optimizer_state.split_state(new)
    assert loaded_rest == rest and new.schedule.state_dict() == saved.schedule.state_dict()
    assert loaded_tensors.keys() == tensors.keys()
    assert all(torch.equal(loaded_tensors[name], tensors[name]) for name in tensors)


COSINE_AT_7 = (1 + math.cos(math.pi * 0.7)) / 2


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (COSINE, [*COSINE, "generator.optimizer.lr=2e-3"], 2e-3 * (0.1 + 0.9 * COSINE_AT_7)),
        (COSINE, [*COSINE, "training.epochs=20"], 1e-3 * (0.1 + 0.9 * (1 + math.cos(math.pi * 0.35)) / 2)),
        (COSINE, [*COSINE, "generator.schedule.final=0.5"], 1e-3 * (0.5 + 0.5 * COSINE_AT_7)),
        (COSINE, STEP, 1e-3 * 0.1**3),
        (STEP, [*STEP, "generator.schedule.every=3"], 1e-3 * 0.1**2),
        (STEP, [*STEP, "generator.schedule.factor=0.5"], 1e-3 * 0.5**3),
        (STEP, COSINE, 1e-3 * (0.1 + 0.9 * COSINE_AT_7)),
    ],
)
def test_a_changed_setting_applies_from_the_saved_epoch_on(loaded, before, now, expected):
    trained = train(loaded, *now)
    saved = optimizer_state.split_state(train(loaded, *before, epochs=7))
    optimizer_state.load_optimizer_state(trained, *saved, after(7))
    (group,) = trained.optimizer.param_groups
    assert group["lr"] == pytest.approx(expected, rel=1e-9)
    assert trained.schedule.last_epoch == 7 and trained.schedule.get_last_lr() == [group["lr"]]


def test_options_come_from_the_recipe_and_the_state_from_the_checkpoint(loaded):
    before = train(loaded, epochs=2)
    trained = train(loaded, "generator.optimizer.weight_decay=0.5", "generator.optimizer.betas=[0.8,0.9]")
    tensors, rest = optimizer_state.split_state(before)
    optimizer_state.load_optimizer_state(trained, tensors, rest, after(2))
    (group,) = trained.optimizer.param_groups
    assert group["weight_decay"] == 0.5 and tuple(group["betas"]) == (0.8, 0.9)
    loaded_tensors, _ = optimizer_state.split_state(trained)
    assert all(torch.equal(loaded_tensors[name], tensors[name]) for name in tensors)


def test_the_state_of_another_kind_of_optimizer_is_refused(loaded):
    before = train(loaded, epochs=1)
    with pytest.raises(UsageError, match=r"doesn't match this optimizer .*Set generator\.optimizer\.name back"):
        optimizer_state.load_optimizer_state(
            train(loaded, "generator.optimizer.name=sgd"), *optimizer_state.split_state(before), after(1)
        )


def test_the_tensors_of_a_file_have_the_same_order_in_every_process(loaded, tmp_path):
    # Several processes gather sharded tensors, and compare replicated ones, in the order that each has them in.
    path = tmp_path / "state.safetensors"
    tensors, _ = optimizer_state.split_state(train(loaded, epochs=1))
    path.write_bytes(save({name: value.contiguous() for name, value in tensors.items()}))
    names = list(weight_file.read_tensors(path))
    assert len(names) > 8 and names == sorted(names)


def test_text_in_the_state_of_an_optimizer_is_the_same_after_loading():
    """It became the text of a generator object, so that a resumed run trained differently without a word."""
    weights = [nn.Parameter(torch.ones(2, 3))]
    values = {"rule": "muon", "steps": 3, "is_ready": True, "mean": torch.rand(2, 3)}
    first, second = (torch.optim.SGD(weights, lr=0.1) for _ in range(2))
    first.state[weights[0]].update(values)
    load_optimizer(second, *split_optimizer(first))
    loaded = second.state[weights[0]]
    assert torch.equal(loaded.pop("mean"), values.pop("mean")) and loaded == values
