"""Training steps by name: the default, the one without a discriminator, and one of a plugin. Some 4 s."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from catalogs import plugin
from torch import nn
from training_steps import PLAIN, SMALL, make_batch

from toolbox import StepSpec
from toolbox.config.binding import bind
from toolbox.config.recipe import read
from toolbox.distributed.accelerator import make_accelerator
from toolbox.errors import PluginError, RecipeError
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.hooks.record_names import RESERVED_FIGURES, RESERVED_TERMS
from toolbox.models.component_watch import WatchedComponent
from toolbox.steps import adversarial_step
from toolbox.testing import check_component
from toolbox.testing.plugins import catalog_with
from toolbox.training import checkpoint, state
from toolbox.training.checkpoint import Progress
from toolbox.training.step import take_steps
from toolbox.training.validate_step import validate_step

ALONE = ["losses.lsgan.enabled=false", "penalties.gradient.enabled=false", "discriminator.enabled=false"]


class Counting(nn.Module):
    """A step with state: brightens pictures by a random number and by the number of its calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.float64))

    def forward(self, context, batch):
        self.calls += 1
        offset = torch.rand((), generator=context.random) / 10 + self.calls / 100 + torch.rand(()) / 10
        for part in context.micro_batches(batch):
            outputs = context.generate(replace(part, image=(part.image + offset).clamp(0, 1)))
            total = sum(loss.weight * context.reconstruction(loss, outputs, part) for loss in context.losses)
            context.record("g", total, part)
            context.backward(total, part)


def without_gradients(context, batch):
    context.record("g", batch.truth.mean(), batch)


async def waiting(context, batch):
    return None


def without_terms(context, batch):
    context.backward(context.generate(batch)["restored"].mean(), batch)


@pytest.fixture(scope="module")
def loaded():
    functions = {"still": without_gradients, "silent": without_terms, "waiting": waiting}
    steps = {"counting": Counting} | {name: lambda step=step: step for name, step in functions.items()}
    specs = [
        StepSpec(name=name, summary=name, build=lambda params, make=make: make(), uses_discriminator=False)
        for name, make in steps.items()
    ]
    return catalog_with(plugin("extra", toolbox_steps=lambda: specs), "extra")[0]


def bound(loaded, *settings):
    return bind(read("default", lambda name: loaded.recipe(name).path, [*SMALL, *PLAIN, *settings]), loaded)


def build(loaded, *settings):
    accelerator = make_accelerator("cpu", "fp64")
    return state.build_state(bound(loaded, *settings), accelerator, torch.float64), accelerator


def take(built, accelerator, first, count, batch=None):
    batches = [batch or make_batch(4)] * count
    return list(take_steps(built, batches, accelerator, seed=1, first=first))


def tensors(built):
    """Return copies of everything that a checkpoint holds, by name."""
    files = checkpoint.take_snapshot(built, Progress()).tensors
    return {f"{file}/{name}": value.detach().clone() for file, part in files.items() for name, value in part.items()}


def are_equal(before, after):
    """Return whether all tensors of `before` are in `after`, to the bit."""
    return all(torch.equal(value, after[name]) for name, value in before.items())


def replace_weight(network):
    name, weight = next(iter(network.named_parameters()))
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, nn.Parameter(weight.detach().clone()))


def add_weight(network):
    network.register_parameter("late", nn.Parameter(torch.zeros((), dtype=torch.float64)))


@pytest.mark.parametrize("change", [replace_weight, add_weight])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_weight_that_no_optimizer_has_is_refused_in_any_step(change, network, loaded):
    built, accelerator = build(loaded)
    take(built, accelerator, 0, 1)
    change(getattr(built, network).network)
    with pytest.raises(PluginError, match="was replaced or got requires_grad after the start: its optimizer trains"):
        take(built, accelerator, 1, 1)


def test_a_frozen_weight_that_begins_to_train_is_refused_and_one_that_stops_is_not(loaded):
    built, accelerator = build(loaded)
    weight = next(built.generator.network.parameters())
    weight.requires_grad_(False)
    take(built, accelerator, 0, 1)
    trained = built.generator
    object.__setattr__(trained, "built_on", [other for other in trained.built_on if other is not weight])
    weight.requires_grad_(True)
    with pytest.raises(PluginError, match="got requires_grad after the start"):
        take(built, accelerator, 1, 1)


def test_the_default_step_is_the_published_one(loaded):
    built, _ = build(loaded)
    assert built.step is adversarial_step
    assert bound(loaded).tree()["step"] == {"name": "adversarial"}


def test_the_supervised_step_is_the_default_without_a_discriminator(loaded):
    results = []
    for settings in (
        ALONE,
        [*ALONE, "step.name=supervised"],
        [*ALONE, "step.name=supervised", "training.accumulate=2"],
    ):
        built, accelerator = build(loaded, *settings)
        results.append((take(built, accelerator, 0, 3), tensors(built)))
    (published, weights), (supervised, same), (_, split) = results
    assert [record.terms for record in published] == [record.terms for record in supervised]
    assert are_equal(weights, same) and weights.keys() == same.keys()
    assert max(float((value - split[name]).abs().max()) for name, value in weights.items()) < 1e-9


def test_a_step_of_a_plugin_continues_from_a_checkpoint_to_the_same_bits(loaded, tmp_path):
    settings = [*ALONE, "step.name=counting", "training.average=0.9"]
    through, accelerator = build(loaded, *settings)
    take(through, accelerator, 0, 3)
    saved = checkpoint.save_checkpoint(tmp_path, through, Progress(step=3))
    records = take(through, accelerator, 3, 3)
    resumed, accelerator = build(loaded, *settings)
    checkpoint.load_checkpoint(saved, resumed)
    assert resumed.step.calls == 3
    assert [record.terms for record in take(resumed, accelerator, 3, 3)] == [record.terms for record in records]
    assert are_equal(tensors(through), tensors(resumed)) and any("step/calls" in name for name in tensors(through))


def test_a_step_of_a_plugin_that_is_not_finite_changes_nothing(loaded):
    built, accelerator = build(loaded, *ALONE, "step.name=counting")
    before = tensors(built)
    bad = make_batch(4)
    bad.truth[0, 0, 0, 0] = math.inf
    with pytest.raises(Exception, match="not finite"):
        take(built, accelerator, 0, 2, bad)
    assert are_equal(before, tensors(built))


@pytest.mark.parametrize(
    ("name", "fault"),
    [("still", "leaves no gradients"), ("silent", "records no term"), ("waiting", "returned a coroutine; write `def`")],
)
def test_a_step_that_trains_nothing_is_reported(loaded, name, fault):
    built, accelerator = build(loaded, *ALONE, f"step.name={name}")
    with pytest.raises(PluginError, match=fault):
        take(built, accelerator, 0, 1)


def whole_batch(context, batch):
    loss = (context.generate(batch)["restored"] - batch.truth).square().mean()
    context.record("g", loss, batch)
    context.backward(loss, batch)


def by_hand(context, batch):
    for part in context.micro_batches(batch):
        loss = (context.generate(part)["restored"] - part.truth).square().mean()
        context.record("g", loss, part)
        (loss * part.position.weight).backward()


def plain_numbers(context, batch):
    context.record("g", 1.0, batch)


@pytest.mark.parametrize(
    ("step", "check", "status", "words"),
    [
        (whole_batch, "split batch", "noted", "training.accumulate has no effect"),
        (by_hand, "generator gradient", "failed", "without context.backward"),
        (without_gradients, "split batch", "failed", "leaves no gradient"),
        (plain_numbers, "terms", "failed", "'g' is a float; record a tensor"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_kit_finds_a_step_that_does_by_hand_what_the_context_does(step, check, status, words):
    spec = StepSpec(name="x", summary="y", build=lambda params: step, uses_discriminator=False)
    (found,) = [result for result in check_component(spec) if result.name == check]
    assert found.status == status and words in found.detail


def recording(name):
    def step(context, batch):
        loss = (context.generate(batch)["restored"] - batch.truth).square().mean()
        context.record(name, loss, batch)
        context.backward(loss, batch)

    return step


WRONG_NAMES = ["", "a b", "1st", "-a", "a\n", "a\x00", "x" * 101, 7]


@pytest.mark.parametrize("name", [*RESERVED_TERMS, "lr.generator", *WRONG_NAMES])
def test_a_term_with_a_name_that_the_records_use_or_can_not_have_is_refused(loaded, name):
    built, accelerator = build(loaded, *ALONE)
    with pytest.raises((TypeError, ValueError), match="name"):
        next(take_steps(built, [make_batch(4)], accelerator, seed=1, first=0, training_step=recording(name)))
    spec = StepSpec(name="x", summary="y", build=lambda params: recording(name), uses_discriminator=False)
    (found,) = [result for result in check_component(spec) if result.name == "terms"]
    assert found.status == "failed" and "a term" in found.detail and "name" in found.detail


@pytest.mark.parametrize("name", ["loss.mse", "d", "d_accuracy", "gradient.mine", "loss/Größe-2", "steps"])
def test_a_term_of_another_name_is_recorded(loaded, name):
    built, accelerator = build(loaded, *ALONE)
    (record,) = take_steps(built, [make_batch(4)], accelerator, seed=1, first=0, training_step=recording(name))
    assert set(record.terms) == {name, "gradient.g"}


class FigureOf(nn.Module):
    """A step without pictures whose figures have a name."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def validate(self, network, batch):
        return {"loss": batch.truth.mean((1, 2, 3))}

    def figures(self, values):
        return {"loss": 1.0, self.name: 0.5}


@pytest.mark.parametrize("name", [*RESERVED_FIGURES[1:], 7])
def test_a_figure_with_a_name_that_the_records_use_is_refused(loaded, name):
    built, _ = build(loaded, *ALONE)
    built = replace(built, step=FigureOf(name))
    with pytest.raises(PluginError, match=f"figure of the training step has the name {name!r}"):
        validate_step(built, [make_batch(2)])
    facts = {"name": "x", "summary": "y", "build": lambda params: FigureOf(name)}
    with pytest.raises((TypeError, ValueError), match="figure"):
        StepSpec(**facts, restores=False, figures=(name,))
    spec = StepSpec(**facts, restores=False, uses_discriminator=False)
    (found,) = [result for result in check_component(spec) if result.name == "figures"]
    assert found.status == "failed" and f"has the name {name!r}" in found.detail


class Measuring(nn.Module):
    """A step without pictures that returns what it is given, by default what is right."""

    def __init__(self, values=lambda row: {"loss": row}, figures=lambda values: {"loss": 1.0, "iou": None}):
        super().__init__()
        self.values, self.results = values, figures

    def validate(self, network, batch):
        return self.values(batch.truth.mean((1, 2, 3)))

    def figures(self, values):
        return self.results(values)


NOT_FINITE = "gives values from validate as 'loss' that are not finite, for 2 of 2 pictures"
WRONG_RESULTS = {
    "validate: a list": ({"values": lambda row: [row]}, "returned a list of 1 from validate, not a dict of tensors"),
    "validate: a scalar": (
        {"values": lambda row: {"loss": row.mean()}},
        "returned a tensor [] from validate as 'loss'",
    ),
    "validate: a float": ({"values": lambda row: {"loss": 0.5}}, "returned a float from validate as 'loss'"),
    "validate: nan": (
        {"values": lambda row: {"loss": row * math.nan}, "figures": lambda values: {"loss": values["loss"].mean()}},
        NOT_FINITE,
    ),
    "figures: a number": ({"figures": lambda values: 1.0}, "returned a float from figures, not a dict of floats"),
    "figures: no loss": ({"figures": lambda values: {"iou": 1.0}}, "returned no 'loss' from figures"),
    "figures: one is missing": ({"figures": lambda values: {"loss": 1.0}}, "returned no 'iou' from figures, which its"),
    "figures: a tensor": ({"figures": lambda values: {"loss": torch.tensor(1.0), "iou": 1.0}}, "returned a tensor []"),
    "figures: nan": ({"figures": lambda values: {"loss": math.nan, "iou": 1.0}}, "returned nan from figures as 'loss'"),
}


@pytest.mark.parametrize("case", WRONG_RESULTS)
def test_what_a_step_without_pictures_returns_wrongly_is_named_with_step_and_method(case, loaded):
    arguments, words = WRONG_RESULTS[case]
    facts = {"uses_discriminator": False, "restores": False, "figures": ("iou",)}
    spec = StepSpec(name="x", summary="y", build=lambda params: Measuring(**arguments), **facts)
    entry = Entry(kind="step", spec=spec, plugin="mine", distribution="", version="")
    built, _ = build(loaded, *ALONE)
    watch = WatchedComponent(entry=entry)
    validate_step(replace(built, step=Measuring(), step_watch=watch), [make_batch(2)])
    with pytest.raises(WrongResultError) as raised:
        validate_step(replace(built, step=Measuring(**arguments), step_watch=watch), [make_batch(2)])
    title = f"Step 'x' of the plugin 'mine' ({__file__}:"
    assert str(raised.value).startswith(title) and words in str(raised.value)
    (found,) = [result for result in check_component(spec) if result.name == "figures"]
    assert found.status == "failed" and words in found.detail


def test_a_step_without_a_discriminator_takes_no_adversarial_losses(loaded):
    with pytest.raises(RecipeError) as raised:
        bound(loaded, "step.name=supervised", "step.enabled=false")
    assert "step.enabled" in {fault.location for fault in raised.value.faults}
    with pytest.raises(RecipeError) as raised:
        bound(loaded, "step.name=supervised")
    assert {fault.location for fault in raised.value.faults} == {"losses.lsgan", "penalties.gradient"}
    assert all(fault.message.endswith(f"; set {fault.location}.enabled=false") for fault in raised.value.faults)
