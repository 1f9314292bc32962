"""A loss or a penalty whose value has no gradient trains nothing, and is named once."""

from __future__ import annotations

import warnings

import pytest
import torch
from penalty_contexts import penalty_context

from toolbox import LossSpec, Params, PenaltySpec
from toolbox.config.plan import BoundComponent
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolation import PluginWarning
from toolbox.models import component_calls as calls
from toolbox.models.component_calls import WatchedComponent

PICTURE = torch.full((1, 3, 8, 8), 0.5)
MASK = torch.zeros(1, 1, 8, 8)
MESSAGE = "'rigged' of the plugin 'stranger' returned a value without gradient, so it trains nothing; remove detach"


def watch_of(spec_class, **facts):
    spec = spec_class(name="rigged", summary="x", build=lambda params: None, **facts)
    return WatchedComponent(entry=Entry(kind=spec.kind, spec=spec, plugin="stranger", distribution="", version=""))


def call_loss(watch, function, requires_grad=True):
    calls.call_loss(watch, function, PICTURE.clone().requires_grad_(requires_grad), PICTURE, MASK)


def detached(restored, truth, mask):
    return (restored - truth).detach().square().mean()


def test_a_loss_without_gradient_is_named_once():
    watch = watch_of(LossSpec)
    call_loss(watch, detached, requires_grad=False)  # a frozen generator
    with torch.no_grad():  # a validation
        call_loss(watch, detached)
    with pytest.warns(PluginWarning, match=MESSAGE) as caught:
        call_loss(watch, detached)
        call_loss(watch, detached)
    assert len(caught) == 1


def test_an_adversarial_loss_and_a_penalty_without_gradient():
    class Adversarial:
        def generator(self, fake, real):
            return torch.zeros(())

    maps = [torch.ones(1, 1, 2, 2, requires_grad=True)]
    with pytest.warns(PluginWarning, match=MESSAGE):
        calls.call_adversarial_generator(watch_of(LossSpec, role="adversarial"), Adversarial(), maps, None)
    context = penalty_context(lambda picture: maps, PICTURE, PICTURE)
    with pytest.warns(PluginWarning, match=MESSAGE):
        calls.call_penalty(watch_of(PenaltySpec), lambda context: torch.zeros(()), context)


def test_no_gradient_on_purpose_and_good_losses_give_no_warning():
    class Detached(Params):
        detach: bool = True

    entry = watch_of(LossSpec).entry
    bound = BoundComponent(label="rigged", entry=entry, params=Detached(), options={})
    outer = BoundComponent(label="outer", entry=entry, params=Params(), options={}, children={"inner": bound})
    assert (
        outer.detach_param == "detach"
        and not BoundComponent(label="plain", entry=entry, params=Detached(detach=False), options={}).detach_param
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call_loss(WatchedComponent(entry=entry, trains=not outer.detach_param), detached)
        call_loss(watch_of(LossSpec), lambda restored, truth, mask: (restored - truth).square().mean())


@pytest.mark.parametrize("keep", [False, True])
def test_a_loss_that_calls_backward_itself_is_refused(keep):
    """It would add its gradient twice, or end the step's own backward pass with an error of torch without a name."""

    def loss(restored, truth, mask):
        value = (restored - truth).square().mean()
        value.backward(retain_graph=keep)
        return value

    network = torch.nn.Conv2d(3, 3, 1)
    with pytest.raises(WrongResultError, match=r"'rigged' of the plugin 'stranger' \(.*\) calls backward\(\) itself"):
        calls.call_loss(watch_of(LossSpec), loss, network(PICTURE), PICTURE, MASK)


def test_a_loss_that_takes_a_gradient_is_no_fault():
    def loss(restored, truth, mask):
        value = (restored - truth).square().mean()
        gradients = torch.autograd.grad(value, [restored, network.weight], create_graph=True)
        return value + sum(gradient.square().mean() for gradient in gradients)

    network = torch.nn.Conv2d(3, 3, 1)
    calls.call_loss(watch_of(LossSpec), loss, network(PICTURE), PICTURE, MASK).backward()
    assert network.weight.grad is not None and network.bias.grad is not None


def test_a_penalty_that_calls_backward_itself_is_refused():
    def penalty(context):
        value = context.real_maps[0].square().mean()
        value.backward(retain_graph=True)
        return value

    network = torch.nn.Conv2d(3, 1, 1)
    context = penalty_context(lambda picture: [network(picture)], PICTURE, PICTURE)
    with pytest.raises(WrongResultError, match=r"calls backward\(\) itself"):
        calls.call_penalty(watch_of(PenaltySpec), penalty, context)
