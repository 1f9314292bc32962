"""Methods of torch.nn.Module that a component overrides must work as a run calls them, or the component is named."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from toolbox import GeneratorSpec, LossSpec, Params
from toolbox.config.plan import BoundComponent
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.models.build import build_component
from toolbox.testing import check_component


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, image, mask):
        return self.norm(self.layer(torch.cat([image, mask], 1))).sigmoid()


class InnerTrain(nn.Conv2d):
    def train(self):
        return super().train()


def with_method(name, method):
    return lambda: type("Changed", (Network,), {name: method})()


def with_attribute(name, value):
    def make():
        network = Network()
        setattr(network, name, value)
        return network

    return make


def build(make, spec_class=GeneratorSpec):
    spec = spec_class(name="rigged", summary="x", build=lambda params: make())
    entry = Entry(kind=spec.kind, spec=spec, plugin="stranger", distribution="", version="")
    return build_component(BoundComponent(label="", entry=entry, params=Params(), options={}))


def parent(self):
    return super(type(self), self)


FAULTS = {
    "train without mode": (with_method("train", lambda self: parent(self).train()), "train() raises TypeError"),
    "train without return": (with_method("train", lambda self, mode=True: None), "train() returns None"),
    "train that fails": (with_method("train", lambda self, mode=True: self.absent), "train() raises AttributeError"),
    "train of an inner module": (
        with_attribute("layer", InnerTrain(4, 3, 1)),
        "overrides train() of its InnerTrain so",
    ),
    "eval without return": (with_method("eval", lambda self: None), "eval() returns None"),
    "to without return": (with_method("to", lambda self, *args, **kwargs: None), "to() returns None"),
    "to with a device": (with_method("to", lambda self, device: self), "to() raises TypeError"),
    "_apply without return": (
        with_method("_apply", lambda self, fn, recurse=True: None),
        "overrides _apply() so that to()",
    ),
    "zero_grad without argument": (with_method("zero_grad", lambda self: None), "zero_grad() raises TypeError"),
    "a list of parameters": (with_method("parameters", lambda self: []), "parameters() returns a list; write"),
    "named_parameters without recurse": (with_method("named_parameters", lambda self: []), "raises TypeError"),
    "buffers without recurse": (with_method("buffers", lambda self: []), "buffers() raises TypeError"),
    "children of None": (with_method("children", lambda self: None), "children() returns None"),
    "a state of None": (with_method("state_dict", lambda self: None), "state_dict() returns None"),
    "an attribute train": (with_attribute("train", True), "has an attribute `train`, which hides train() of"),
    "an attribute modules": (with_attribute("modules", [1]), "has an attribute `modules`, which hides modules() of"),
    "a state that it does not load": (
        with_method("state_dict", lambda self, *args, **kwargs: self.layer.state_dict(*args, **kwargs)),
        "does not load weight, which its state_dict() saves",
    ),
    "nothing loaded": (
        with_method("load_state_dict", lambda self, state, strict=True: None),
        "does not load layer.wei",
    ),
    "loading without strict": (
        with_method("load_state_dict", lambda self, state: None),
        "can't load what it saves: Type",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_overridden_method_that_a_run_can_not_call_is_named(fault):
    """A run ended in a traceback without a name, or was continued without the weights."""
    make, words = FAULTS[fault]
    with pytest.raises(WrongResultError) as raised:
        build(make)
    text = str(raised.value)
    assert text.startswith(f"Generator 'rigged' of the plugin 'stranger' ({__file__}:") and words in text


def test_the_kit_names_an_overridden_method():
    """It said that the generator can't be called as generator(image, mask)."""
    make, words = FAULTS["train without mode"]
    spec = GeneratorSpec(name="rigged", summary="x", build=lambda params: make(), reference="x")
    (failed,) = [check for check in check_component(spec) if check.status == "failed"]
    assert failed.name == "build" and words in failed.detail and "`def train(self, mode=True)`" in failed.detail


class Lora(Network):
    """A network that adds a part to its weights in eval mode, and takes it away in train mode."""

    is_merged = False

    def train(self, mode=True):
        super().train(mode)
        if self.is_merged == mode:
            self.layer.weight.data += -1 if mode else 1
            self.is_merged = not mode
        return self


class Remapped(Network):
    def load_state_dict(self, state_dict, strict=True, assign=False):
        renamed = {name.replace("old.", "layer."): value for name, value in state_dict.items()}
        super().load_state_dict(renamed, strict, assign)


class Inner(Network):
    def state_dict(self, *args, **kwargs):
        return self.layer.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict, **kwargs):
        return self.layer.load_state_dict(state_dict, **kwargs)


class Moved(Network):
    def __init__(self):
        super().__init__()
        self.mean = torch.ones(1, 3, 1, 1)

    def to(self, *args, **kwargs):
        self.mean = self.mean.to(*args, **kwargs)
        return super().to(*args, **kwargs)


def without_layer(self, *args, **kwargs):
    state = parent(self).state_dict(*args, **kwargs)
    return {name: value for name, value in state.items() if not name.startswith("layer")}


def ignore_modes(self, mode=True):
    return self


SOUND = {
    "a frozen norm layer": with_method(
        "train", lambda self, mode=True: (parent(self).train(mode), self.norm.eval())[0]
    ),
    "no modes": with_method("train", ignore_modes),
    "a layer without modes": with_attribute("train_layer", with_method("train", lambda self, mode=True: None)()),
    "merged weights": Lora,
    "other names of loaded state": Remapped,
    "the state of its layer": Inner,
    "a state without a frozen layer": with_method("state_dict", without_layer),
    "a tensor that moves with it": Moved,
    "some parameters": with_method("parameters", lambda self: iter(parent(self).parameters())),
    "a scripted module": lambda: torch.jit.script(Network()),
    "a traced module": lambda: torch.jit.trace(Network(), (torch.rand(1, 3, 16, 16), torch.rand(1, 1, 16, 16))),
    "layers in eval mode": lambda: (network := Network(), network.norm.eval())[0],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_override_is_accepted_and_changes_nothing(name):
    torch.manual_seed(0)
    made = SOUND[name]()
    built = build(lambda: made)
    torch.manual_seed(0)
    expected = SOUND[name]()
    assert [module.training for module in built.modules()] == [module.training for module in expected.modules()]
    for value, other in zip(built.state_dict().values(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, rtol=0, atol=1e-6)


def test_a_loss_whose_train_no_run_calls_is_accepted():
    build(FAULTS["train without return"][0], LossSpec)
    with pytest.raises(WrongResultError, match="Loss 'rigged' .* to\\(\\) returns None"):
        build(FAULTS["to without return"][0], LossSpec)
