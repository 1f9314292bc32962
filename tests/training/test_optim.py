"""Warm-up, clipping, schedules by the step, optimizers that are not fused, weights of losses. Some 5 s."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from catalogs import plugin
from torch import nn
from training_steps import PLAIN, SMALL, make_batch

from toolbox import Horizon, LossSpec, OptimizerSpec, Params, ScheduleSpec
from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import PluginError
from toolbox.hooks import catalog
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolation import PluginWarning
from toolbox.models.component_watch import WatchedComponent
from toolbox.models.optimizers import check_optimizer
from toolbox.models.weight_file import load_saved_state, saved_state
from toolbox.testing import check_component
from toolbox.testing.plugins import catalog_with
from toolbox.training import checkpoint, state, validate
from toolbox.training.checkpoint import Progress
from toolbox.training.optimizer_state import split_state
from toolbox.training.step import take_steps

NO_DISCRIMINATOR = ["losses.lsgan.enabled=false", "penalties.gradient.enabled=false", "discriminator.enabled=false"]
SGD = ["generator.optimizer.name=sgd", "generator.optimizer.lr=0.1"]


def entry_of(spec_class):
    spec = spec_class(name="rigged", summary="x", build=lambda params: None)
    return Entry(kind=spec.kind, spec=spec, plugin="stranger", distribution="", version="")


class Scaled(nn.Module):
    """A loss with a weight of its own, a counter, and a frozen network that checkpoints leave out."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.zeros(()))
        self.features = nn.Conv2d(3, 1, 1).requires_grad_(False)
        nn.init.constant_(self.features.weight, 0.3)  # the same in each build
        nn.init.zeros_(self.features.bias)
        self.features.checkpoint = False
        self.modes = []

    def forward(self, restored, truth, mask):
        self.calls += 1
        self.modes.append(self.training)
        return self.scale * self.features(restored - truth).square().mean() + (self.scale - 2) ** 2


class Averaged(torch.optim.Optimizer):
    """Descent along a running average of the gradient."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                state["count"] = state.get("count", 0) + 1
                average = state.setdefault("average", torch.zeros_like(weight))
                weight.sub_(average.lerp_(weight.grad, 1 / state["count"]), alpha=group["lr"])


def make_scaled(params):
    return Scaled()


def make_averaged(params, weights):
    return Averaged(weights, {"lr": 0.1})


def make_falling(params, optimizer, horizon):
    return torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=horizon.epochs)


@pytest.fixture(scope="module")
def loaded():
    extra = plugin(
        "extra",
        toolbox_losses=lambda: [LossSpec(name="scaled", summary="a loss", build=make_scaled)],
        toolbox_optimizers=lambda: [OptimizerSpec(name="averaged", summary="an optimizer", build=make_averaged)],
        toolbox_schedules=lambda: [ScheduleSpec(name="falling", summary="a schedule", build=make_falling)],
    )
    return catalog_with(extra, "extra")[0]


def build(loaded, *settings, horizon=None):
    plan = bind(read("default", lambda name: loaded.recipe(name).path, [*SMALL, *PLAIN, *settings]), loaded)
    accelerator = make_accelerator("cpu", "fp64")
    return state.build_state(plan, accelerator, torch.float64, horizon=horizon), accelerator


def take(built, accelerator, first, count):
    return list(take_steps(built, [make_batch(2)] * count, accelerator, seed=1, first=first))


def weights(built):
    return [weight.detach().clone() for weight in built.generator.weights()]


def change(built, before):
    """Return the norm of the change of the generator's weights."""
    return math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(weights(built), before, strict=True)))


def test_warm_up_scales_the_first_steps_and_the_schedule_does_not_see_it(loaded):
    built, accelerator = build(loaded, *NO_DISCRIMINATOR, *SGD, "generator.schedule.warmup_steps=4")
    before = weights(built)
    (record,) = take(built, accelerator, 0, 1)
    # The first of four warm-up steps has a quarter of the rate.
    assert change(built, before) == pytest.approx(0.1 / 4 * record.terms["gradient.g"])
    assert [group["lr"] for group in built.generator.optimizer.param_groups] == [0.1]
    before = weights(built)
    (record,) = take(built, accelerator, 4, 1)
    assert change(built, before) == pytest.approx(0.1 * record.terms["gradient.g"])


@pytest.mark.parametrize("limit", [1e-3, 1e9])
def test_gradients_above_the_limit_are_scaled_down_to_it(loaded, limit):
    built, accelerator = build(loaded, *NO_DISCRIMINATOR, *SGD, f"generator.clip_norm={limit}")
    before = weights(built)
    (record,) = take(built, accelerator, 0, 1)
    norm = record.terms["gradient.g"]
    assert norm > 1e-2  # recorded before it is clipped
    assert change(built, before) == pytest.approx(0.1 * min(norm, limit), rel=1e-3)


def test_an_optimizer_that_is_not_fused_is_not_stepped_if_a_value_is_not_finite(loaded):
    settings = ["generator.optimizer.name=torch-optimizer", "generator.optimizer.kind=radam"]
    built, accelerator = build(loaded, *NO_DISCRIMINATOR, *settings)
    before = weights(built)
    bad = make_batch(2)
    bad.image[0, 0, 0, 0] = math.inf
    with pytest.raises(Exception, match="not finite"):
        list(take_steps(built, [bad, make_batch(2)], accelerator, seed=1, first=0))
    assert change(built, before) == 0
    take(built, accelerator, 0, 1)
    assert change(built, before) > 0


@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer.name=torch-optimizer", "optimizer.kind=nadam", "schedule.name=cosine-steps"],
        ["optimizer.name=timm-optimizer", "optimizer.kind=lion", "schedule.name=one-cycle"],
        ["optimizer.name=timm-optimizer", "optimizer.kind=lamb", "schedule.name=polynomial"],
        ["optimizer.name=averaged", "schedule.name=falling"],
    ],
    ids=["nadam", "lion", "lamb", "plugin"],
)
def test_a_run_continues_from_a_checkpoint_to_the_same_bits(loaded, settings, tmp_path):
    settings = [f"generator.{setting}" for setting in [*settings, "schedule.warmup_steps=3"]]
    horizon = Horizon(epochs=3, steps_per_epoch=2, steps=6)
    through, accelerator = build(loaded, *NO_DISCRIMINATOR, *settings, horizon=horizon)
    rates = []
    for step in range(6):
        take(through, accelerator, step, 1)
        if step % 2:
            through.generator.end("epoch")
        rates.append(through.generator.optimizer.param_groups[0]["lr"])
        if step == 3:
            saved = checkpoint.save_checkpoint(tmp_path, through, Progress(step=4, epoch=2))
    resumed, accelerator = build(loaded, *NO_DISCRIMINATOR, *settings, horizon=horizon)
    checkpoint.load_checkpoint(saved, resumed)
    assert resumed.generator.optimizer.param_groups[0]["lr"] == rates[3] != rates[0]
    take(resumed, accelerator, 4, 2)
    assert change(resumed, weights(through)) == 0


def test_the_cadence_may_change_when_a_run_is_resumed(loaded, tmp_path):
    horizon = Horizon(epochs=4, steps_per_epoch=2, steps=8)
    by_step, accelerator = build(loaded, *NO_DISCRIMINATOR, "generator.schedule.name=cosine-steps", horizon=horizon)
    take(by_step, accelerator, 0, 4)
    saved = checkpoint.save_checkpoint(tmp_path, by_step, Progress(step=4, epoch=2))
    by_epoch, _ = build(loaded, *NO_DISCRIMINATOR, "generator.schedule.name=cosine", horizon=horizon)
    checkpoint.load_checkpoint(saved, by_epoch)
    # Half of the run is over in either count.
    rates = [trained.generator.optimizer.param_groups[0]["lr"] for trained in (by_step, by_epoch)]
    assert rates == pytest.approx([0.5e-4, 0.5e-4])


# ---- losses with weights and state


def test_weights_of_a_loss_are_trained_and_saved_and_frozen_networks_are_not(loaded, tmp_path):
    built, accelerator = build(loaded, *NO_DISCRIMINATOR, *SGD, "losses.scaled.weight=1")
    (loss,) = [term.call for term in built.losses if term.label == "scaled"]
    frozen = loss.features.weight.detach().clone()
    take(built, accelerator, 0, 2)
    assert loss.scale.item() != 1 and torch.equal(loss.features.weight, frozen)
    assert saved_state(loss).keys() == {"scale", "calls"}
    saved = checkpoint.save_checkpoint(tmp_path, built, Progress(step=2))
    other, _ = build(loaded, *NO_DISCRIMINATOR, *SGD, "losses.scaled.weight=1")
    checkpoint.load_checkpoint(saved, other)
    (again,) = [term.call for term in other.losses if term.label == "scaled"]
    assert again.scale.item() == loss.scale.item() and again.calls.item() == 2


def test_a_module_without_checkpoint_keeps_its_own_state():
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    network[1].checkpoint = False
    other = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    kept = other[1].weight.item()
    other[1].checkpoint = False
    load_saved_state(Path("a.safetensors"), other, saved_state(network))
    assert other[0].weight.item() == network[0].weight.item() and other[1].weight.item() == kept


def test_a_validation_neither_trains_nor_moves_a_loss(loaded):
    built, accelerator = build(loaded, *NO_DISCRIMINATOR, "losses.scaled.weight=1")
    (loss,) = [term.call for term in built.losses if term.label == "scaled"]
    loss.features.eval()
    take(built, accelerator, 0, 1)
    validate.validate(built, [make_batch(2)], accelerator, {})
    assert loss.modes == [True, False] and loss.calls.item() == 1
    assert loss.training and not loss.features.training


class Counting:
    """A loss that counts its calls in an attribute."""

    def __init__(self):
        self.calls, self.last = 0, None

    def __call__(self, restored, truth, mask):
        self.calls += 1
        self.last = (restored - truth).square().mean()
        return self.last

    method = __call__


class CountingModule(Counting, nn.Module):
    def __init__(self):
        nn.Module.__init__(self)
        Counting.__init__(self)


@dataclass(frozen=True)
class Frozen:
    scale: float = 1.0


@pytest.mark.parametrize(
    "make", [Counting, CountingModule, lambda: Counting().method, lambda: max, Frozen, lambda: give_nan]
)
def test_a_validation_puts_back_what_a_loss_counts_in_attributes(make):
    call = make()
    holder = getattr(call, "__self__", call)
    term = state.LossTerm(label="a", weight=1.0, on="restored", adversarial=False, sees_real=False, call=call)
    with validate.unchanged_losses([term]):
        if isinstance(holder, Counting):
            for _ in range(3):
                call(torch.ones(2), torch.zeros(2), None)
            assert holder.calls == 3
    if isinstance(holder, Counting):
        assert holder.calls == 0 and holder.last is None


def test_a_schedule_of_a_plugin_that_is_too_short_is_reported(loaded, tmp_path):
    horizon = Horizon(epochs=4, steps_per_epoch=2, steps=8)
    settings = [*NO_DISCRIMINATOR, "generator.schedule.name=one-cycle"]
    built, accelerator = build(loaded, *settings, horizon=horizon)
    saved = checkpoint.save_checkpoint(tmp_path, built, Progress(step=4, epoch=2))
    shorter, _ = build(loaded, *settings, horizon=replace(horizon, steps=2))
    with pytest.raises(Exception, match="schedule can't be continued after 4 steps"):
        checkpoint.load_checkpoint(saved, shorter)


def test_the_state_of_a_checkpoint_is_json(loaded, tmp_path):
    built, _ = build(loaded, *NO_DISCRIMINATOR)
    saved = checkpoint.save_checkpoint(tmp_path, built, Progress())
    sides = json.loads((saved / "state.json").read_text("utf-8"))["sides"]
    assert sides["generator"]["optimizer"]["name"] == "AdamW"


def test_specs_reserve_their_own_keys():
    class WithEvery(Params):
        every: int = 1

    class WithWarmup(Params):
        warmup_steps: int = 1

    ScheduleSpec(name="a", summary="b", build=make_scaled, params=WithEvery)
    with pytest.raises(ValueError, match="reserve: every"):
        LossSpec(name="a", summary="b", build=make_scaled, params=WithEvery)
    with pytest.raises(ValueError, match="reserve: warmup_steps"):
        ScheduleSpec(
            name="a",
            summary="b",
            build=make_scaled,
            params=type("P", (Params,), {"__annotations__": {"warmup_steps": int}}),
        )


def test_every_spec_is_in_the_default_catalog():
    found = catalog.load(third_party=False)
    assert {"adamw", "adam", "sgd", "torch-optimizer", "timm-optimizer"} <= set(found.names("optimizer"))
    assert {"constant", "step", "cosine", "cosine-steps", "one-cycle"} <= set(found.names("schedule"))


def trained(schedule):
    """Return the generator's state with a learning rate that `schedule` multiplies by a factor."""

    def build_schedule(params, inner, horizon):
        return torch.optim.lr_scheduler.LambdaLR(inner, schedule)

    spec = ScheduleSpec(name="odd", summary="s", build=build_schedule)
    loaded = catalog_with(plugin(toolbox_schedules=lambda: [spec]), "extra")[0]
    settings = [*SMALL, *NO_DISCRIMINATOR, "generator.schedule.name=odd"]
    plan = bind(read("default", lambda name: loaded.recipe(name).path, settings), loaded)
    return state.build_state(plan, make_accelerator("cpu", "fp64"), torch.float64).generator


@pytest.mark.parametrize("factor", [math.nan, math.inf, -1.0, (-1.0) ** 0.5])
def test_a_learning_rate_that_is_not_possible_names_the_schedule(factor):
    network = trained(lambda epoch: factor if epoch else 1.0)
    with pytest.raises(PluginError, match="Schedule 'odd'.* gives the learning rate .*finite and at least 0"):
        network.end("epoch")


@pytest.mark.parametrize("factor", [math.nan, math.inf, -1.0])
def test_the_first_learning_rate_is_checked_too(factor):
    """A negative one trained a whole epoch uphill without a word, and NaN was put down to the optimizer."""
    with pytest.raises(PluginError, match="Schedule 'odd'.* gives the learning rate .*finite and at least 0"):
        trained(lambda epoch: 1.0 if epoch else factor)
    weights = [nn.Parameter(torch.ones(1))]
    optimizer = torch.optim.SGD(weights, lr=0.1)
    optimizer.param_groups[0]["lr"] = factor
    with pytest.raises(PluginError, match="Optimizer 'rigged'.* gives the learning rate "):
        check_optimizer(optimizer, weights, entry_of(OptimizerSpec))


def give_nan(step):
    return math.nan if step else 1.0


class GiveNaN:
    def __call__(self, step):
        return give_nan(step)


SCHEDULERS = torch.optim.lr_scheduler
WITH_FUNCTIONS = {
    "LambdaLR": (lambda optimizer: SCHEDULERS.LambdaLR(optimizer, give_nan), give_nan),
    "MultiplicativeLR": (lambda optimizer: SCHEDULERS.MultiplicativeLR(optimizer, give_nan), give_nan),
    "an object": (lambda optimizer: SCHEDULERS.LambdaLR(optimizer, GiveNaN()), GiveNaN.__call__),
    "ChainedScheduler": (
        lambda optimizer: SCHEDULERS.ChainedScheduler([SCHEDULERS.LambdaLR(optimizer, give_nan)]),
        give_nan,
    ),
}


@pytest.mark.parametrize("name", WITH_FUNCTIONS)
def test_a_schedule_of_torch_is_named_by_the_function_that_it_calls(name):
    make, function = WITH_FUNCTIONS[name]
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    network = state.NetworkState(
        network=nn.Linear(1, 1),
        optimizer=optimizer,
        schedule=make(optimizer),
        schedule_watch=WatchedComponent(entry=entry_of(ScheduleSpec)),
    )
    line = function.__code__.co_firstlineno
    with pytest.raises(PluginError, match=rf"'stranger' \({__file__}:{line}\) gives the learning rate nan"):
        network.end("epoch")


def test_a_schedule_of_torch_without_such_a_function_is_named_where_it_is_built():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    schedule = SCHEDULERS.ExponentialLR(optimizer, math.nan)
    watch = WatchedComponent(entry=entry_of(ScheduleSpec))
    network = state.NetworkState(network=nn.Linear(1, 1), optimizer=optimizer, schedule=schedule, schedule_watch=watch)
    with pytest.raises(PluginError, match=rf"\(built at {__file__}:\d+\) gives the learning rate nan"):
        network.end("epoch")


def test_state_of_an_optimizer_that_cannot_be_saved_names_it():
    network = trained(lambda epoch: 1.0)
    network.optimizer.param_groups[0]["hook"] = print
    with pytest.raises(PluginError, match="Optimizer 'adamw'.* has state that can't be saved"):
        split_state(network)


def test_a_learning_rate_that_is_a_tensor_is_recorded():
    network = trained(lambda epoch: 1.0)
    network.optimizer.param_groups[0]["lr"] = torch.tensor(0.25)
    assert network.rates() == [0.25]


def in_sequence(torch_schedules, optimizer):
    parts = [torch_schedules.LinearLR(optimizer, 0.1, 1.0, 2), torch_schedules.CosineAnnealingLR(optimizer, 5)]
    return torch_schedules.SequentialLR(optimizer, parts, milestones=[2])


def chained(torch_schedules, optimizer):
    return torch_schedules.ChainedScheduler(
        [torch_schedules.LinearLR(optimizer, 0.1, 1.0, 3), torch_schedules.ExponentialLR(optimizer, 0.9)]
    )


def nested(torch_schedules, optimizer):
    parts = [chained(torch_schedules, optimizer), torch_schedules.StepLR(optimizer, 2)]
    return torch_schedules.SequentialLR(optimizer, parts, milestones=[3])


class WithTensor(torch.optim.lr_scheduler.LRScheduler):
    """A schedule whose state_dict is no JSON."""

    def get_lr(self):
        self.factor = torch.tensor(0.5**self.last_epoch)
        return [rate * float(self.factor) for rate in self.base_lrs]


TORCH_SCHEDULES = {
    "SequentialLR": in_sequence,
    "ChainedScheduler": chained,
    "nested": nested,
    "LinearLR": lambda torch_schedules, optimizer: torch_schedules.LinearLR(optimizer, 0.1, 1.0, 4),
    "a tensor": lambda torch_schedules, optimizer: WithTensor(optimizer),
}


@pytest.mark.filterwarnings("ignore:Detected call of")  # torch's own, where a chain is built inside a sequence
@pytest.mark.parametrize("cadence", ["epoch", "step"])
@pytest.mark.parametrize("name", TORCH_SCHEDULES)
def test_schedules_of_torch_continue_with_the_same_rates(name, cadence, tmp_path):
    def build_schedule(params, optimizer, horizon):
        return TORCH_SCHEDULES[name](torch.optim.lr_scheduler, optimizer)

    spec = ScheduleSpec(name="of-torch", summary="s", build=build_schedule, cadence=cadence, reference="torch")
    loaded = catalog_with(plugin(toolbox_schedules=lambda: [spec]), "extra")[0]
    settings = [*NO_DISCRIMINATOR, "generator.schedule.name=of-torch"]
    through, _ = build(loaded, *settings)
    rates = [through.generator.rates()]
    for count in range(8):
        saved = checkpoint.save_checkpoint(tmp_path, through, Progress(step=count, epoch=count))
        resumed, _ = build(loaded, *settings)
        checkpoint.load_checkpoint(saved, resumed)
        through.generator.end(cadence)
        rates.append(through.generator.rates())
        assert resumed.generator.rates() == rates[count]
        resumed.generator.end(cadence)
        assert resumed.generator.rates() == rates[count + 1]
    assert rates[0] != rates[1]
    assert [check.name for check in check_component(spec, {}, loaded) if check.status == "failed"] == []


def test_a_schedule_whose_step_needs_a_metric_is_named_before_the_first_step():
    def build_schedule(params, optimizer, horizon):
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)

    spec = ScheduleSpec(name="plateau", summary="a schedule", build=build_schedule)
    loaded = catalog_with(plugin("stranger", toolbox_schedules=lambda: [spec]), "stranger")[0]
    with pytest.raises(PluginError, match="Schedule 'plateau' .* calls step\\(\\) without arguments"):
        build(loaded, *NO_DISCRIMINATOR, "generator.schedule.name=plateau")
    failed = [check for check in check_component(spec, {}, loaded) if check.status == "failed"]
    assert failed and all("calls step() without arguments" in check.detail for check in failed)


def no_rate(weights):
    optimizer = torch.optim.SGD(weights, lr=0.1)
    del optimizer.param_groups[0]["lr"]
    return optimizer


def another():
    return torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)


WRONG_OPTIMIZERS = {
    "has a group without 'lr', which schedules change": no_rate,
    "has none of the weights that it was given, so nothing is trained": lambda weights: another(),
    "has weights that it was not given, which get no gradients": lambda weights: torch.optim.SGD(
        [*weights, nn.Parameter(torch.ones(1))], lr=0.1
    ),
}


@pytest.mark.parametrize("fault", WRONG_OPTIMIZERS)
def test_an_optimizer_of_other_weights_or_without_a_rate_is_named(fault):
    weights = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
    entry = entry_of(OptimizerSpec)
    with pytest.raises(PluginError, match=f"Optimizer 'rigged' of the plugin 'stranger' .* {fault}"):
        check_optimizer(WRONG_OPTIMIZERS[fault](weights), weights, entry)
    with pytest.warns(PluginWarning, match="Optimizer 'rigged' .* trains 1 of the 2 weights that it was given"):
        check_optimizer(torch.optim.SGD(weights[:1], lr=0.1), weights, entry)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_optimizer(torch.optim.SGD(weights, lr=0.1), weights, entry)


def test_a_schedule_of_another_optimizer_is_named_in_a_run_and_by_the_kit():
    def build_schedule(params, optimizer, horizon):
        return torch.optim.lr_scheduler.LinearLR(another())

    spec = ScheduleSpec(name="astray", summary="a schedule", build=build_schedule)
    extra = plugin("stranger", toolbox_schedules=lambda: [spec])
    loaded = catalog_with(extra, "stranger")[0]
    with pytest.raises(PluginError, match="Schedule 'astray' .* was built on another optimizer, so the learning rate"):
        build(loaded, *NO_DISCRIMINATOR, "generator.schedule.name=astray")
    failed = [check for check in check_component(spec, {}, loaded) if check.status == "failed"]
    assert failed and all("was built on another optimizer" in check.detail for check in failed)
