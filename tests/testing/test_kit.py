"""The conformance kit on rigged components: each breaks one promise, and the check of that promise fails. 10 s."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from once import Once
from rigged import BROKEN
from rigged.sound import (
    Generator,
    Judge,
    attributes,
    changed,
    degradation,
    game,
    generator,
    judge,
    loss,
    metric,
    mse,
    paint,
    penalty,
    r1,
)

from toolbox import Field, FillerSpec, GeneratorRef, LossSpec, ObserverSpec, Params, RecipeSpec
from toolbox.errors import InstallationError
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.kinds import KINDS
from toolbox.testing import assert_conforms, check_component, examples

EMPTY_CATALOG = Catalog(components={kind: {} for kind in KINDS}, plugins=())


def checks_of(spec, **params):
    return {check.name: check for check in check_component(spec, params, EMPTY_CATALOG)}


def names_with_status(spec, status, **params):
    return {name for name, check in checks_of(spec, **params).items() if check.status == status}


def with_auxiliary(name, channels):
    """Return a generator with an auxiliary output, of a frozen layer or of as many channels as there are classes."""
    frozen = attributes(frozen=lambda: torch.nn.Conv2d(3, channels, 1).requires_grad_(False))
    made = changed(Generator, lambda s, f, x, m: (f(x, m), {name: s.frozen(x)}), frozen)
    return generator(made, auxiliary=(name,))


# A sound component of each kind, and its noted checks.
SOUND = {
    "generator with an output of frozen weights": (with_auxiliary("gray", 1), {"mask use"}),
    "generator with classes of colours": (with_auxiliary("classes", 7), {"mask use"}),
    "generator": (generator(Generator), {"mask use"}),
    "generator with the mask": (generator(lambda: Generator(mask=True)), {"mask use"}),
    "discriminator": (judge(Judge), {"condition use"}),
    "reconstruction": (loss(lambda: mse), set()),
    "adversarial": (game(), set()),
    "penalty": (penalty(lambda: r1), set()),
    "damage": (degradation(paint), set()),
    "metric": (metric(lambda a, b, m: float(np.square(a - b.astype(float)).mean()), better="lower"), set()),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_component_passes_every_check(name):
    spec, noted = SOUND[name]
    assert names_with_status(spec, "failed") == set()
    assert names_with_status(spec, "noted") == noted


@pytest.mark.parametrize("name", SOUND)
def test_what_a_component_prints_goes_to_stderr(name, capfd):
    spec, _ = SOUND[name]

    def build(params, **children):
        component = spec.build(params, **children)
        print("built")
        if not isinstance(component, torch.nn.Module):
            return (lambda *args, **kw: print("called") or component(*args, **kw)) if callable(component) else component
        component.register_forward_pre_hook(lambda *args: print("called"))
        return component

    check_component(replace(spec, build=build), {}, EMPTY_CATALOG)
    output = capfd.readouterr()
    assert output.out == "" and "built" in output.err


@pytest.mark.parametrize("rig", BROKEN, ids=lambda rig: f"{rig.spec.kind}: {rig.what}")
def test_a_broken_contract_fails_its_check(rig):
    checks = checks_of(rig.spec)
    assert {name for name, check in checks.items() if check.status == "failed"} == {rig.check, *rig.also}
    assert rig.words in checks[rig.check].detail


def test_the_detail_of_a_fault_is_complete_however_long_the_path_of_the_plugin_is():
    deep = changed(Generator, lambda self, forward, image, mask: [forward(image, mask)])
    spec = generator(deep)
    for function in (deep.forward, spec.build):
        function.__code__ = function.__code__.replace(co_filename=f"/{'folder/' * 60}mine.py")
    detail = checks_of(spec)["size multiple"].detail
    assert detail.startswith("Generator 'rigged' of the plugin 'under test' (/folder/")
    assert "returned a list of 1; return a tensor of pictures. Expected: generator(image, mask) returns" in detail
    assert detail.count("Generator 'rigged'") == 1


class Detach(Params):
    detach: bool = Field(True, description="Only report it.")


class DetachPart(Params):
    detach_weights: bool = Field(True, description="Leave the weights out of the gradient.")


def _half_detached(restored, truth, mask):
    return mse(restored, truth, mask) + mse(restored.detach(), truth, mask)


def test_a_declared_detach_is_noted():
    checks = checks_of(loss(lambda: lambda a, b, m: mse(a.detach(), b, m), params=Detach))
    assert checks["gradient flow"].status == checks["correct gradient"].status == "noted"
    assert checks["gradient flow"].detail == "detach = true: it is only reported and trains nothing"


def test_a_declared_detach_of_a_part_is_noted_with_its_fraction():
    checks = checks_of(loss(lambda: _half_detached, params=DetachPart))
    assert checks["gradient flow"].status == "ok"
    assert checks["correct gradient"].status == "noted"
    assert "detach_weights = true" in checks["correct gradient"].detail


def test_a_detach_param_that_is_false_does_not_excuse_a_detached_loss():
    spec = loss(lambda: lambda a, b, m: mse(a.detach(), b, m), params=Detach)
    assert checks_of(spec, detach=False)["gradient flow"].status == "failed"


def _make_judge_with_sigmoid():
    return Judge(end=torch.nn.Sigmoid())


class OnceDifferentiableJudge(Judge):
    def forward(self, picture, image, mask):
        return super().forward(Once.apply(picture), image, mask)


def _mark_nothing(sample, random):
    painted = paint(sample, random)
    return type(sample)(image=painted.image // 2, mask=np.zeros_like(painted.mask), truth=sample.truth)


class LossWithTrainableWeights(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 2, 3)

    def forward(self, restored, truth, mask):
        return mse(self.layer(restored), self.layer(truth), mask)


class FourLevelGenerator(Generator):
    def forward(self, image, mask):
        if image.shape[-1] < 16:
            raise ValueError("too small for four levels")
        return super().forward(image, mask)


# Design choices of an author: the component, the check that notes it, and words of the note.
CHOICES = {
    "no tiny photographs": (generator(FourLevelGenerator), "tiny photographs", "too small for four levels"),
    "a sigmoid": (judge(_make_judge_with_sigmoid), "no final sigmoid", "end without a sigmoid"),
    "one derivative": (judge(OnceDifferentiableJudge), "second derivative", "no gradient penalty"),
    "no reference": (loss(lambda: mse, reference=""), "reference", "name the paper"),
    "RGB only": (loss(lambda: lambda a, b, m: mse(a, b, m) + 0 * a[:, 2].sum()), "one channel", "RGB only"),
    "trainable weights": (loss(LossWithTrainableWeights), "own weights", "requires_grad_(False)"),
    "real maps unused": (game(sees_real=True), "real maps use", "not used"),
    "nothing lost": (degradation(_mark_nothing), "effect", "marked nothing as lost"),
    "neither luma nor truth": (degradation(_mark_nothing), "known region", 'keep = "none"'),
    "undefined at equality": (metric(lambda a, b, m: None if (a == b).all() else 0.5), "best at truth", "None"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_design_choice_is_noted_and_does_not_fail(name):
    spec, check, words = CHOICES[name]
    checks = checks_of(spec)
    assert checks[check].status == "noted"
    assert words in checks[check].detail
    assert not names_with_status(spec, "failed")


# Checks that have a test below, or that only report a figure.
TESTED_BELOW = {
    *("description", "toml round trip", "spec check", "parameters", "memory"),
    *("process settings", "unseeded training", "deterministic value"),
}


@pytest.mark.parametrize("name", SOUND)
def test_every_check_catches_some_component(name):
    spec, noted = SOUND[name]
    # Checks that several kinds share are tested with one kind: those of networks with generators, builds and
    # references with any kind.
    kinds = {spec.kind, "generator"} if spec.kind == "discriminator" else {spec.kind}
    caught = {rig.check for rig in BROKEN if rig.spec.kind in kinds} | {"independent builds", "reference"}
    caught |= {check for choice, check, _ in CHOICES.values() if choice.kind in kinds}
    assert set(checks_of(spec)) - caught - noted - TESTED_BELOW == set()


class NeedsFile(Params):
    weights: str = Field(description="The file.")


class Undescribed(Params):
    strength: float = 1.0


class OptionalNone(Params):
    most: int | None = Field(3, description="None for no limit.")


def _refuse(params):
    raise ValueError("there is no backbone 'x'")


def _need_network(params):
    raise InstallationError("no network")


def _crash(params):
    raise KeyError("pyramid")


def test_params_are_described_accepted_and_survive_toml():
    assert "strength" in checks_of(loss(lambda: mse, params=Undescribed))["description"].detail
    assert "no backbone 'x'" in checks_of(loss(lambda: mse, check=_refuse))["spec check"].detail
    optional = checks_of(loss(lambda: mse, params=OptionalNone), most=None)
    assert "most come back" in optional["toml round trip"].detail
    assert checks_of(loss(lambda: mse, params=Undescribed), strength="much")["params"].status == "failed"


def test_a_component_that_cannot_be_built_is_noted_or_failed():
    incomplete = checks_of(loss(lambda: mse, params=NeedsFile))
    assert [(check.name, check.status) for check in incomplete.values()] == [("build", "noted")]
    assert "needs params: weights" in incomplete["build"].detail
    offline = LossSpec(name="far", summary="Needs the network", build=_need_network)
    assert checks_of(offline)["build"].status == "noted"
    crashing = LossSpec(name="crash", summary="Crashes", build=_crash)
    assert checks_of(crashing)["build"].status == "failed"
    assert "pyramid" in checks_of(crashing)["build"].detail
    builds_none = LossSpec(name="none", summary="Builds None", build=lambda params: None)
    assert checks_of(builds_none)["build"].status == "failed"


def test_components_among_the_params_come_from_the_catalog():
    class WrapperParams(Params):
        inner: GeneratorRef = Field(description="Another generator.")

    class Wrapper(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, image, mask):
            return self.inner(image, mask)

    spec = generator(Generator, name="wraps", params=WrapperParams)
    spec = replace(spec, build=lambda params, inner: Wrapper(inner))
    inner = {"name": "inpainting-unet", "width": 4, "levels": 2}
    checks = {check.name: check for check in check_component(spec, {"inner": inner})}
    assert not [name for name, check in checks.items() if check.status == "failed"]
    # Weights and biases by hand: 3*4*9+4 + 4*4*9+4 + 4*8*9+8 + 8*8*9+8 = 1140 down,
    # 12*4*9+4 + 4*4*9+4 = 584 up, 4*3+3 = 15 at the head.
    assert checks["parameters"].detail == "1,739 parameters"
    unknown = check_component(spec, {"inner": {"name": "nothing"}}, EMPTY_CATALOG)
    assert [check.status for check in unknown] == ["failed"]
    assert "'nothing' is not known" in unknown[0].detail


def test_the_size_multiple_and_the_memory_are_measured():
    class Shuffle(Generator):
        def forward(self, image, mask):
            folded = torch.nn.functional.pixel_unshuffle(super().forward(image, mask), 4)
            return torch.nn.functional.pixel_shuffle(folded, 4)

    checks = checks_of(generator(Shuffle))
    assert checks["size multiple"].detail == "sides that are multiples of 4"
    # One 3x3 convolution and a sigmoid keep the input and the output for the backward pass: 3 channels of 4 bytes each.
    memory = checks_of(generator(Generator))["memory"].detail
    assert memory.startswith(f"{2 * 3 * 4 / 1024:.3g} KiB per pixel")


def test_a_recipe_is_bound_written_and_read_back(tmp_path):
    good, bad, silent = (tmp_path / f"{name}.toml" for name in ("good", "bad", "silent"))
    good.write_text('# toolbox run --recipe good\nextends = "default"\n')
    bad.write_text('extends = "default"\n[losses.nothing]\nweight = 1.0\n')
    silent.write_text('extends = "default"\n')
    results = {
        path.stem: {c.name: c for c in check_component(RecipeSpec(name=path.stem, summary="A recipe", path=path))}
        for path in (good, bad, silent)
    }
    assert {check.status for check in results["good"].values()} == {"ok"}
    assert [(check.name, check.status) for check in results["bad"].values()] == [("binding", "failed")]
    assert "losses.nothing" in results["bad"]["binding"].detail
    assert results["silent"]["opening comment"].status == "noted"


def test_the_kit_does_not_change_the_global_random_numbers():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    check_component(generator(Generator), None, EMPTY_CATALOG)
    check_component(penalty(lambda: r1), None, EMPTY_CATALOG)
    assert torch.equal(before, torch.get_rng_state())


def test_the_examples_follow_the_protocols():
    pairs = examples.batch(20, 31, size=3)
    assert pairs.image.shape == pairs.truth.shape == (3, 3, 20, 31)
    assert pairs.mask.shape == (3, 1, 20, 31)
    assert set(pairs.mask.unique().tolist()) == {0.0, 1.0}
    assert 0 <= pairs.truth.min() and pairs.truth.max() <= 1
    assert examples.mask(1, 1).sum() == 2


def test_assert_conforms_passes_fails_and_asks_for_params():
    assert_conforms(loss(lambda: mse))
    with pytest.raises(AssertionError, match=r"loss/rigged +gradient flow +failed +the loss has a value without"):
        assert_conforms(loss(lambda: lambda a, b, m: mse(a.detach(), b, m)))
    with pytest.raises(AssertionError, match="needs params: weights"):
        assert_conforms(loss(lambda: mse, params=NeedsFile))
    assert_conforms(loss(lambda: mse, params=NeedsFile), weights="file")


def _noise(restored, truth, mask):
    return mse(restored, truth, mask) * torch.rand((), dtype=restored.dtype)


class NoiseInTraining(torch.nn.Module):
    def forward(self, restored, truth, mask):
        value = mse(restored, truth, mask)
        return value * (1 + 0 * torch.rand(())) if self.training else value


def _seeding(restored, truth, mask):
    torch.manual_seed(5)
    return mse(restored, truth, mask)


def _drawing_from_numpy(restored, truth, mask):
    return mse(restored, truth, mask) * (1 + np.random.rand())


RANDOM = {
    "noise": (loss(lambda: _noise), "draw random numbers only in a Module in train mode"),
    "a seed": (loss(lambda: _seeding), "seeds the global random numbers"),
    "NumPy's numbers": (loss(lambda: _drawing_from_numpy), "draws NumPy's or Python's"),
    "an adversarial loss with noise": (
        game(lambda fake, real: fake[0].mean() * torch.rand((), dtype=fake[0].dtype)),
        "draw random numbers only",
    ),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_random_loss_fails(name):
    spec, words = RANDOM[name]
    check = checks_of(spec)["deterministic value"]
    assert check.status == "failed" and words in check.detail


def test_random_numbers_of_numpy_fail_in_one_check():
    """They were also taken for a wrong gradient and for state outside of checkpoints."""
    spec, _ = RANDOM["NumPy's numbers"]
    failed = [check.name for check in checks_of(spec).values() if check.status == "failed"]
    assert failed == ["deterministic value"]


def test_noise_in_train_mode_is_allowed_and_a_seed_in_forward_is_not():
    assert checks_of(loss(NoiseInTraining))["deterministic value"].status == "ok"

    class Seeding(Generator):
        def forward(self, image, mask):
            torch.manual_seed(5)
            return super().forward(image, mask)

    assert checks_of(generator(Seeding))["unseeded training"].status == "failed"


class RunningScale(torch.nn.Module):
    """Divides by a running mean of its value, which it updates in train mode only."""

    def __init__(self, detached=0.0):
        super().__init__()
        self.detached = detached
        self.register_buffer("scale", torch.ones(()))

    def forward(self, restored, truth, mask):
        value = mse(restored, truth, mask) + self.detached * mse(restored.detach(), truth, mask)
        if self.training:
            self.scale.mul_(0.9).add_(0.1 * value.detach())
        return value / (self.scale + 1e-3)


class Dropped(torch.nn.Module):
    def forward(self, restored, truth, mask):
        return torch.nn.functional.dropout((restored - truth).abs(), 0.3, self.training).mean()


class RisingWeight(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, restored, truth, mask):
        if self.training:
            self.calls.add_(1)
        return mse(restored, truth, mask) * (self.calls / 100).clamp(max=1)


class RandomCrop(torch.nn.Module):
    def forward(self, restored, truth, mask):
        start = int(torch.randint(0, 5, (1,))) if self.training else 0
        return mse(restored[..., start : start + 10], truth[..., start : start + 10], mask)


class SeededNoise(torch.nn.Module):
    """Adds noise in train mode, seeded by the number of calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, restored, truth, mask):
        if self.training:
            draw = torch.Generator(restored.device).manual_seed(7)
            noise = torch.randn(restored.shape, generator=draw, device=restored.device, dtype=restored.dtype)
            restored = restored + 0.01 * noise * (1 + self.calls)
            self.calls += 1
        return mse(restored, truth, mask)


def _in_float32(restored, truth, mask):
    return (restored.float() - truth.float()).abs().mean()


def _blurred_in_float32(restored, truth, mask):
    channels = restored.shape[1]
    kernel = torch.full((channels, 1, 3, 3), 1 / 9, device=restored.device, dtype=torch.float32)
    return torch.nn.functional.conv2d((restored - truth).float(), kernel, groups=channels).abs().mean()


def _without_autocast(restored, truth, mask):
    with torch.autocast(restored.device.type, enabled=False):
        return mse(restored.float(), truth.float(), mask)


USUAL = {
    "a running mean": RunningScale,
    "dropout": Dropped,
    "a weight that rises": RisingWeight,
    "a random crop": RandomCrop,
    "seeded noise": SeededNoise,
    "a cast to float32": lambda: _in_float32,
    "a kernel in float32": lambda: _blurred_in_float32,
    "no autocast": lambda: _without_autocast,
}


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_loss_passes_every_check(name):
    checks = checks_of(loss(USUAL[name]))
    assert {label: check.detail for label, check in checks.items() if check.status == "failed"} == {}
    assert float(checks["correct gradient"].detail.split()[1]) < 1e-6


class Frozen(torch.nn.Module):
    """Normalizes with a layer that no checkpoint has, and that updates its statistics in train mode."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(3).requires_grad_(False)
        self.norm.checkpoint = False

    def forward(self, restored, truth, mask):
        return mse(self.norm(restored), self.norm(truth), mask)


class FrozenInEval(Frozen):
    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


class FrozenGenerator(Generator):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(3).requires_grad_(False)
        self.norm.checkpoint = False

    def forward(self, image, mask):
        return super().forward(self.norm(image), mask)


def test_state_that_changes_and_is_in_no_checkpoint_fails():
    words = "changes norm.num_batches_tracked, which `checkpoint = False` keeps out of checkpoints"
    check = checks_of(loss(Frozen))["inputs unchanged"]
    assert check.status == "failed" and words in check.detail
    assert checks_of(loss(lambda: FrozenInEval().train()))["saved state"].status == "ok"
    check = checks_of(generator(FrozenGenerator))["inputs unchanged"]
    assert check.status == "failed" and words in check.detail


def _cast_and_detached(restored, truth, mask):
    return _in_float32(restored, truth, mask) + mse(restored.float().detach(), truth, mask)


@pytest.mark.parametrize("make", [lambda: RunningScale(detached=1.0), lambda: _cast_and_detached])
def test_a_detached_part_of_a_usual_loss_is_found(make):
    assert names_with_status(loss(make), "failed") == {"correct gradient"}


def test_a_tensor_on_the_cpu_is_found_in_a_loss_without_autocast():
    def call(restored, truth, mask):
        with torch.autocast(restored.device.type, enabled=False):
            return mse(restored * torch.ones(1, 1, 1, 1), truth, mask)

    check = checks_of(loss(lambda: call))["device"]
    assert check.status == "failed" and "tensors on cpu and" in check.detail


def _with(change, make):
    def build():
        change()
        return make()

    return build


GLOBALS = {
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's seed": lambda: torch.manual_seed(5),
    "torch's number of threads": lambda: torch.set_num_threads(3),
    "NumPy's random numbers": lambda: np.random.seed(5),
}


@pytest.mark.parametrize("name", GLOBALS)
def test_a_change_of_the_process_in_build_is_blamed_on_that_component_alone(name):
    checks = checks_of(loss(_with(GLOBALS[name], lambda: mse)))
    assert {label for label, check in checks.items() if check.status == "failed"} == {"process settings"}
    assert f"changed {name} when it was built" in checks["process settings"].detail
    # The next component is not blamed for it.
    assert names_with_status(loss(lambda: mse), "failed") == set()


def test_a_change_of_the_process_in_a_call_fails_the_check():
    def call(restored, truth, mask):
        torch.set_default_dtype(torch.float64)
        return mse(restored, truth, mask)

    before = torch.get_default_dtype()
    details = [check.detail for check in checks_of(loss(lambda: call)).values() if check.status == "failed"]
    assert details and all("it changes torch's default dtype for the whole process" in detail for detail in details)
    assert torch.get_default_dtype() == before


def test_the_kit_shows_no_warnings_of_numpy_for_a_filler_of_nan():
    spec = FillerSpec(name="nan", summary="x", build=lambda params: lambda image, mask, seed=0: image * np.nan)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert "result format" in names_with_status(spec, "failed")
    assert [one for one in caught if issubclass(one.category, RuntimeWarning)] == []


@pytest.mark.parametrize("seed", [0, 1])
def test_an_observer_that_seeds_is_found_whatever_the_seed(seed):
    """The kit had the same seed, 0, so that nothing changed."""

    class Seeding:
        def on_step(self, record):
            torch.manual_seed(seed)

    spec = ObserverSpec(name="rigged", summary="x", build=lambda params: Seeding())
    assert checks_of(spec)["random numbers"].status == "failed"


def test_a_penalty_that_fails_everywhere_is_not_put_down_to_the_device():
    spec = penalty(
        lambda: lambda context: torch.autograd.grad(context.real_maps[0].detach().sum(), context.real)[0].sum()
    )
    check = checks_of(spec)["device"]
    assert (
        check.status == "failed" and check.detail.startswith("fails on the CPU, too (") and "meta" not in check.detail
    )
