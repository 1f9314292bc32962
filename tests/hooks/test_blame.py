"""Components that raise, return or write what they must not: one line names them and says what was expected."""

from __future__ import annotations

import gc
import inspect
import math
import os
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from penalty_contexts import penalty_context
from torch import nn

from toolbox import LossSpec, MetricSpec, Params, SourceSpec
from toolbox.cli import main
from toolbox.config.plan import BoundComponent
from toolbox.data.sources import WatchedImage, build_source
from toolbox.errors import (
    CancelledError,
    DataError,
    InstallationError,
    OutputError,
    PluginError,
    TrainingError,
    UsageError,
    WeightsError,
)
from toolbox.evaluation.figures import call_metric
from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolation import PluginWarning
from toolbox.hooks.protocols import Sample
from toolbox.hooks.specs import DegradationSpec, DiscriminatorSpec, GeneratorSpec, PenaltySpec, StepSpec
from toolbox.models import component_calls as calls
from toolbox.models.array_calls import DegradationCall, MetricCall
from toolbox.models.build import build_component
from toolbox.models.component_watch import WatchedComponent, attach
from toolbox.models.forward import run_generator
from toolbox.training.state import LossTerm
from toolbox.training.step_context import reconstruction_loss

PICTURES = torch.rand(2, 3, 8, 8)
MASK = torch.zeros(2, 1, 8, 8)
TINY = ["generator.width=4", "generator.levels=2", "discriminator.width=4"]
PHOTO = np.full((8, 8, 3), 100, np.uint8)


def entry(spec_class, **facts):
    spec = spec_class(name="rigged", summary="x", build=lambda params: None, **facts)
    return Entry(kind=spec.kind, spec=spec, plugin="stranger", distribution="", version="")


class Rigged(nn.Module):
    """A network whose result a function makes."""

    def __init__(self, spec_class, function):
        super().__init__()
        self.function = function
        attach(self, entry(spec_class))

    def forward(self, *inputs):
        return self.function(*inputs)


def message(call, *arguments):
    with pytest.raises(blame.WrongResultError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert "\n" not in text and "'rigged' of the plugin 'stranger'" in text and "Expected: " in text
    assert f"{__file__}:" in text
    return text


def write(tensor):
    """Write into a tensor without a trace in its version."""
    tensor.data.numpy()[:] = 0.5


GENERATORS = {
    "a dict": (lambda image, mask: {"restored": image}, "returned a dict"),
    "a list": (lambda image, mask: [image], "returned a list of 1"),
    "None": (lambda image, mask: None, "returned None"),
    "three results": (lambda image, mask: (image, {}, {}), "returned a tuple of 3"),
    "one channel": (lambda image, mask: image[:, :1], "gives [2, 1, 8, 8] for [2, 3, 8, 8]"),
    "another size": (lambda image, mask: image[..., 1:], "gives [2, 3, 8, 7]"),
    "one picture": (lambda image, mask: image[:1], "gives [1, 3, 8, 8]"),
    "whole numbers": (lambda image, mask: (255 * image).to(torch.uint8), "torch.uint8 tensor"),
    "half precision": (lambda image, mask: image.half(), "gives torch.float16 for torch.float32; keep the dtype"),
    "double precision": (lambda image, mask: image.double(), "gives torch.float64 for torch.float32"),
    "an output that is a number": (lambda image, mask: (image, {"edge": 1.0}), "a float as its output 'edge'"),
    "a write": (lambda image, mask: image.clamp_(0.2, 0.8), "writes into `image`"),
    "a hidden write": (lambda image, mask: [write(mask), image][1], "writes into `mask`"),
}


@pytest.mark.parametrize("fault", GENERATORS)
def test_a_generator_that_returns_or_writes_what_it_must_not(fault):
    function, words = GENERATORS[fault]
    network = Rigged(GeneratorSpec, function)
    assert words in message(run_generator, network, "none", PICTURES.clone(), MASK.clone())


def test_a_generator_may_return_half_precision_under_autocast():
    network = Rigged(GeneratorSpec, lambda image, mask: image.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert run_generator(network, "none", PICTURES.clone(), MASK.clone())["restored"].shape == PICTURES.shape


DISCRIMINATORS = {
    "a tensor": (lambda picture, image, mask: picture[:, :1], "return [map]"),
    "no maps": (lambda picture, image, mask: [], "return [map]"),
    "a vector": (lambda picture, image, mask: [picture.mean((1, 2, 3))], "tensor [2] as a map of 2 pictures"),
    "three channels": (lambda picture, image, mask: [picture], "tensor [2, 3, 8, 8] as a map"),
    "verdicts": (lambda picture, image, mask: [picture[:, :1] > 0.5], "torch.bool tensor"),
    "a write": (lambda picture, image, mask: [picture.mul_(2)[:, :1]], "writes into `picture`"),
}


@pytest.mark.parametrize("fault", DISCRIMINATORS)
def test_a_discriminator_that_returns_or_writes_what_it_must_not(fault):
    function, words = DISCRIMINATORS[fault]
    network = Rigged(DiscriminatorSpec, function)
    assert words in message(calls.call_discriminator, network, PICTURES.clone(), PICTURES.clone(), MASK.clone())


LOSSES = {
    "a value for each sample": (
        lambda a, b, m: (a - b).abs().mean((1, 2, 3)),
        "a tensor [2], not a scalar tensor; take",
    ),
    "one dimension": (lambda a, b, m: (a - b).abs().mean().reshape(1), "a tensor [1]"),
    "a float": (lambda a, b, m: float((a - b).abs().mean()), "returned a float"),
    "a dict": (lambda a, b, m: {"loss": (a - b).abs().mean()}, "returned a dict"),
    "None": (lambda a, b, m: None, "returned None"),
    "a pair": (lambda a, b, m: ((a - b).abs().mean(), {}), "returned a tuple of 2"),
    "a count": (lambda a, b, m: (a > b).sum(), "torch.int64 tensor"),
    "a write": (lambda a, b, m: a.sub_(b).abs().mean(), "writes into `restored`"),
    "a hidden write": (lambda a, b, m: [write(b), a.mean()][1], "writes into `truth`"),
}


@pytest.mark.parametrize("fault", LOSSES)
def test_a_loss_that_returns_or_writes_what_it_must_not(fault):
    function, words = LOSSES[fault]
    watch = WatchedComponent(entry=entry(LossSpec))
    assert words in message(calls.call_loss, watch, function, PICTURES.clone(), PICTURES.flip(0), MASK.clone())


def test_an_adversarial_loss_and_a_penalty_that_return_what_they_must_not():
    maps = [PICTURES[:, :1].clone()]
    watch = WatchedComponent(entry=entry(LossSpec, role="adversarial"))

    class Game:
        def generator(self, fake, real):
            return fake[0]

        def discriminator(self, fake, real):
            return fake[0].mean()

    assert "take the mean" in message(calls.call_adversarial_generator, watch, Game(), maps, None)
    assert "returned a tensor []; return two" in message(
        calls.call_adversarial_discriminator, watch, Game(), maps, maps
    )
    with pytest.raises(AttributeError) as caught:
        calls.call_adversarial_generator(watch, object(), maps, None)
    assert blame.blamed(caught.value) is watch.entry
    context = penalty_context(lambda picture: maps, PICTURES, PICTURES)
    watch = WatchedComponent(entry=entry(PenaltySpec))
    assert "not a scalar" in message(calls.call_penalty, watch, lambda context: context.real.mean((1, 2, 3)), context)


DEGRADATIONS = {
    "None": (lambda sample, random: None, "returned None, not a Sample"),
    "a tuple": (lambda sample, random: (sample.image, sample.mask), "returned a tuple"),
    "floats": (lambda s, random: Sample(image=s.image / 255, mask=s.mask, truth=s.truth), "image is a float64"),
    "a gray image": (lambda s, random: Sample(image=s.image[..., 0], mask=s.mask, truth=s.truth), "[8, 8]"),
    "a mask of bytes": (lambda s, r: Sample(image=s.image, mask=s.image[..., 0], truth=s.truth), "mask is a uint8"),
    "another size": (lambda s, r: Sample(image=s.image[1:], mask=s.mask[1:], truth=s.truth[1:]), "[7, 8, 3]"),
    "a write": (lambda s, random: [s.image.fill(0), s][1], "writes into `sample.image`"),
    "a write into the truth": (lambda s, random: [s.truth.fill(0), s][1], "writes into `sample.truth`"),
}


@pytest.mark.parametrize("fault", DEGRADATIONS)
def test_a_degradation_that_returns_or_writes_what_it_must_not(fault):
    function, words = DEGRADATIONS[fault]
    sample = Sample(image=PHOTO.copy(), mask=np.zeros((8, 8), bool), truth=PHOTO.copy())
    call = DegradationCall(entry=entry(DegradationSpec), component=function)
    assert words in message(call, sample, np.random.default_rng(0))


METRICS = {
    "text": (lambda a, b, m: "good", "returned a str"),
    "NaN": (lambda a, b, m: float("nan"), "returned nan; return None"),
    "infinity": (lambda a, b, m: np.float32("inf"), "returned inf"),
    "an array": (lambda a, b, m: a.mean((0, 1)), "a float64 array [3]"),
    "a write": (lambda a, b, m: [a.fill(0), 1.0][1], "writes into `restored`"),
}


@pytest.mark.parametrize("fault", METRICS)
def test_a_metric_that_returns_or_writes_what_it_must_not(fault):
    function, words = METRICS[fault]
    call = MetricCall(entry=entry(MetricSpec), component=function)
    assert words in message(call, PHOTO.copy(), PHOTO.copy(), np.zeros((8, 8), bool))


def loss_on(name, function=lambda output, truth, mask: (output - truth).mean()):
    return LossTerm(label="mine", weight=1, on=name, adversarial=False, sees_real=False, call=function)


WRONG_OUTPUTS = {
    "none": ({}, "returned no output 'edge', which losses.mine uses; its outputs: restored"),
    "one value for each picture": ({"edge": PICTURES.mean((1, 2, 3))}, "returned a tensor [2] as its output 'edge'"),
    "no channels": ({"edge": PICTURES[:, 0]}, "returned a tensor [2, 8, 8] as its output 'edge'"),
    "one picture": ({"edge": PICTURES[:1]}, "returned a tensor [1, 3, 8, 8] as its output 'edge'"),
    "two channels": ({"edge": PICTURES[:, :2]}, "output 'edge', which losses.mine uses; return (2, 1, h"),
    "four channels": ({"edge": torch.rand(2, 4, 8, 8)}, "return (2, 1, h, w) or (2, 3, h, w)"),
}


@pytest.mark.parametrize("fault", WRONG_OUTPUTS)
def test_an_output_of_a_generator_that_a_loss_can_not_use(fault):
    outputs, words = WRONG_OUTPUTS[fault]
    network = Rigged(GeneratorSpec, lambda image, mask: image)
    assert words in message(
        reconstruction_loss, network, loss_on("edge"), {"restored": PICTURES, **outputs}, PICTURES, MASK
    )


def test_outputs_of_a_generator_that_losses_can_use():
    network = Rigged(GeneratorSpec, lambda image, mask: image)
    outputs = {"gray": PICTURES[:, :1, ::2, ::2], "color": PICTURES, "classes": torch.rand(2, 7, 4, 4)}
    for name in ("gray", "color"):
        reconstruction_loss(network, loss_on(name), outputs, PICTURES, MASK)
    logits = loss_on("classes", lambda output, truth, mask: output.mean() + truth.mean())
    reconstruction_loss(network, logits, outputs, PICTURES, MASK)


@pytest.mark.parametrize("value", [1, np.float32(0.5), np.float64(0.25), np.int64(3)])
def test_a_metric_may_return_any_real_number(value):
    result = MetricCall(entry=entry(MetricSpec), component=lambda a, b, m: value)(PHOTO, PHOTO, PHOTO[..., 0] > 0)
    assert type(result) is float and result == float(value)


async def wait(*_, **__):
    return None


def build_of(built):
    spec = replace(built.spec, build=wait)
    return build_component(BoundComponent(label="", entry=replace(built, spec=spec), params=Params(), options={}))


ASYNC_CALLS = {
    "loss": lambda: calls.call_loss(WatchedComponent(entry=entry(LossSpec)), wait, PICTURES, PICTURES, MASK),
    "generator": lambda: run_generator(Rigged(GeneratorSpec, wait), "none", PICTURES.clone(), MASK.clone()),
    "metric": lambda: MetricCall(entry=entry(MetricSpec), component=wait)(PHOTO, PHOTO, PHOTO[..., 0] > 0),
    "build": lambda: build_of(entry(LossSpec)),
    "read": lambda: WatchedImage(SimpleNamespace(name="a", read=wait), entry(SourceSpec)).read(),
}


@pytest.mark.parametrize("name", ASYNC_CALLS)
def test_an_async_component_is_refused_without_a_warning_of_python(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert "returned a coroutine; write `def` instead of `async def`" in message(ASYNC_CALLS[name])
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_an_error_keeps_its_type_and_is_explained_in_one_line():
    def fail(*inputs):
        raise KeyError("no\nluck")

    watch = WatchedComponent(entry=entry(LossSpec))
    with pytest.raises(KeyError) as caught:
        calls.call_loss(watch, fail, PICTURES, PICTURES, MASK)
    line = str(blame.explain(caught.value))
    number = fail.__code__.co_firstlineno + 1
    assert line.startswith("Loss 'rigged' of the plugin 'stranger' raised KeyError: ")
    assert f"{__file__}:{number}" in line and "\n" not in line and "returns a finite scalar" in line


def test_an_error_of_the_machine_is_not_blamed_on_a_component():
    for error in (MemoryError(), torch.OutOfMemoryError("full"), RuntimeError("can't allocate memory: 3 GB")):
        blame.blame(error, entry(LossSpec))
        assert blame.explain(error) is None


PLUGIN = """
from toolbox import LossSpec, hookimpl

def build(params):
    def loss(a, b, m):
        raise LookupError("no luck")
    return loss

@hookimpl
def toolbox_losses():
    return [LossSpec(name="boom", summary="It fails", build=build)]
"""


def test_a_run_ends_in_one_line_that_names_the_component(photos, tmp_path):
    file = tmp_path / "stranger.py"
    file.write_text(PLUGIN)
    runner = CliRunner()
    assert runner.invoke(main, ["plugin", "add", str(file)]).exit_code == 0
    quick = ["training.batch=1", "training.memory_format=contiguous", "losses.boom.enabled=true", *TINY]
    arguments = [part for setting in quick for part in ("--set", setting)]
    result = runner.invoke(
        main, ["run", "--data", str(photos), "--size", "32", "--steps", "1", "--device", "cpu", *arguments]
    )
    assert result.exit_code == 1, result.output
    line = result.stderr.splitlines()[-1]
    assert "Loss 'boom' of the plugin 'stranger' raised LookupError: no luck" in line and f"{file}:6" in line
    assert "Traceback" not in result.output


def test_the_traceback_is_printed_on_request_wherever_the_option_stands():
    for arguments in (["--traceback", "show", "loss", "absent"], ["show", "loss", "absent", "--traceback"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2 and "Traceback" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("toolbox: Loss 'absent' is not known")


class FailingBackward(torch.autograd.Function):
    """An operation whose error appears in the backward pass, where no call of toolbox is left."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, upstream):
        raise LookupError("no luck")


def test_an_error_in_a_backward_pass_is_found_by_its_file(monkeypatch):
    monkeypatch.setattr(blame, "_built", {})
    blame.remember(entry(LossSpec))
    value = FailingBackward.apply(PICTURES.clone().requires_grad_()).mean()
    with pytest.raises(LookupError) as caught:
        value.backward()
    assert "Loss 'rigged' of the plugin 'stranger' raised LookupError: no luck" in str(blame.explain(caught.value))


def test_an_error_in_a_backward_pass_is_that_of_the_innermost_file(monkeypatch):
    """With a step that is built, too, whose file starts the backward pass, no component and no line was named."""
    monkeypatch.setattr(blame, "_built", {})
    blame.remember(entry(LossSpec))
    code = "def train(value):\n    value.backward()\ndef build(params): pass\n"
    exec(compile(code, "other.py", "exec"), outer := {})
    for name in ("step", "another"):
        spec = StepSpec(name=name, summary="x", build=outer["build"])
        blame.remember(Entry(kind="step", spec=spec, plugin="other", distribution="", version=""))
    with pytest.raises(LookupError) as caught:
        outer["train"](FailingBackward.apply(PICTURES.clone().requires_grad_()).mean())
    line = FailingBackward.backward.__code__.co_firstlineno + 2
    words = f"Loss 'rigged' of the plugin 'stranger' raised LookupError: no luck ({__file__}:{line})"
    assert words in str(blame.explain(caught.value))


def test_the_position_of_a_decorated_forward_is_that_of_the_plugin():
    class Decorated(nn.Module):
        @torch.no_grad()
        def forward(self, image, mask):
            return image

    line = inspect.unwrap(Decorated.forward).__code__.co_firstlineno
    for network in (Decorated(), nn.Sequential(Decorated())):
        error = blame.wrong_result(entry(GeneratorSpec), network, "is wrong")
        assert f"'rigged' of the plugin 'stranger' ({__file__}:{line}) is wrong" in str(error)


@pytest.mark.parametrize("error", [SystemExit(3), SystemExit("bye"), BaseException("over")])
def test_a_component_that_ends_the_program_is_named(error):
    def end(*arguments):
        raise error

    with pytest.raises(
        PluginError, match=r"'rigged' of the plugin 'stranger' ends the program \(\w+: .+test_blame.py:"
    ):
        calls.call_loss(WatchedComponent(entry=entry(LossSpec)), end, PICTURES, PICTURES, MASK)
    built = replace(entry(LossSpec), spec=LossSpec(name="rigged", summary="x", build=end))
    bound = BoundComponent(label="rigged", entry=built, params=Params(), options={})
    with pytest.raises(PluginError, match="'rigged' of the plugin 'stranger' ends the program"):
        build_component(bound)


CHANGES = {
    "the working folder": lambda: os.chdir("/"),
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's seed": lambda: torch.manual_seed(torch.initial_seed() + 1),
    "torch's gradient mode": lambda: torch.set_grad_enabled(False),
    "torch's autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "NumPy's random numbers": lambda: np.random.seed(np.random.randint(1000)),
}


@pytest.mark.parametrize("setting", CHANGES)
def test_what_the_first_call_changes_of_the_process_is_put_back_and_named(setting):
    def loss(restored, truth, mask):
        CHANGES[setting]()
        return (restored - truth).mean()

    def settings():
        modes = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
        return os.getcwd(), torch.get_default_dtype(), torch.initial_seed(), modes

    before = settings()
    with pytest.warns(PluginWarning, match=f"'stranger' changed {setting} in a call, which was put back"):
        calls.call_loss(WatchedComponent(entry=entry(LossSpec)), loss, PICTURES, PICTURES, MASK)
    assert before == settings()


def test_a_function_that_takes_other_arguments_is_named_where_it_is_defined():
    """It is never entered, so no line of the plugin is in the traceback."""
    component = entry(MetricSpec)
    component = replace(component, spec=replace(component.spec, build=build_component))
    with pytest.raises(TypeError) as caught:
        blame.call(component, build_component, nonsense=1)
    code = build_component.__code__
    assert f"({code.co_filename}:{code.co_firstlineno})" in str(blame.explain(caught.value))


def raising(error):
    def component(*_, **__):
        raise error

    return component


@pytest.mark.parametrize("error", [DataError, UsageError, OutputError, TrainingError, WeightsError, PluginError])
def test_an_error_of_toolbox_that_a_component_raises_names_the_component(error):
    """It was reported as a fault of the user's photographs, command or disk."""
    watch = WatchedComponent(entry=entry(LossSpec))
    with pytest.raises(error) as raised:
        calls.call_loss(watch, raising(error("No photograph")), PICTURES, PICTURES, MASK)
    explained = blame.explain(raised.value)
    assert explained is not None
    text = str(explained)
    assert text.startswith(
        f"Loss 'rigged' of the plugin 'stranger' raised {error.__name__}: No photograph ({__file__}:"
    )
    metric = MetricCall(entry=entry(MetricSpec), component=raising(error("No photograph")))
    failures = {}
    assert (
        call_metric("mine", metric, np.zeros((2, 2, 3)), np.zeros((2, 2, 3)), np.zeros((2, 2), bool), failures) is None
    )
    assert failures["mine"].startswith("Metric 'rigged' of the plugin 'stranger' raised")


@pytest.mark.parametrize("error", [CancelledError("Cancelled."), InstallationError("pip install it")])
def test_what_a_component_says_to_the_user_on_purpose_is_passed_on(error):
    with pytest.raises(type(error)) as raised:
        calls.call_loss(WatchedComponent(entry=entry(LossSpec)), raising(error), PICTURES, PICTURES, MASK)
    assert blame.explain(raised.value) is None


def test_errors_of_toolbox_in_build_and_in_sources_name_the_component(tmp_path):
    def build(params, *_):
        raise DataError("No photograph")

    def bound(spec_class):
        spec = spec_class(name="rigged", summary="x", build=build)
        facts = {"plugin": "stranger", "distribution": "", "version": ""}
        return BoundComponent(label="", entry=Entry(kind=spec.kind, spec=spec, **facts), params=Params(), options={})

    with pytest.raises(
        PluginError, match="Loss 'rigged' of the plugin 'stranger' can't be built: DataError: No photogr"
    ):
        build_component(bound(LossSpec))
    with pytest.raises(
        PluginError, match="Source 'rigged' of the plugin 'stranger' can't be built: DataError: No phot"
    ):
        build_source(bound(SourceSpec), tmp_path)


def build_with_domain_error(params):
    return math.log(0 * params.model_config["frozen"])


def build_with_advice(params):
    raise ValueError("the width must be even; choose another one")


def test_an_error_of_a_library_in_build_has_its_type_and_position_and_advice_has_not():
    """ "math domain error" said neither what nor where."""
    for build, words in (
        (build_with_domain_error, rf"can't be built: ValueError: .* \({__file__}:\d+\). Expected: loss\(restored"),
        (build_with_advice, r"can't be built: the width must be even; choose another one$"),
    ):
        spec = LossSpec(name="rigged", summary="x", build=build)
        one = Entry(kind="loss", spec=spec, plugin="stranger", distribution="", version="")
        with pytest.raises(PluginError, match=words):
            build_component(BoundComponent(label="", entry=one, params=Params(), options={}))
