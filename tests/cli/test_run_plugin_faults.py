"""`toolbox run` with plugins that fail: one line names the component, and a run that took no step leaves no folder."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from commands import invoke

from toolbox.cli import main

CODE = """
import dataclasses
import io
import os
import sys
import warnings

import torch
from torch import nn

from toolbox import GeneratorSpec, LossSpec, Observer, ObserverSpec, OptimizerSpec, ScheduleSpec, StepSpec, hookimpl

FAULT = {fault!r}
kept, seen = [], []


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(context, tensor):
        return tensor.clone()

    @staticmethod
    def backward(context, gradient):
        return torch.zeros(3)


def value(tensor):
    if FAULT == "stop":
        raise StopIteration(3)
    if FAULT == "raise":
        raise KeyError("no luck")
    if FAULT == "frozen":
        raise Frozen(3)
    if FAULT == "mute":
        raise Mute
    if FAULT == "memory":
        torch.zeros(10**14)
    if FAULT == "kept-graph":
        kept.append(tensor)
        return sum(kept)
    if FAULT == "wrong-gradient":
        return WrongGradient.apply(tensor.expand(2)).mean()
    if FAULT == "meta":
        return tensor.to("meta")
    if FAULT == "sparse":
        return tensor.reshape(1).to_sparse()
    seen.append(FAULT)
    if FAULT == "late-dtype" and len(seen) == 3:
        torch.set_default_dtype(torch.float64)
    if FAULT == "late-filters" and len(seen) == 3:
        warnings.simplefilter("ignore")
    if FAULT == "stdout":
        sys.stdout = io.StringIO()
    return tensor


def build_loss(params):
    if FAULT == "filters":
        warnings.filterwarnings("ignore")
    return lambda restored, truth, mask: value((restored - truth).square().mean())


class Mine(torch.optim.SGD):
    def zero_grad(self, set_to_none=True):
        if FAULT == "zero-grad":
            raise KeyError("no luck")
        super().zero_grad(set_to_none)

    def state_dict(self):
        if FAULT == "state":
            raise OSError(28, "No space left on device")
        return super().state_dict()

    def step(self, closure=None):
        if FAULT == "optimizer-stop":
            raise StopIteration
        if FAULT == "optimizer-folder":
            os.chdir("/")
        return super().step(closure)


class NoMethod(Observer):
    on_step = 5


def build_schedule(params, optimizer, horizon):
    if FAULT == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    return torch.optim.lr_scheduler.ConstantLR(optimizer)


@hookimpl
def toolbox_schedules():
    return [ScheduleSpec(name="mine", summary="x", build=build_schedule)]


def build_optimizer(params, weights):
    if FAULT == "lbfgs":
        return torch.optim.LBFGS(weights)
    return None if FAULT == "optimizer-none" else Mine(weights, lr=1e-3)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.late = None
        self.register_buffer("seen", torch.zeros(1))
        if FAULT == "unsaved":
            self.fixed = nn.Conv2d(3, 3, 1).requires_grad_(False)
            self.fixed.checkpoint = False
        if FAULT == "no-weights":
            self.requires_grad_(False)

    def get_extra_state(self):
        return dict() if FAULT == "extra-state" else torch.zeros(1)

    def set_extra_state(self, state):
        pass

    def forward(self, image, mask):
        if FAULT == "late" and self.late is None:
            self.late = nn.Conv2d(3, 3, 1)
        if FAULT == "replaced":
            self.layer.weight = nn.Parameter(nn.functional.normalize(self.layer.weight, dim=1))
        if FAULT == "replaced-layer":
            self.layer = nn.Conv2d(3, 3, 1)
        if FAULT == "growing":
            self.seen = torch.cat([self.seen, torch.ones(1)])
        if FAULT == "value-error":
            raise ValueError("no luck")
        if FAULT == "fixed":
            return torch.sigmoid(self.layer(image) + torch.zeros(1, 3, 32, 32))
        if FAULT == "large-only" and image.shape[-1] < 64:
            raise ValueError("too small")
        result = torch.sigmoid(self.layer(image))
        return result * float("nan") if FAULT == "eval-nan" and not self.training else result


def build_generator(params):
    return (lambda image, mask: image) if FAULT == "function" else Net()


class Watcher(Observer):
    def on_start(self, record):
        if FAULT == "observer-folder":
            os.chdir("/")


def step(context, batch):
    seen.append(step)
    if FAULT == "step-folder" and seen.count(step) == 2:
        os.chdir("/")
    for part in context.micro_batches(batch):
        outputs = context.generate(part)
        loss = context.reconstruction(context.losses[0], outputs, part)
        if FAULT == "step-writes":
            part.truth.mul_(0.5)
        context.record("g", outputs["restored"].mean((1, 2, 3)) if FAULT == "step-vector" else loss, part)
        context.backward(loss, part)


@hookimpl
def toolbox_steps():
    return [StepSpec(name="mine", summary="x", build=lambda params: step)]


@hookimpl
def toolbox_observers():
    observer = NoMethod if FAULT == "no-method" else Watcher
    return [ObserverSpec(name="mine", summary="x", build=lambda params: observer())]


@hookimpl
def toolbox_losses():
    return [LossSpec(name="mine", summary="x", build=build_loss)]


@hookimpl
def toolbox_optimizers():
    return [OptimizerSpec(name="mine", summary="x", build=build_optimizer)]


@hookimpl
def toolbox_generators():
    return [GeneratorSpec(name="mine", summary="x", build=build_generator)]
"""

RECIPE = """
[data]
size = 32
[generator]
name = "mine"
[generator.optimizer]
name = "mine"
[generator.schedule]
name = "mine"
[losses.mine]
[observers.mine]
[degradations.lost-region]
[training]
batch = 2
"""


def add_plugin(tmp_path, source, recipe):
    """Write and add the plugin `mine`, and write a recipe for it."""
    (tmp_path / "mine.py").write_text(source, "utf-8")
    (tmp_path / "mine.toml").write_text(recipe, "utf-8")
    invoke("plugin", "add", tmp_path / "mine.py")


def run_mine(tmp_path, photos, code, *options):
    """Run the recipe that `add_plugin` wrote; check the exit code, and return the result."""
    words = ["--recipe", tmp_path / "mine.toml", "--data", photos, "--out", tmp_path / "run", *options]
    result = CliRunner().invoke(main, ["run", *map(str, words), "--no-report"])
    assert result.exit_code == code and "Traceback" not in result.output, result.output
    return result


def run_with(fault, tmp_path, photos, code):
    """Run two steps with the plugin that has a fault; return the result."""
    step = '[step]\nname = "mine"\n' if fault.startswith("step-") else ""
    add_plugin(tmp_path, CODE.format(fault=fault), RECIPE + step)
    return run_mine(tmp_path, photos, code, "--steps", 2)


REFUSED = {
    "raise": "Loss 'mine' of the plugin 'mine' raised KeyError: 'no luck'",
    "stop": "Loss 'mine' of the plugin 'mine' raised StopIteration: 3",
    "meta": "returned a meta tensor [], not a scalar tensor",
    "sparse": "returned a sparse tensor [1], not a scalar tensor",
    "optimizer-stop": "Optimizer 'mine' of the plugin 'mine' raised StopIteration",
    "optimizer-none": "Optimizer 'mine' of the plugin 'mine' (",
    "function": "Generator 'mine' of the plugin 'mine' (",
    "eval-nan": "gives values that are not finite in eval mode",
    "frozen": "Loss 'mine' of the plugin 'mine' raised Frozen: 3",
    "mute": "Loss 'mine' of the plugin 'mine' raised Mute (",
    "wrong-gradient": "Loss 'mine' of the plugin 'mine': fails in the backward pass: RuntimeError: Function",
    "zero-grad": "Optimizer 'mine' of the plugin 'mine' raised KeyError: 'no luck'",
    "late": "creates late.weight in a call; create it in build",
    "replaced": "replaces the weight layer.weight in a call, and its optimizer trains the weights that were there",
    "replaced-layer": "replaces the weight layer.weight in a call",
    "unsaved": "gets other values in fixed.weight, which `checkpoint = False` keeps out of checkpoints, each time",
    "step-vector": "raised ValueError: the term 'g' is a tensor [2], not a scalar; take",
    "step-writes": "writes into `batch.truth`, its input; work on a copy",
    "growing": "changes the shape of seen from [1] to [2] in a call",
    "extra-state": "saves _extra_state as a dict (get_extra_state), and checkpoints hold tensors only",
    "no-weights": "Generator 'mine' of the plugin 'mine' (",
    "value-error": "Generator 'mine' of the plugin 'mine' raised ValueError: no luck",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_run_that_is_refused_in_its_first_step_names_the_component_and_leaves_no_folder(fault, tmp_path, photos):
    output = run_with(fault, tmp_path, photos, 1).output
    assert REFUSED[fault] in output
    assert not (tmp_path / "run").exists()


def test_memory_that_runs_out_in_a_component_names_it_and_offers_what_can_be_smaller(tmp_path, photos):
    output = run_with("memory", tmp_path, photos, 1).output
    where = f"Memory ran out at 32 pixels and batch 2 in Loss 'mine' of the plugin 'mine' ({tmp_path}/mine.py:"
    assert where in output and "). Try --batch 1, --size 16 or --precision bf16, with --resume" in output
    options = ["--size", 16, "--batch", 1, "--out", tmp_path / "smaller", "--no-report"]
    words = ["run", "--recipe", tmp_path / "mine.toml", "--data", photos, *options]
    assert "). Try --precision bf16, with --resume" in CliRunner().invoke(main, [*map(str, words)]).output


CHANGES = {
    "stdout": "Loss 'mine' of the plugin 'mine' changed sys.stdout in a call",
    "filters": "Loss 'mine' of the plugin 'mine' changed the warning filters when it was built",
    "observer-folder": "Observer 'mine' of the plugin 'mine' changed the working folder in a call",
    "late-dtype": "Loss 'mine' of the plugin 'mine' changed torch's default dtype in a call",
    "late-filters": "Loss 'mine' of the plugin 'mine' changed the warning filters in a call",
    "step-folder": "Step 'mine' of the plugin 'mine' changed the working folder in a call",
    "optimizer-folder": "Optimizer 'mine' of the plugin 'mine' changed the working folder in a call",
}


@pytest.mark.parametrize("fault", CHANGES)
def test_what_a_component_changes_is_put_back_and_named(fault, tmp_path, photos):
    output = run_with(fault, tmp_path, photos, 0).output
    assert CHANGES[fault] in output and "this run, after step" in output


def test_a_generator_that_takes_only_the_size_of_the_training_is_refused_before_the_first_step(tmp_path, competition):
    result = run_with("fixed", tmp_path, competition, 1)
    (line,) = [text for text in result.output.splitlines() if "takes no picture of 129 to 256 pixels" in text]
    forward = next(n for n, text in enumerate(CODE.splitlines(), 1) if "def forward(self, image, mask)" in text)
    assert f"Generator 'mine' of the plugin 'mine' ({tmp_path}/mine.py:{forward})" in line
    assert "The size of tensor a (256) must match the size of tensor b (32)" in line
    assert not (tmp_path / "run").exists()


def test_without_test_photographs_a_generator_of_one_size_is_trained_with_a_warning(tmp_path, photos):
    output = run_with("fixed", tmp_path, photos, 0).output
    assert "warning: toolbox restore can't use the weights of this run. Generator 'mine'" in output


LATE = {
    "kept-graph": "fails in the backward pass: RuntimeError: Trying to backward through the graph a second time",
    "state": "Optimizer 'mine' of the plugin 'mine' raised OSError: [Errno 28] No space left on device",
}


POSITIONS = {
    "lbfgs": ("build_optimizer", "missing 1 required positional argument: 'closure' (built at {}"),
    "plateau": ("build_schedule", "Schedule 'mine' of the plugin 'mine' ({} returned ReduceLROnPlateau"),
    "no-method": ("toolbox_observers", "'int' object is not callable (built at {}"),
}


@pytest.mark.parametrize("fault", POSITIONS)
def test_a_component_that_has_no_code_in_its_plugin_has_the_position_where_it_is_built(fault, tmp_path, photos):
    """The position was in a file of toolbox or of torch, which is not at fault."""
    name, words = POSITIONS[fault]
    output = run_with(fault, tmp_path, photos, 0 if fault == "no-method" else 1).output
    line = next(n for n, text in enumerate(CODE.splitlines(), 1) if f"def {name}(" in text)
    assert words.format(f"{tmp_path}/mine.py:{line + 2 * (name == 'toolbox_observers')})") in output


@pytest.mark.parametrize("fault", LATE)
def test_a_component_that_fails_after_the_first_step_is_named(fault, tmp_path, photos):
    output = run_with(fault, tmp_path, photos, 1).output
    assert LATE[fault] in output and "'mine' of the plugin 'mine'" in output


def test_networks_that_need_larger_pictures_are_refused_with_sizes_that_work(tmp_path, photos):
    output = run_with("large-only", tmp_path, photos, 2).output
    assert (
        "don't work at 32 pixels: too small" in output and "They work at 64, 128, 224 and 256: change --size." in output
    )


CACHED = """
from toolbox import GeneratorSpec, hookimpl


def build(params):
    import torch
    from torch import nn
    from torch.nn.utils import parametrizations, parametrize

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
            self.last = nn.Conv2d(4, 3, 1)

        def forward(self, pictures):
            return self.last(self.first(self.first(pictures)))

    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def forward(self, image, mask):
            with parametrize.cached():
                return self.block(torch.cat([image, mask], 1)).sigmoid()

    return Cached()


@hookimpl
def toolbox_generators():
    return [GeneratorSpec(name="mine", summary="x", build=build)]
"""


def test_a_network_that_cant_be_recomputed_is_told_of_the_setting(tmp_path, photos):
    """The remedies named faults that the component does not have."""
    recipe = '[data]\nsize = 32\n[generator]\nname = "mine"\n[losses.mse]\n[degradations.lost-region]\n'
    add_plugin(tmp_path, CACHED, recipe)
    for value, code in (("false", 0), ("true", 1)):
        options = ("--out", tmp_path / value, "--steps", 1, "--batch", 2, "--set", f"training.recompute={value}")
        result = run_mine(tmp_path, photos, code, *options)
    assert "Generator 'mine' of the plugin 'mine' fails in the backward pass: CheckpointError" in result.output
    assert "What may help: set training.recompute = false" in result.output


SILENT = """
import copy

import torch
from torch import nn
from toolbox import LossSpec, StepSpec, hookimpl


class Nothing(torch.autograd.Function):
    @staticmethod
    def forward(context, tensor):
        return tensor.clone()

    @staticmethod
    def backward(context, gradient):
        gradient = 0.1 * gradient  # and no return


class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.teacher = None

    def forward(self, context, batch):
        if self.teacher is None:
            self.teacher = copy.deepcopy(context.generator).requires_grad_(False)
        for part in context.micro_batches(batch):
            outputs = context.generate(part)
            total = sum(loss.weight * context.reconstruction(loss, outputs, part) for loss in context.losses)
            context.record("g", total, part)
            context.backward(total, part)


LOSSES = {
    "map": lambda restored, truth, mask: (restored - truth).abs(),
    "nothing": lambda restored, truth, mask: (Nothing.apply(restored) - truth).abs().mean(),
    "rounded": lambda restored, truth, mask: ((255 * restored).round() / 255 - truth).abs().mean(),
}


@hookimpl
def toolbox_losses():
    return [LossSpec(name=name, summary="x", build=lambda params, name=name: LOSSES[name]) for name in LOSSES]


@hookimpl
def toolbox_steps():
    return [StepSpec(name="teacher", summary="x", build=lambda params: Teacher(), uses_discriminator=False)]
"""
NO_GRADIENT = "gives no gradient, so it trains nothing: a `backward` in it returns None"
SILENT_FAULTS = {
    "a loss whose backward returns None": (
        "[losses.nothing]",
        1,
        f"Loss 'nothing' of the plugin 'mine' ({{}}) {NO_GRADIENT}",
    ),
    "one beside another": (
        "[losses.mse]\n[losses.nothing]",
        1,
        f"Loss 'nothing' of the plugin 'mine' ({{}}) {NO_GRADIENT}",
    ),
    "a loss that rounds": ("[losses.rounded]", 0, "warning: Nothing trains the generator: in the first 3 steps"),
    "a teacher that is made in a call": (
        '[losses.mse]\n[step]\nname = "teacher"',
        1,
        "Step 'teacher' of the plugin 'mine' ({}) creates teacher.down.0.0.weight in a call",
    ),
    "a loss in another one": (
        '[losses.hole]\ninner = {name = "map"}',
        1,
        "Loss 'map' of the plugin 'mine' ({}) returned a tensor [2, 3, 32, 32], not a scalar",
    ),
}


@pytest.mark.parametrize("name", SILENT_FAULTS)
def test_what_trained_nothing_or_resumed_differently_without_a_word_is_named(name, tmp_path, photos):
    table, code, words = SILENT_FAULTS[name]
    recipe = "[data]\nsize = 32\n[degradations.lost-region]\n[training]\nbatch = 2\n" + table
    recipe += '\n[generator]\nname = "inpainting-unet"\nwidth = 4\nlevels = 2\n'
    add_plugin(tmp_path, SILENT, recipe)
    result = run_mine(tmp_path, photos, code, "--steps", 4)
    before, _, after = words.partition("{}")
    assert re.search(re.escape(before) + (r"[^)]*mine\.py:\d+" if after else "") + re.escape(after), result.output)
