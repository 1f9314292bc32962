"""Weights and buffers of unusual kinds work in a run, or are named when the component is built."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import invoke
from torch import nn

from toolbox import DetectorSpec, GeneratorSpec, LossSpec, Params
from toolbox.config.plan import BoundComponent
from toolbox.errors import WeightsError
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.models.build import build_component
from toolbox.models.stored_weights import StoredWeights
from toolbox.models.weight_file import WeightsHeader, not_finite, saved_state, write_weights
from toolbox.testing import check_component


class Network(nn.Module):
    """A generator, a loss or a detector with one tensor more."""

    def __init__(self, name, value, **facts):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        if isinstance(value, nn.Parameter):
            self.register_parameter(name, value)
        else:
            self.register_buffer(name, value, **facts)
        self.name = name

    def forward(self, image, mask, *others):
        return torch.sigmoid(self.layer(image) + getattr(self, self.name).mean())


def spec_of(make, spec_class=GeneratorSpec, **facts):
    return spec_class(name="rigged", summary="x", build=lambda params: make(), **facts)


def build(spec):
    entry = Entry(kind=spec.kind, spec=spec, plugin="stranger", distribution="", version="")
    return build_component(BoundComponent(label="rigged", entry=entry, params=Params(), options={}))


def in_inference_mode():
    with torch.inference_mode():
        return torch.zeros(3)


REFUSED = {
    "a complex weight": (lambda: nn.Parameter(torch.full((3,), 1 + 0.5j)), "complex"),
    "a complex buffer": (lambda: torch.full((3,), 1 + 0.5j), "complex"),
    "a buffer in double complex": (lambda: torch.zeros(3, dtype=torch.complex128), "complex"),
    "a sparse buffer": (lambda: torch.eye(3).to_sparse(), "sparse"),
    "a buffer that requires a gradient": (lambda: torch.zeros(3, requires_grad=True), "with a gradient"),
    "a buffer that is computed from a weight": (lambda: 2 * torch.zeros(3, requires_grad=True), "with a gradient"),
    "a buffer of the inference mode": (in_inference_mode, "from torch.inference_mode"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("spec_class", [GeneratorSpec, LossSpec])
def test_what_can_not_be_trained_or_saved_is_refused_in_runs_and_by_the_kit(name, spec_class):
    make, words = REFUSED[name]
    spec = spec_of(lambda: Network("phase", make()), spec_class)
    with pytest.raises(WrongResultError, match=rf"'rigged' .* has (the buffer )?phase\b.* {words}"):
        build(spec)
    failed = [check for check in check_component(spec) if check.status == "failed"]
    assert [check.name for check in failed] == ["build"] and words in failed[0].detail


def test_a_complex_buffer_that_no_checkpoint_has_is_refused_too():
    spec = spec_of(lambda: Network("phase", torch.full((3,), 1j), persistent=False))
    with pytest.raises(WrongResultError, match="has phase, which is complex"):
        build(spec)


@pytest.mark.parametrize("value", [torch.full((3,), 1j), torch.eye(3).to_sparse()])
def test_what_a_run_does_not_convert_may_have_complex_and_sparse_buffers(value):
    assert build(spec_of(lambda: Network("phase", value), DetectorSpec)).phase is value


def test_a_network_that_is_built_in_the_inference_mode_is_not_refused():
    with torch.inference_mode():
        assert build(spec_of(lambda: Network("mean", torch.zeros(3))))


EXPANDED = {
    "a buffer": lambda: torch.ones(1).expand(4),
    "a buffer of one picture": lambda: torch.tensor(0.5).expand(1, 3, 1, 1),
    "a column": lambda: torch.arange(3.0)[:, None].expand(3, 2),
    "a weight": lambda: nn.Parameter(torch.ones(1).expand(4)),
    "a weight of one picture": lambda: nn.Parameter(torch.tensor(0.5).expand(1, 3, 1, 1)),
}


@pytest.mark.parametrize("name", EXPANDED)
def test_expanded_weights_and_buffers_can_be_changed_saved_and_loaded(name, tmp_path):
    spec = spec_of(lambda: Network("mean", EXPANDED[name]()))
    network = build(spec)
    assert torch.equal(network.mean, EXPANDED[name]()) and not any(stride == 0 for stride in network.mean.stride())
    with torch.no_grad():
        network.mean.copy_(torch.rand(network.mean.shape))
    write_weights(tmp_path / "a.safetensors", saved_state(network), WeightsHeader(recipe=""))
    loaded = build(spec)
    StoredWeights(path=tmp_path / "a.safetensors").load(loaded)
    assert torch.equal(loaded.mean, network.mean)


def test_an_expanded_weight_with_two_names_stays_one():
    def make():
        network = Network("mean", nn.Parameter(torch.ones(1).expand(4)))
        network.tied = network.mean
        return network

    network = build(spec_of(make))
    assert network.tied is network.mean and network.mean.stride() == (1,)


@pytest.mark.parametrize("name", EXPANDED)
def test_the_kit_finds_no_fault_in_expanded_tensors(name):
    checks = check_component(spec_of(lambda: Network("mean", EXPANDED[name]())))
    assert [check for check in checks if check.status == "failed"] == []


class OwnLoading(nn.Linear):
    def _load_from_state_dict(self, *args):
        raise KeyError("version")


def test_a_network_that_does_not_take_its_weights_is_one_line(tmp_path):
    path = Path(tmp_path, "a.safetensors")
    write_weights(path, saved_state(OwnLoading(1, 1)), WeightsHeader(recipe=""))
    with pytest.raises(WeightsError, match=r"a\.safetensors can't be loaded .*: KeyError: 'version'") as caught:
        StoredWeights(path=path).load(OwnLoading(1, 1))
    assert "\n" not in str(caught.value)


def test_a_buffer_may_have_any_value_and_weights_and_statistics_are_finite(tmp_path):
    # Masks of attention have -inf, and a "lowest value so far" begins with inf.
    values = torch.tensor([0.0, -torch.inf, torch.inf, torch.nan])
    network = nn.Sequential(Network("own", values), nn.BatchNorm2d(4))
    assert not_finite(saved_state(network), network) == []
    write_weights(tmp_path / "a.safetensors", saved_state(network), WeightsHeader(recipe=""))
    StoredWeights(path=tmp_path / "a.safetensors").load(network)
    assert torch.equal(network[0].own.nan_to_num(7), values.nan_to_num(7))
    network[1].running_var[0] = torch.inf
    assert not_finite(saved_state(network), network) == ["1.running_var"]
    wrong = Network("own", nn.Parameter(values))
    assert not_finite(saved_state(wrong), wrong) == ["own"]


def test_a_run_with_a_mask_of_minus_infinity_is_trained_saved_and_resumed(tmp_path, photos):
    file = tmp_path / "attention.py"
    file.write_text(
        "import torch\nfrom torch import nn\nfrom toolbox import GeneratorSpec, hookimpl\n"
        "class Network(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Conv2d(3, 3, 3, padding=1)\n"
        "        self.register_buffer('mask', torch.tensor([0.0, -torch.inf]))\n"
        "    def forward(self, image, mask):\n"
        "        return torch.sigmoid(self.layer(image) + self.mask.softmax(0)[1])\n"
        "@hookimpl\ndef toolbox_generators():\n"
        "    return [GeneratorSpec(name='masked', summary='x', build=lambda params: Network())]\n"
    )
    invoke("plugin", "add", file)
    small = ("--size", "32", "--batch", "4", "--set", "discriminator.width=4", "--device", "cpu")
    run = ("run", "--set", "generator.name=masked", "--data", photos, "--out", tmp_path / "run", *small)
    invoke(*run, "--epochs", "1")
    assert "Run folder:" in invoke("run", "--resume", tmp_path / "run", "--epochs", "2").output
    invoke("plugin", "remove", "attention")
