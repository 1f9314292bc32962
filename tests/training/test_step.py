"""The training step: micro-batches, one discriminator pass, fp16's gradient scale, values that are not finite."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partialmethod
from types import SimpleNamespace

import pytest
import torch
from toolbox_plugins.adversarial.patchgan import PatchGan
from torch import nn
from training_steps import LOCATIONS, build, make_batch, make_not_finite

from toolbox.distributed.accelerator import (
    Accelerator,
    grad_scaler_state,
    load_grad_scaler_state,
    step_optimizer,
    update_scale,
)
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.specs import OptimizerSpec
from toolbox.models.component_watch import WatchedComponent
from toolbox.training.optim import NetworkState
from toolbox.training.step import clip_gradients, take_step, take_steps
from toolbox.training.step_context import StepContext
from toolbox.training.step_metrics import NonFiniteError, discriminator_stats, finish_record, start_record

CPU = torch.device("cpu")


def run_steps(*settings, count=4, steps=3):
    """Return the terms of some steps on one batch, a dict for each step, and all weights after them."""
    built, accelerator = build(*settings)
    rows = [
        take_step(built, make_batch(count), accelerator, number=number, random=torch.Generator().manual_seed(number))
        for number in range(steps)
    ]
    weights = [weight.flatten() for trained in built.networks().values() for weight in trained.network.parameters()]
    return [{name: float(value) for name, value in row.items()} for row in rows], torch.cat(weights).detach()


def fp16(**options):
    """Return an accelerator with a gradient scaler for the CPU, which `make_accelerator` refuses."""
    return Accelerator(device=CPU, scaler=torch.amp.GradScaler("cpu", **options))


def sgd(weight):
    return torch.optim.SGD([weight], lr=1.0)


@pytest.mark.parametrize(("count", "accumulate"), [(4, 2), (4, 4), (5, 2), (3, 8)])
def test_micro_batches_give_the_same_step_as_the_full_batch(count, accumulate):
    full, divided = run_steps(count=count), run_steps(f"training.accumulate={accumulate}", count=count)
    for expected, actual in zip(full[0], divided[0], strict=True):
        assert actual == pytest.approx(expected, rel=1e-9)
    torch.testing.assert_close(divided[1], full[1], rtol=0, atol=1e-10)


def test_recomputing_and_averaging_change_no_step():
    plain, changed = run_steps(), run_steps("training.recompute=true", "training.average=0.9")
    assert plain[0] == changed[0]
    assert torch.equal(plain[1], changed[1])


def test_the_discriminator_sees_the_restored_pictures_once(monkeypatch):
    passes = []
    original = PatchGan.forward

    def forward(self, picture, *rest):
        passes.append(picture.shape)
        return original(self, picture, *rest)

    monkeypatch.setattr(PatchGan, "forward", forward)
    run_steps(steps=1)
    # The restored pictures, the true ones, and those between them for the penalty.
    assert len(passes) == 3
    passes.clear()
    run_steps("penalties.gradient.enabled=false", steps=1)
    assert len(passes) == 2


def test_the_generators_losses_leave_no_gradient_in_the_discriminator():
    # The discriminator's own losses have no effect here, because none of its weights trains.
    built, accelerator = build(
        "losses.mse.enabled=false", "losses.ssim.enabled=false", "penalties.gradient.enabled=false"
    )
    built.discriminator.network.requires_grad_(False)
    before = [weight.clone() for weight in built.generator.network.parameters()]
    take_step(built, make_batch(2), accelerator, number=0, random=torch.Generator())
    assert all(weight.grad is None for weight in built.discriminator.network.parameters())
    after = built.generator.network.parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_a_training_step_can_be_replaced():
    built, accelerator = build()

    def supervised(context, batch):
        for part in context.micro_batches(batch):
            error = (context.generate(part)["restored"] - part.truth).abs().mean()
            context.record("g", error, part)
            context.scaled(error, part).backward()
        context.gradients_complete("generator")

    before = {
        name: [weight.clone() for weight in trained.network.parameters()] for name, trained in built.networks().items()
    }
    records = take_steps(built, [make_batch(2)] * 2, accelerator, seed=0, first=0, training_step=supervised)
    assert [sorted(record.terms) for record in records] == [["g", "gradient.g"]] * 2
    changed = {
        name: any(
            not torch.equal(old, new) for old, new in zip(before[name], trained.network.parameters(), strict=True)
        )
        for name, trained in built.networks().items()
    }
    assert changed == {"generator": True, "discriminator": False}


def test_in_fp16_the_scale_changes_after_both_networks_are_updated():
    weights = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    accelerator = fp16(init_scale=4.0, growth_interval=1)
    for weight in weights:
        accelerator.scaler.scale(weight.sum()).backward()
    for optimizer in [sgd(weight) for weight in weights]:
        step_optimizer(accelerator, optimizer, torch.zeros(()))
    update_scale(accelerator)
    # The gradient is 1 for each, without the scale.
    assert [weight.item() for weight in weights] == [0, 0]
    assert accelerator.scaler.get_scale() == 8


def test_a_resumed_fp16_run_has_the_same_scale():
    grown, new, plain = fp16(init_scale=4.0, growth_interval=2), fp16(init_scale=64.0), Accelerator(device=CPU)
    for _ in range(3):
        weight = nn.Parameter(torch.ones(1))
        grown.scaler.scale(weight.sum()).backward()
        step_optimizer(grown, sgd(weight), torch.zeros(()))
        update_scale(grown)
    load_grad_scaler_state(new, json.loads(json.dumps(grad_scaler_state(grown))))
    assert grad_scaler_state(new) == grad_scaler_state(grown)
    assert (new.scaler.get_scale(), grad_scaler_state(new)["_growth_tracker"]) == (8, 1)
    # A run that is resumed in another precision.
    load_grad_scaler_state(new, grad_scaler_state(plain))
    load_grad_scaler_state(plain, grad_scaler_state(new))
    assert (new.scaler.get_scale(), grad_scaler_state(plain)) == (8, {})


class Failing(torch.optim.SGD):
    def step(self, closure=None):
        raise LookupError("no luck")


PRECISIONS = {"fp16": fp16(), "bf16": Accelerator(device=CPU, autocast_dtype=torch.bfloat16)}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_an_optimizer_that_fails_is_named_in_every_precision(precision, network):
    built, _ = build("training.precision=fp32")
    spec = OptimizerSpec(name="failing", summary="x", build=lambda params, weights: Failing(weights))
    watch = WatchedComponent(entry=Entry(kind=spec.kind, spec=spec, plugin="stranger", distribution="", version=""))
    trained = built.networks()[network]
    failing = replace(trained, optimizer=Failing(trained.weights()), watch=watch)
    with pytest.raises(LookupError) as caught:
        take_step(
            replace(built, **{network: failing}),
            make_batch(2),
            PRECISIONS[precision],
            number=0,
            random=torch.Generator(),
        )
    assert "Optimizer 'failing' of the plugin 'stranger' raised LookupError" in str(blame.explain(caught.value))


def test_in_fp16_a_step_that_is_not_finite_changes_no_weight():
    weight = nn.Parameter(torch.ones(1))
    accelerator = fp16(init_scale=4.0)
    accelerator.scaler.scale(weight.sum()).backward()
    step_optimizer(accelerator, sgd(weight), torch.ones(()))
    assert weight.item() == 1


@pytest.mark.parametrize(
    ("scale", "norm", "recorded", "not_finite"),
    [(1024.0, 2048.0, 2.0, 0), (1024.0, math.inf, 0.0, 0), (1.0, math.inf, math.inf, 1), (None, math.inf, math.inf, 1)],
)
def test_in_fp16_a_scale_that_is_too_large_does_not_end_the_run(scale, norm, recorded, not_finite):
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.tensor([norm])
    trained = NetworkState(network=nn.ParameterList([weight]), optimizer=None, schedule=None)
    context = StepContext(
        state=SimpleNamespace(networks=lambda: {"generator": trained}),
        accelerator=Accelerator(device=CPU) if scale is None else fp16(init_scale=scale),
        number=0,
        random=torch.Generator(),
    )
    context.gradients_complete("generator")
    assert clip_gradients(context, torch.zeros(())).item() == not_finite
    assert context.terms["gradient.g"].item() == recorded


def test_a_compiled_generator_takes_the_same_step(monkeypatch):
    # Only the compiler's first half: generating and compiling C++ takes a minute.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    plain, compiled = run_steps(steps=1), run_steps("training.compile=true", steps=1)
    assert plain[0][0] == pytest.approx(compiled[0][0], rel=1e-9)
    torch.testing.assert_close(compiled[1], plain[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("location", LOCATIONS)
def test_a_step_that_is_not_finite_changes_nothing_and_names_the_term(monkeypatch, location, value):
    built, accelerator = build("training.average=0.9")
    batch = make_batch(2)

    def step(number):
        return take_step(built, batch, accelerator, number=number, random=torch.Generator().manual_seed(number))

    step(0)
    before = {name: [t.clone() for t in tensors] for name, tensors in built.tensors().items() if name != "average"}
    make_not_finite(location, value, built, batch, monkeypatch)
    terms = step(1)
    after = built.tensors()
    for name, tensors in before.items():
        assert all(torch.equal(old, new) for old, new in zip(tensors, after[name], strict=True)), name
    message = "Step 1: .* not finite, and the step changed no weight. Batch: a, b"
    with pytest.raises(NonFiniteError, match=message) as raised:
        finish_record(start_record(1, terms, batch, False))
    assert location in ("input", "gradient g", "gradient d") or location in str(raised.value)
    if location.startswith("gradient "):
        assert raised.value.not_finite == (f"gradient.{location[-1]}",)


def test_the_step_that_is_already_running_changes_nothing_either():
    built, accelerator = build("training.average=0.9", "discriminator.norm=batch")
    bad = make_batch(2)
    bad.image[0, 0, 0, 0] = torch.nan
    snapshots = []

    def batches():
        yield make_batch(2)
        yield bad
        snapshots.append({name: [t.clone() for t in tensors] for name, tensors in built.tensors().items()})
        yield make_batch(2)
        snapshots.append(None)

    with pytest.raises(NonFiniteError, match="Step 1: "):
        list(take_steps(built, batches(), accelerator, seed=0, first=0))
    (before,) = snapshots
    after = built.tensors()
    assert any(name.startswith("discriminator") for name in after)
    for name in before.keys() - {"average"}:
        assert all(torch.equal(old, new) for old, new in zip(before[name], after[name], strict=True)), name


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_discriminators_accuracy_does_not_depend_on_the_scale_of_its_maps(scale):
    real = [torch.tensor([[1.0, 2, 3, 4]]) * scale, torch.tensor([[5.0, 5]]) * scale]
    fake = [torch.tensor([[0.0, 2, 9, 3]]) * scale, torch.tensor([[4.0, 1]]) * scale]
    # In the first map two of four positions and one equal pair, in the second both.
    assert discriminator_stats(real, fake)["d_accuracy"].item() == ((2 + 0.5) / 4 + 1) / 2
    assert discriminator_stats(real, real)["d_accuracy"].item() == 0.5
    assert discriminator_stats(real, fake)["on_real"].item() == pytest.approx((2.5 + 5) / 2 * scale)
