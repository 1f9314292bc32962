"""What moves the weights: options as the recipe sets them, state and place as the checkpoint has them. Some 5 s."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save

from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import UsageError
from toolbox.hooks import catalog
from toolbox.models import weight_file
from toolbox.training import optimizer_state, state

TINY = ["generator.width=4", "generator.levels=2", "discriminator.width=4", "generator.optimizer.lr=1e-3"]
COSINE = ["generator.schedule.name=cosine", "generator.schedule.final=0.1", "training.epochs=10"]
STEP = ["generator.schedule.name=step", "generator.schedule.every=2", "generator.schedule.factor=0.1"]


@pytest.fixture(scope="module")
def loaded():
    return catalog.load(third_party=False)


def side(loaded, *settings, epochs=0):
    """Build a generator's side and take it through epochs of a step, with gradients of its own."""
    plan = bind(read("default", lambda name: loaded.recipe(name).path, [*TINY, *settings]), loaded)
    built = state.build_state(plan, make_accelerator("cpu")).generator
    for epoch in range(epochs):
        draw = torch.Generator().manual_seed(epoch)
        for weight in built.network.parameters():
            weight.grad = torch.rand(weight.shape, generator=draw)
        built.optimizer.step()
        built.schedule.step()
    return built


@pytest.mark.parametrize("settings", [COSINE, STEP, []], ids=["cosine", "step", "the recipe's"])
@pytest.mark.parametrize("epochs", [0, 1, 7, 13])
def test_what_is_loaded_unchanged_is_what_was_saved_to_the_bit(loaded, settings, epochs):
    saved, fresh = side(loaded, *settings, epochs=epochs), side(loaded, *settings)
    tensors, rest = optimizer_state.split_state(saved)
    # On a side that has gone on as well as on a new one.
    for built in (fresh, side(loaded, *settings, epochs=3)):
        optimizer_state.load_optimizer_state(built, tensors, rest)
        again, other = optimizer_state.split_state(built)
        assert other == rest
        assert again.keys() == tensors.keys() and all(torch.equal(again[name], tensors[name]) for name in again)


FALLEN = (1 + math.cos(math.pi * 0.7)) / 2


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (COSINE, [*COSINE, "generator.optimizer.lr=2e-3"], 2e-3 * (0.1 + 0.9 * FALLEN)),
        (COSINE, [*COSINE, "training.epochs=20"], 1e-3 * (0.1 + 0.9 * (1 + math.cos(math.pi * 0.35)) / 2)),
        (COSINE, [*COSINE, "generator.schedule.final=0.5"], 1e-3 * (0.5 + 0.5 * FALLEN)),
        (COSINE, STEP, 1e-3 * 0.1**3),
        (STEP, [*STEP, "generator.schedule.every=3"], 1e-3 * 0.1**2),
        (STEP, [*STEP, "generator.schedule.factor=0.5"], 1e-3 * 0.5**3),
        (STEP, COSINE, 1e-3 * (0.1 + 0.9 * FALLEN)),
    ],
)
def test_a_changed_setting_counts_from_the_same_place_on(loaded, before, now, expected):
    built = side(loaded, *now)
    optimizer_state.load_optimizer_state(built, *optimizer_state.split_state(side(loaded, *before, epochs=7)))
    (group,) = built.optimizer.param_groups
    assert group["lr"] == pytest.approx(expected, rel=1e-9)
    assert built.schedule.last_epoch == 7 and built.schedule.get_last_lr() == [group["lr"]]


def test_other_options_are_the_recipes_and_the_state_is_the_checkpoints(loaded):
    before = side(loaded, epochs=2)
    built = side(loaded, "generator.optimizer.weight_decay=0.5", "generator.optimizer.betas=[0.8,0.9]")
    tensors, rest = optimizer_state.split_state(before)
    optimizer_state.load_optimizer_state(built, tensors, rest)
    (group,) = built.optimizer.param_groups
    assert group["weight_decay"] == 0.5 and tuple(group["betas"]) == (0.8, 0.9)
    again, _ = optimizer_state.split_state(built)
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_an_optimizer_that_remembers_other_things_is_refused(loaded):
    before = side(loaded, epochs=1)
    with pytest.raises(UsageError, match="optimizer.name"):
        optimizer_state.load_optimizer_state(
            side(loaded, "generator.optimizer.name=sgd"), *optimizer_state.split_state(before)
        )


def test_the_state_is_in_one_order_however_a_file_gives_it(loaded, tmp_path):
    # Several processes gather what is spread over them, and are compared, in the order in which each has it.
    path = tmp_path / "state.safetensors"
    tensors, _ = optimizer_state.split_state(side(loaded, epochs=1))
    path.write_bytes(save({name: value.contiguous() for name, value in tensors.items()}))
    names = list(weight_file.read_tensors(path))
    assert len(names) > 8 and names == sorted(names)
