"""What `build` returns is checked: a forgotten return, a class, a module that was not initialized, hidden weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from toolbox import (
    DegradationSpec,
    FillerSpec,
    GeneratorSpec,
    LossSpec,
    MetricSpec,
    ObserverSpec,
    OptimizerSpec,
    Params,
    PenaltySpec,
    PostprocessorSpec,
    ScheduleSpec,
)
from toolbox.config.plan import BoundComponent
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.models.build import build_component
from toolbox.models.component_calls import call_generator, call_loss
from toolbox.models.component_watch import WatchedComponent, attach

SPECS = (
    LossSpec,
    PenaltySpec,
    MetricSpec,
    DegradationSpec,
    FillerSpec,
    PostprocessorSpec,
    ObserverSpec,
    GeneratorSpec,
)
TITLE = "'rigged' of the plugin 'stranger' "


def entry_of(spec_class, build=lambda params: None, **facts):
    facts |= {"role": "augment"} if spec_class is DegradationSpec else {}
    spec = spec_class(name="rigged", summary="x", build=build, **facts)
    return Entry(kind=spec.kind, spec=spec, plugin="stranger", distribution="", version="")


def build(spec_class, component, **facts):
    entry = entry_of(spec_class, lambda params: component, **facts)
    return build_component(BoundComponent(label="rigged", entry=entry, params=Params(), options={}))


class Plain(nn.Module):
    def forward(self, restored, truth, mask):
        return (restored - truth).abs().mean()


class NotInitialized(Plain):
    def __init__(self):
        pass


@pytest.mark.parametrize("spec_class", SPECS)
def test_a_forgotten_return_in_build_and_a_class_are_named(spec_class):
    fault = rf"{TITLE}\(.*test_build_results.py:\d+\) returned None from build"
    with pytest.raises(WrongResultError, match=fault):
        build(spec_class, None)
    with pytest.raises(WrongResultError, match=r"returned the class Plain from build; return an instance: Plain\(…\)"):
        build(spec_class, Plain)


def test_what_can_not_be_called_is_named():
    with pytest.raises(WrongResultError, match="returned a dict from build, which can't be called"):
        build(LossSpec, {})
    with pytest.raises(WrongResultError, match="returned a Tensor from build|returned a tensor .* from build"):
        build(MetricSpec, torch.zeros(()))
    build(LossSpec, object(), role="adversarial")  # it has methods instead


@pytest.mark.parametrize("spec_class", [LossSpec, GeneratorSpec])
def test_a_module_without_super_init_is_named(spec_class):
    with pytest.raises(WrongResultError, match=r"is a NotInitialized whose __init__ does not call super\(\).__init__"):
        build(spec_class, NotInitialized())


class NoSuper(torch.optim.SGD):
    def __init__(self, weights):
        pass


class OwnState(torch.optim.SGD):
    def __init__(self, weights):
        super().__init__(weights, lr=0.1)
        self.state = 3


class Wrapper(torch.optim.Optimizer):
    """An optimizer around another one, which has all state."""

    def __init__(self, weights):
        self.inner = torch.optim.SGD(weights, lr=0.1)

    param_groups = property(lambda self: self.inner.param_groups)
    state = property(lambda self: self.inner.state)


class NoSuperSchedule(torch.optim.lr_scheduler.LRScheduler):
    def __init__(self):
        pass


def test_an_optimizer_or_a_schedule_without_the_attributes_of_torch_is_named():
    """A run ended in a traceback without a name, or a schedule was said to be of another optimizer."""
    weights = [nn.Parameter(torch.zeros(1))]
    with pytest.raises(WrongResultError, match=rf"{TITLE}.* is a NoSuper whose __init__ does not call super"):
        build(OptimizerSpec, NoSuper(weights))
    with pytest.raises(WrongResultError, match=rf"{TITLE}.* has an attribute `state`, which hides that of torch.optim"):
        build(OptimizerSpec, OwnState(weights))
    with pytest.raises(WrongResultError, match=rf"{TITLE}.* is a NoSuperSchedule whose __init__ does not call super"):
        build(ScheduleSpec, NoSuperSchedule())
    optimizer = build(OptimizerSpec, Wrapper(weights))
    build(ScheduleSpec, torch.optim.lr_scheduler.ChainedScheduler([torch.optim.lr_scheduler.StepLR(optimizer, 1)]))


class Hidden(nn.Module):
    """A network with layers in a plain list or dict."""

    def __init__(self, layers, **registered):
        super().__init__()
        self.inner = nn.Module()
        self.inner.layers = layers
        for name, value in registered.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 3, 1)],
        (nn.Conv2d(3, 3, 1).requires_grad_(False), nn.Conv2d(3, 3, 1)),
        {"a": nn.Conv2d(3, 3, 1)},
        [nn.Parameter(torch.ones(1))],
    ],
)
@pytest.mark.parametrize("spec_class", [LossSpec, GeneratorSpec])
def test_layers_in_a_plain_list_are_named(spec_class, layers):
    with pytest.raises(
        WrongResultError, match="has weights in inner.layers, a plain list, tuple or dict, which nothing"
    ):
        build(spec_class, Hidden(layers))


def test_registered_and_frozen_layers_in_a_list_are_no_fault():
    layer = nn.Conv2d(3, 3, 1)
    for network in (
        Hidden([layer], again=layer),
        Hidden([nn.Conv2d(3, 3, 1).requires_grad_(False)]),
        Hidden(nn.ModuleList([layer])),
        Hidden([1, "a", None, torch.zeros(2)]),
    ):
        build(GeneratorSpec, network)


@pytest.mark.parametrize("kind", ["detach", "numpy"])
def test_a_generator_without_gradient_is_named_instead_of_the_step(kind):
    class Network(nn.Conv2d):
        def forward(self, image, mask):
            pictures = super().forward(image)
            return pictures.detach() if kind == "detach" else torch.from_numpy(pictures.detach().numpy())

    network, image = Network(3, 3, 1), torch.rand(1, 3, 8, 8)
    attach(network, entry_of(GeneratorSpec))
    with pytest.raises(WrongResultError, match=r"returned pictures without gradient, so nothing trains it; remove det"):
        call_generator(network, image, image[:, :1])
    with torch.no_grad():
        call_generator(network, image, image[:, :1])
    call_generator(network.eval(), image, image[:, :1])
    call_generator(network.train().requires_grad_(False), image, image[:, :1])


def train_with(loss):
    restored = nn.Conv2d(3, 3, 1)(torch.rand(2, 3, 8, 8))
    watch = WatchedComponent(entry=entry_of(LossSpec))
    call_loss(watch, loss, restored, torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8))


class Own(nn.Module):
    """A loss with weights of its own."""

    def __init__(self, detached):
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 1)
        self.detached = detached

    def forward(self, restored, truth, mask):
        restored = restored.detach() if self.detached else restored
        return (self.convolution(restored) - self.convolution(truth)).square().mean()


def test_a_loss_whose_gradient_does_not_reach_the_pictures_is_named():
    def new_tensor(restored, truth, mask):
        return torch.tensor((restored - truth).abs().mean().item(), requires_grad=True)

    for bad in (new_tensor, Own(detached=True)):
        with pytest.raises(WrongResultError, match="returned a value without gradient"):
            train_with(bad)
    for good in (Own(detached=False), Plain(), lambda restored, truth, mask: restored.double().mean()):
        train_with(good)
