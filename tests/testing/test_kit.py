"""The conformance kit on rigged components: each breaks one promise, and the check of that promise says so. 10 s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from rigged import BROKEN
from rigged.sound import Generator, Judge, degradation, game, generator, judge, loss, metric, mse, paint, penalty, r1

from toolbox import Field, GeneratorRef, LossSpec, Params, RecipeSpec
from toolbox.errors import InstallationError
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.kinds import KINDS
from toolbox.testing import assert_conforms, check_component, examples

EMPTY = Catalog(components={kind: {} for kind in KINDS}, plugins=())


def found(spec, **params):
    return {check.name: check for check in check_component(spec, params, EMPTY)}


def statuses(spec, status, **params):
    return {name for name, check in found(spec, **params).items() if check.status == status}


SOUND = {
    "generator": (generator(Generator), {"uses the mask"}),
    "generator with the mask": (generator(lambda: Generator(mask=True)), {"uses the mask"}),
    "discriminator": (judge(Judge), {"uses the condition"}),
    "reconstruction": (loss(lambda: mse), set()),
    "adversarial": (game(), set()),
    "penalty": (penalty(lambda: r1), set()),
    "damage": (degradation(paint), set()),
    "metric": (metric(lambda a, b, m: float(np.square(a - b.astype(float)).mean()), better="lower"), set()),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_component_passes_every_check(name):
    spec, noted = SOUND[name]
    assert statuses(spec, "failed") == set()
    assert statuses(spec, "noted") == noted


@pytest.mark.parametrize("rig", BROKEN, ids=lambda rig: f"{rig.spec.kind}: {rig.what}")
def test_a_broken_promise_fails_its_check(rig):
    checks = found(rig.spec)
    assert {name for name, one in checks.items() if one.status == "failed"} == {rig.check, *rig.also}
    assert rig.words in checks[rig.check].detail


class Detach(Params):
    detach: bool = Field(True, description="Report it only.")


class DetachPart(Params):
    detach_weights: bool = Field(True, description="Leave the weights out of the gradient.")


def _half_detached(restored, truth, mask):
    return mse(restored, truth, mask) + mse(restored.detach(), truth, mask)


def test_a_declared_detach_is_noted():
    checks = found(loss(lambda: lambda a, b, m: mse(a.detach(), b, m), params=Detach))
    assert checks["gradient flow"].status == checks["gradient"].status == "noted"
    assert checks["gradient flow"].detail == "detach = true: it is reported and moves no weight"


def test_a_declared_detach_of_a_part_is_noted_with_its_share():
    checks = found(loss(lambda: _half_detached, params=DetachPart))
    assert checks["gradient flow"].status == "ok"
    assert checks["gradient"].status == "noted"
    assert "detach_weights = true" in checks["gradient"].detail


def test_a_detach_that_is_switched_off_is_checked():
    spec = loss(lambda: lambda a, b, m: mse(a.detach(), b, m), params=Detach)
    assert found(spec, detach=False)["gradient flow"].status == "failed"


def _sigmoid():
    return Judge(end=torch.nn.Sigmoid())


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        return upstream * 2


class OnceJudge(Judge):
    def forward(self, picture, image, mask):
        return super().forward(Once.apply(picture), image, mask)


def _nothing_lost(sample, random):
    changed = paint(sample, random)
    return type(sample)(image=changed.image // 2, mask=np.zeros_like(changed.mask), truth=sample.truth)


class Frozen(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 2, 3)

    def forward(self, restored, truth, mask):
        return mse(self.layer(restored), self.layer(truth), mask)


class Large(Generator):
    def forward(self, image, mask):
        if image.shape[-1] < 16:
            raise ValueError("too small for four levels")
        return super().forward(image, mask)


CHOICES = {
    "no tiny photographs": (generator(Large), "tiny photographs", "too small for four levels"),
    "a sigmoid": (judge(_sigmoid), "open ended", "no sigmoid"),
    "one derivative": (judge(OnceJudge), "second derivative", "no gradient penalty"),
    "no reference": (loss(lambda: mse, reference=""), "reference", "name the paper"),
    "RGB only": (loss(lambda: lambda a, b, m: mse(a, b, m) + 0 * a[:, 2].sum()), "one channel", "RGB only"),
    "weights that ask": (loss(Frozen), "trains itself", "requires_grad_(False)"),
    "real maps unused": (game(sees_real=True), "uses real maps", "not used"),
    "nothing lost": (degradation(_nothing_lost), "effect", "marked nothing as lost"),
    "neither luma nor truth": (degradation(_nothing_lost), "keeps", 'keep = "none"'),
    "no figure at equality": (metric(lambda a, b, m: None if (a == b).all() else 0.5), "best at the truth", "None"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_noted_and_not_failed(name):
    spec, check, words = CHOICES[name]
    checks = found(spec)
    assert checks[check].status == "noted"
    assert words in checks[check].detail
    assert not statuses(spec, "failed")


# Checks with a test of their own below, or that only report a figure.
ELSEWHERE = {"description", "params through TOML", "own check", "parameters", "memory"}


@pytest.mark.parametrize("name", SOUND)
def test_every_check_has_a_component_that_it_catches(name):
    spec, noted = SOUND[name]
    # What the kinds share is rigged once: networks' checks as generators, builds and references as any kind.
    kinds = {spec.kind, "generator"} if spec.kind == "discriminator" else {spec.kind}
    caught = {rig.check for rig in BROKEN if rig.spec.kind in kinds} | {"two builds", "reference"}
    caught |= {check for other, check, _ in CHOICES.values() if other.kind in kinds}
    assert set(found(spec)) - caught - noted - ELSEWHERE == set()


class Needs(Params):
    weights: str = Field(description="The file.")


class Bare(Params):
    strength: float = 1.0


class Forgetful(Params):
    most: int | None = Field(3, description="None for no limit.")


def _refuse(params):
    raise ValueError("there is no backbone 'x'")


def _no_network(params):
    raise InstallationError("no network")


def _crash(params):
    raise KeyError("pyramid")


def test_params_are_described_checked_and_survive_toml():
    assert "strength" in found(loss(lambda: mse, params=Bare))["description"].detail
    assert "no backbone 'x'" in found(loss(lambda: mse, check=_refuse))["own check"].detail
    assert "most come back" in found(loss(lambda: mse, params=Forgetful), most=None)["params through TOML"].detail
    assert found(loss(lambda: mse, params=Bare), strength="much")["params"].status == "failed"


def test_what_can_t_be_built_is_noted_or_failed():
    needs = found(loss(lambda: mse, params=Needs))
    assert [(check.name, check.status) for check in needs.values()] == [("build", "noted")]
    assert "needs params: weights" in needs["build"].detail
    absent = LossSpec(name="far", summary="Needs the network", build=_no_network)
    assert found(absent)["build"].status == "noted"
    crashing = LossSpec(name="crash", summary="Crashes", build=_crash)
    assert found(crashing)["build"].status == "failed"
    assert "pyramid" in found(crashing)["build"].detail
    assert found(LossSpec(name="none", summary="Builds None", build=lambda params: None))["build"].status == "failed"


def test_components_among_the_params_come_from_the_catalog():
    class Wraps(Params):
        inner: GeneratorRef = Field(description="Another generator.")

    class Wrapped(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, image, mask):
            return self.inner(image, mask)

    spec = generator(Generator, name="wraps", params=Wraps)
    spec = replace(spec, build=lambda params, inner: Wrapped(inner))
    checks = {c.name: c for c in check_component(spec, {"inner": {"name": "inpainting-unet", "width": 4, "levels": 2}})}
    assert not [name for name, check in checks.items() if check.status == "failed"]
    # Weights and biases by hand: 3*4*9+4 + 4*4*9+4 + 4*8*9+8 + 8*8*9+8 = 1140 down,
    # 12*4*9+4 + 4*4*9+4 = 584 up, 4*3+3 = 15 at the head.
    assert checks["parameters"].detail == "1,739 parameters"
    unknown = check_component(spec, {"inner": {"name": "nothing"}}, EMPTY)
    assert [check.status for check in unknown] == ["failed"]
    assert "'nothing' is not known" in unknown[0].detail


def test_the_size_multiple_and_the_memory_are_measured():
    class Shuffle(Generator):
        def forward(self, image, mask):
            folded = torch.nn.functional.pixel_unshuffle(super().forward(image, mask), 4)
            return torch.nn.functional.pixel_shuffle(folded, 4)

    checks = found(generator(Shuffle))
    assert checks["sizes found"].detail == "sides that are multiples of 4"
    # Kept for the way back by one 3x3 convolution and a sigmoid on 3 channels: the input and the output, 4 bytes each.
    assert found(generator(Generator))["memory"].detail.startswith(f"{2 * 3 * 4 / 1024:.3g} KiB a pixel")


def test_a_recipe_is_bound_written_out_and_read_back(tmp_path):
    good, bad, silent = (tmp_path / f"{name}.toml" for name in ("good", "bad", "silent"))
    good.write_text('# toolbox run --recipe good\nextends = "default"\n')
    bad.write_text('extends = "default"\n[losses.nothing]\nweight = 1.0\n')
    silent.write_text('extends = "default"\n')
    results = {
        path.stem: {c.name: c for c in check_component(RecipeSpec(name=path.stem, summary="A recipe", path=path))}
        for path in (good, bad, silent)
    }
    assert {check.status for check in results["good"].values()} == {"ok"}
    assert [(check.name, check.status) for check in results["bad"].values()] == [("binds", "failed")]
    assert "losses.nothing" in results["bad"]["binds"].detail
    assert results["silent"]["opening"].status == "noted"


def test_the_kit_leaves_the_global_random_numbers_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    check_component(generator(Generator), None, EMPTY)
    check_component(penalty(lambda: r1), None, EMPTY)
    assert torch.equal(before, torch.get_rng_state())


def test_examples_are_what_the_contracts_say():
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
        assert_conforms(loss(lambda: mse, params=Needs))
    assert_conforms(loss(lambda: mse, params=Needs), weights="file")
