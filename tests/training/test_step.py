"""The loop's own choices: a batch in parts, one look of the discriminator, the compiled generator."""

from __future__ import annotations

import json
import math
from functools import partialmethod
from types import SimpleNamespace

import pytest
import torch
from toolbox_plugins.adversarial.patchgan import PatchGan
from torch import nn
from training_steps import SPOILED, batch, build, spoil

from toolbox.distributed.accelerator import grad_scaler_state, load_grad_scaler_state, step_optimizers
from toolbox.training.step import _note_norms, take_step, take_steps
from toolbox.training.step_metrics import NonFiniteError, discriminator_stats, measure_step, read_record


def steps(*settings, count=4, number=3):
    built, accelerator = build(*settings)
    rows = [
        take_step(built, batch(count), accelerator, number=step, random=torch.Generator().manual_seed(step))
        for step in range(number)
    ]
    weights = torch.cat([weight.flatten() for side in built.sides().values() for weight in side.network.parameters()])
    return [{name: float(value) for name, value in row.items()} for row in rows], weights.detach()


@pytest.mark.parametrize(("count", "accumulate"), [(4, 2), (4, 4), (5, 2), (3, 8)])
def test_a_batch_in_parts_is_the_whole_batch(count, accumulate):
    whole, part = steps(count=count), steps(f"training.accumulate={accumulate}", count=count)
    for one, other in zip(whole[0], part[0], strict=True):
        assert one == pytest.approx(other, rel=1e-9)
    torch.testing.assert_close(part[1], whole[1], rtol=0, atol=1e-10)


def test_recomputing_and_averaging_change_no_step():
    plain, other = steps(), steps("training.recompute=true", "training.average=0.9")
    assert plain[0] == other[0]
    assert torch.equal(plain[1], other[1])


def test_the_discriminator_looks_at_the_fakes_once(monkeypatch):
    looks = []
    real = PatchGan.forward

    def forward(self, picture, *rest):
        looks.append(picture.shape)
        return real(self, picture, *rest)

    monkeypatch.setattr(PatchGan, "forward", forward)
    steps(number=1)
    # The fakes, the truths, and what lies between them for the penalty.
    assert len(looks) == 3
    looks.clear()
    steps("penalties.gradient.enabled=false", number=1)
    assert len(looks) == 2


def test_a_generator_that_follows_the_discriminator_leaves_no_gradient_in_it():
    # What D learns must come from its own loss alone: that is switched off here by a discriminator that stands still.
    built, accelerator = build(
        "losses.mse.enabled=false", "losses.ssim.enabled=false", "penalties.gradient.enabled=false"
    )
    built.discriminator.network.requires_grad_(False)
    before = [weight.clone() for weight in built.generator.network.parameters()]
    take_step(built, batch(2), accelerator, number=0, random=torch.Generator())
    assert all(weight.grad is None for weight in built.discriminator.network.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, built.generator.network.parameters(), strict=True))


def test_in_fp16_the_scale_changes_once_both_sides_have_moved():
    weights = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
    for weight in weights:
        scaler.scale(weight.sum()).backward()
    wrapped = [SimpleNamespace(optimizer=torch.optim.SGD([weight], lr=1.0)) for weight in weights]
    step_optimizers(SimpleNamespace(scaler=scaler), wrapped, torch.zeros(()))
    # A gradient of 1 each, whatever it was scaled by.
    assert [weight.item() for weight in weights] == [0, 0]
    assert scaler.get_scale() == 8


def test_fp16_goes_on_with_the_scale_that_it_had():
    grown, new, plain = (
        SimpleNamespace(scaler=scaler)
        for scaler in (
            torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2),
            torch.amp.GradScaler("cpu", init_scale=64.0),
            None,
        )
    )
    for _ in range(3):
        weight = nn.Parameter(torch.ones(1))
        grown.scaler.scale(weight.sum()).backward()
        step_optimizers(grown, [SimpleNamespace(optimizer=torch.optim.SGD([weight], lr=1.0))], torch.zeros(()))
    load_grad_scaler_state(new, json.loads(json.dumps(grad_scaler_state(grown))))
    assert grad_scaler_state(new) == grad_scaler_state(grown)
    assert (new.scaler.get_scale(), grad_scaler_state(new)["_growth_tracker"]) == (8, 1)
    # A run that goes on in another precision.
    load_grad_scaler_state(new, grad_scaler_state(plain))
    load_grad_scaler_state(plain, grad_scaler_state(new))
    assert (new.scaler.get_scale(), grad_scaler_state(plain)) == (8, {})


def test_a_compiled_generator_takes_the_same_step(monkeypatch):
    # The compiler's front half alone: generating and compiling C++ takes a minute.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    plain, compiled = steps(number=1), steps("training.compile=true", number=1)
    assert plain[0][0] == pytest.approx(compiled[0][0], rel=1e-9)
    torch.testing.assert_close(compiled[1], plain[1], rtol=0, atol=1e-9)


def test_in_fp16_what_is_not_finite_moves_nothing_either():
    weight = nn.Parameter(torch.ones(1))
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(weight.sum()).backward()
    wrapped = SimpleNamespace(optimizer=torch.optim.SGD([weight], lr=1.0))
    step_optimizers(SimpleNamespace(scaler=scaler), [wrapped], torch.ones(()))
    assert weight.item() == 1


@pytest.mark.parametrize(
    ("scale", "norm", "found", "wrong"),
    [(1024.0, 2048.0, 2.0, 0), (1024.0, math.inf, 0.0, 0), (1.0, math.inf, math.inf, 1), (None, math.inf, math.inf, 1)],
)
def test_in_fp16_a_scale_that_was_too_large_does_not_end_the_run(scale, norm, found, wrong):
    weight = nn.Parameter(torch.ones(1))
    scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
    weight.grad = torch.tensor([norm])
    side, terms = SimpleNamespace(network=nn.ParameterList([weight])), {}
    halted = _note_norms([side], terms, torch.zeros(()), torch.zeros(()), SimpleNamespace(scaler=scaler))
    assert (terms["gradient.g"].item(), halted.item()) == (found, wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", SPOILED)
def test_what_is_not_finite_moves_nothing_and_is_named(monkeypatch, where, value):
    built, accelerator = build("training.average=0.9")
    given = batch(2)

    def once(number):
        return take_step(built, given, accelerator, number=number, random=torch.Generator().manual_seed(number))

    once(0)
    before = {name: [t.clone() for t in tensors] for name, tensors in built.state().items() if name != "average"}
    spoil(where, value, built, given, monkeypatch)
    terms = once(1)
    after = built.state()
    for name, tensors in before.items():
        assert all(torch.equal(one, other) for one, other in zip(tensors, after[name], strict=True)), name
    with pytest.raises(
        NonFiniteError, match="Step 1: .* is not finite, and no weight was moved. Batch: a, b"
    ) as raised:
        read_record(measure_step(1, terms, given, False))
    assert where in ("input", "gradient g", "gradient d") or where in str(raised.value)
    if where.startswith("gradient "):
        assert f"gradient.{where[-1]} is not finite" in str(raised.value)


def test_the_step_under_way_when_it_is_noticed_moves_nothing_either():
    built, accelerator = build("training.average=0.9", "discriminator.norm=batch")
    spoiled = batch(2)
    spoiled.image[0, 0, 0, 0] = torch.nan
    seen = []

    def given():
        yield batch(2)
        yield spoiled
        seen.append({name: [one.clone() for one in tensors] for name, tensors in built.state().items()})
        yield batch(2)
        seen.append(None)

    with pytest.raises(NonFiniteError, match="Step 1: "):
        list(take_steps(built, given(), accelerator, seed=0, first=0))
    (before,) = seen
    after = built.state()
    assert any(name.startswith("discriminator") for name in after)
    for name in before.keys() - {"average"}:
        assert all(torch.equal(one, other) for one, other in zip(before[name], after[name], strict=True)), name


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_what_the_discriminator_tells_does_not_depend_on_the_scale_of_its_maps(scale):
    real = [torch.tensor([[1.0, 2, 3, 4]]) * scale, torch.tensor([[5.0, 5]]) * scale]
    fake = [torch.tensor([[0.0, 2, 9, 3]]) * scale, torch.tensor([[4.0, 1]]) * scale]
    # Of the first map two of four and a draw, of the second both.
    assert discriminator_stats(real, fake)["d_accuracy"].item() == ((2 + 0.5) / 4 + 1) / 2
    assert discriminator_stats(real, real)["d_accuracy"].item() == 0.5
    assert discriminator_stats(real, fake)["on_real"].item() == pytest.approx((2.5 + 5) / 2 * scale)
