"""Weights that can't be trained or saved are named; nothing of a component is lost in silence."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from toolbox import DiscriminatorSpec, GeneratorSpec, LossSpec, PenaltySpec, StepSpec
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolation import PluginWarning
from toolbox.models.component_calls import (
    call_adversarial_discriminator,
    call_adversarial_generator,
    call_discriminator,
    call_generator,
    call_loss,
)
from toolbox.models.component_watch import WatchedComponent, attach, watch_of
from toolbox.models.module_state import require_usable_state, warn_of_untrained_weights
from toolbox.models.stored_weights import StoredWeights
from toolbox.models.weight_file import WeightsHeader, saved_state, write_weights
from toolbox.testing import check_component

MASK = torch.zeros(2, 1, 8, 8)


def entry_of(spec_class=LossSpec, **facts):
    spec = spec_class(name="rigged", summary="x", build=lambda params: None, **facts)
    return Entry(kind=spec.kind, spec=spec, plugin="stranger", distribution="", version="")


class Features(nn.Module):
    """A loss of the features of a network."""

    def __init__(self, network, *, saved=True):
        super().__init__()
        self.network = network
        if not saved:
            self.network.checkpoint = False

    def forward(self, restored, truth, mask):
        return (self.network(restored) - self.network(truth)).square().mean()


class Evaluated(Features):
    def train(self, mode=True):
        super().train(mode)
        self.network.eval()
        return self


def normalized():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)).requires_grad_(False)


def call(loss, watch=None, **facts):
    restored = torch.rand(2, 3, 8, 8, requires_grad=True) * 1
    call_loss(watch or WatchedComponent(entry=entry_of(**facts)), loss, restored, torch.rand(2, 3, 8, 8), MASK)


@pytest.mark.parametrize(
    ("network", "saved", "fault"),
    [
        (nn.LazyConv2d(2, 3), True, "has network.weight without a shape, from a lazy module"),
        (nn.Conv2d(3, 2, 3, device="meta"), True, "has network.weight without values, on the device 'meta'"),
        (nn.Conv2d(3, 2, 3), False, "trains network.weight, which `checkpoint = False` keeps out of checkpoints"),
    ],
)
def test_weights_that_can_not_be_trained_or_saved_are_refused(network, saved, fault):
    with pytest.raises(WrongResultError, match=fault):
        require_usable_state(Features(network, saved=saved), entry_of())


def test_state_that_is_not_saved_may_not_change():
    fault = r"changes network.1.num_batches_tracked, which .* keep that module in eval mode \(override train\)"
    with pytest.raises(WrongResultError, match=fault):
        call(Features(normalized(), saved=False).train())
    call(Features(normalized()).train())
    for loss in (Evaluated(normalized(), saved=False).train(), Features(normalized(), saved=False).eval()):
        require_usable_state(loss, entry_of())
        call(loss)


@pytest.mark.parametrize("hold", [lambda value: value, lambda value: [value], lambda value: {"a": value}])
def test_a_constant_without_values_is_refused(hold):
    """The comparison of two builds ended in a traceback of torch."""
    loss = Features(nn.Conv2d(3, 2, 3))
    loss.kernel = hold(torch.ones(3, device="meta"))
    with pytest.raises(WrongResultError, match=r"has kernel\S* without values, on the device 'meta'"):
        require_usable_state(loss, entry_of())


def test_a_buffer_that_keeps_the_graph_of_a_call_is_refused():
    """The backward pass of the next step failed, with a line that named no buffer, and the kit found nothing."""

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, restored, truth, mask):
            self.mean = 0.9 * self.mean + 0.1 * (restored - truth).square().mean()
            return self.mean

    with pytest.raises(WrongResultError, match=r"keeps the graph of a call in its buffer mean; write value.detach\(\)"):
        call(Mean())
    spec = LossSpec(name="rigged", summary="x", build=lambda params: Mean())
    failed = [check for check in check_component(spec) if check.status == "failed"]
    assert [check.name for check in failed] == ["inputs unchanged"] and "keeps the graph" in failed[0].detail


def test_weights_outside_of_a_module_are_named_once():
    network, weight = nn.Conv2d(3, 2, 3), torch.ones((), requires_grad=True)
    watch = WatchedComponent(entry=entry_of())
    with pytest.warns(PluginWarning, match="Loss 'rigged' .* outside of a torch.nn.Module") as caught:
        call(lambda restored, truth, mask: network(restored - truth).square().mean(), watch)
        call(lambda restored, truth, mask: network(restored - truth).square().mean(), watch)
    assert len(caught) == 1

    class Adversarial:
        def generator(self, fake, real):
            return (weight * fake[0]).mean()

    watch = WatchedComponent(entry=entry_of(role="adversarial"))
    with pytest.warns(PluginWarning, match="outside of a torch.nn.Module"):
        for _ in range(2):  # a tensor that is no parameter is known as a weight when the next call has it too
            call_adversarial_generator(watch, Adversarial(), [torch.rand(2, 1, 4, 4, requires_grad=True)], None)
    # Those of a module are trained; frozen ones need not be.
    call(Features(nn.Conv2d(3, 2, 3)))
    network.requires_grad_(False)
    call(lambda restored, truth, mask: network(restored - truth).square().mean())


class Scaled(nn.Conv2d):
    """A network that multiplies by a tensor that is no parameter."""

    def __init__(self, kind, maps):
        super().__init__(3, maps, 1)
        self.maps, self.scale = maps, torch.ones((), requires_grad=True)
        attach(self, entry_of(kind))

    def forward(self, picture, *others):
        result = self.scale * super().forward(picture)
        return [result] if self.maps == 1 else (result, {"gray": result[:, :1]})


@pytest.mark.parametrize(
    ("network", "call_network", "count"),
    [
        (Scaled(GeneratorSpec, 3), call_generator, 2),
        (Scaled(DiscriminatorSpec, 1), call_discriminator, 3),
    ],
)
def test_a_tensor_of_a_network_that_is_no_parameter_is_named_once(network, call_network, count):
    picture = torch.rand(2, 3, 8, 8)
    inputs = [picture.clone().requires_grad_(count == 3), picture, MASK][-count:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.no_grad():  # the size of a photograph is tried, or a validation comes first
            call_network(network, *inputs)
    with pytest.warns(PluginWarning, match="'rigged' .* outside of a torch.nn.Module .a tensor ") as caught:
        for _ in range(3):
            call_network(network, *inputs)
    assert len(caught) == 1
    network.scale.requires_grad_(False)
    watch_of(network).searched.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call_network(network, *inputs)


def test_the_weights_of_a_generator_are_none_outside_of_a_discriminator():
    """A step may give the discriminator pictures that have their graph."""
    network = Scaled(DiscriminatorSpec, 1)
    network.scale.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call_discriminator(network, nn.Conv2d(3, 3, 1)(torch.rand(2, 3, 8, 8)), torch.rand(2, 3, 8, 8), MASK)


def test_weights_that_no_optimizer_gets_are_named():
    with pytest.warns(PluginWarning, match="Penalty 'rigged' .* nothing trains them"):
        warn_of_untrained_weights(nn.Linear(1, 1), entry_of(PenaltySpec))
    warn_of_untrained_weights(nn.Linear(1, 1).requires_grad_(False), entry_of(PenaltySpec))
    warn_of_untrained_weights(lambda context: torch.zeros(()), entry_of(PenaltySpec))


@pytest.mark.parametrize("held", [lambda weight: weight, lambda weight: [weight], lambda weight: {"first": weight}])
def test_a_tensor_of_a_penalty_or_a_step_that_requires_gradients_is_named(held):
    """Their weights are never trained; a tensor in an attribute was not seen."""
    for kind in (PenaltySpec, StepSpec):
        component = nn.Sequential(nn.ReLU())
        component[0].scale = held(torch.ones((), requires_grad=True))
        with pytest.warns(PluginWarning, match="'rigged' .* nothing trains them"):
            warn_of_untrained_weights(component, entry_of(kind))
        component[0].scale = held(torch.ones(()))
        component[0].result = held(nn.Parameter(torch.ones(())).requires_grad_(False) * 2)
        warn_of_untrained_weights(component, entry_of(kind))


def test_stored_weights_load_into_a_network_with_frozen_parts(tmp_path):
    def build(value):
        network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False))
        network[1].checkpoint = False
        with torch.no_grad():
            network[0].weight.fill_(value)
        return network

    path = tmp_path / "weights.safetensors"
    write_weights(path, saved_state(build(3.0)), WeightsHeader(recipe=""))
    loaded = build(0.0)
    StoredWeights(path=path).load(loaded)
    assert loaded[0].weight.item() == 3


def test_the_kit_finds_weights_outside_of_a_module():
    def build(params):
        network = nn.Conv2d(3, 2, 3)
        return lambda restored, truth, mask: (network(restored) - network(truth)).square().mean()

    checks = check_component(LossSpec(name="rigged", summary="x", build=build))
    (own,) = [check for check in checks if check.name == "own weights"]
    assert own.status == "failed" and "outside of a torch.nn.Module" in own.detail


class OutsideNet(nn.Module):
    """A network that uses a layer which is not in it."""

    def __init__(self, maps):
        super().__init__()
        self.layer, self.hidden = nn.Conv2d(3, maps, 1), nn.Conv2d(3, maps, 1).__call__
        self.maps = maps

    def forward(self, image, *_):
        result = torch.sigmoid(self.layer(image) + self.hidden(image))
        return [result] if self.maps == 1 else result


def outside_penalty(params):
    scale = torch.ones((), requires_grad=True)
    return lambda context: scale * sum(values.square().mean() for values in context.real_maps)


class OutsideGame:
    def __init__(self, params):
        self.scale = torch.ones((), requires_grad=True)

    def generator(self, fake, real):
        return sum((values - 1).square().mean() for values in fake)

    def discriminator(self, fake, real):
        on_real = sum((self.scale * values - 1).square().mean() for values in real)
        return sum(values.square().mean() for values in fake), on_real


@pytest.mark.parametrize(
    ("spec_class", "build", "options"),
    [
        (GeneratorSpec, lambda params: OutsideNet(3), {}),
        (DiscriminatorSpec, lambda params: OutsideNet(1), {}),
        (PenaltySpec, outside_penalty, {}),
        (LossSpec, OutsideGame, {"role": "adversarial"}),
    ],
)
def test_the_kit_finds_weights_outside_of_a_module_of_every_kind(spec_class, build, options):
    checks = check_component(spec_class(name="rigged", summary="x", build=build, **options))
    (own,) = [check for check in checks if check.name == "own weights"]
    assert own.status == "failed" and "outside of a torch.nn.Module" in own.detail


class LateNet(nn.Module):
    """A network that creates a layer in its first call, as a loss and as a generator."""

    def __init__(self, params):
        super().__init__()
        self.layer, self.late = nn.Conv2d(3, 3, 1), None

    def forward(self, image, *others):
        if self.late is None:
            self.late = nn.Conv2d(3, 3, 1)
        result = self.late(self.layer(image)).sigmoid()
        return (result - others[0]).square().mean() if len(others) == 2 else result


@pytest.mark.parametrize("spec_class", [GeneratorSpec, LossSpec])
def test_the_kit_finds_weights_that_are_created_in_a_call(spec_class):
    checks = check_component(spec_class(name="rigged", summary="x", build=LateNet))
    (own,) = [check for check in checks if check.name == "inputs unchanged"]
    assert own.status == "failed" and "creates late.weight in a call; create it in build" in own.detail


class ReplacingNet(nn.Module):
    """A network that normalizes its weight by hand, as a loss and as a generator: no optimizer trains the new one."""

    def __init__(self, params):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, image, *others):
        self.layer.weight = nn.Parameter(nn.functional.normalize(self.layer.weight, dim=1))
        result = self.layer(image).sigmoid()
        return (result - others[0]).square().mean() if len(others) == 2 else result


class NormalizedNet(ReplacingNet):
    """The same with the means of torch, which leave the weights as they are, or in place."""

    def __init__(self, params):
        super().__init__(params)
        nn.utils.parametrizations.weight_norm(self.layer)

    def forward(self, image, *others):
        with torch.no_grad():
            self.layer.bias.clamp_(-1, 1)
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False) if others == () else None
        result = self.layer(image).sigmoid()
        return (result - others[0]).square().mean() if len(others) == 2 else result


@pytest.mark.parametrize("spec_class", [GeneratorSpec, LossSpec])
def test_the_kit_finds_weights_that_are_replaced_in_a_call(spec_class):
    checks = check_component(spec_class(name="rigged", summary="x", build=ReplacingNet))
    (found,) = [check for check in checks if "replaces the weight layer.weight in a call" in check.detail]
    assert found.status == "failed" and "under torch.no_grad()" in found.detail
    checks = check_component(spec_class(name="rigged", summary="x", build=NormalizedNet))
    assert not [check for check in checks if "replaces" in check.detail]


def test_weights_outside_of_a_module_are_named_in_the_discriminators_part():
    watch, maps = WatchedComponent(entry=entry_of(role="adversarial")), [torch.rand(2, 1, 4, 4, requires_grad=True)]
    game = OutsideGame(None)
    call_adversarial_generator(watch, game, maps, None)
    with pytest.warns(PluginWarning, match="Loss 'rigged' .* outside of a torch.nn.Module"):
        for _ in range(2):
            call_adversarial_discriminator(watch, game, maps, maps)


class UnrolledNet(nn.Module):
    """A generator that differentiates in a point, a tensor of its own."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        attach(self, entry_of(GeneratorSpec))

    def forward(self, image, mask):
        with torch.enable_grad():
            point = image.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.layer(point).square().sum(), point, create_graph=True)
        return image - gradient


def test_a_point_at_which_a_generator_differentiates_is_no_weight():
    network, picture = UnrolledNet(), torch.rand(2, 3, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            call_generator(network, picture, MASK)
