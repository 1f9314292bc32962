"""A loss or a penalty whose value has no gradient trains nothing, and is named once."""

from __future__ import annotations

import warnings

import pytest
import torch
from once import Once
from penalty_contexts import penalty_context

from toolbox import DiscriminatorSpec, GeneratorSpec, LossSpec, Params, PenaltySpec
from toolbox.config.component_options import LossOptions
from toolbox.config.plan import BoundComponent
from toolbox.hooks.blame import WrongResultError
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolation import PluginWarning
from toolbox.models import component_calls as calls
from toolbox.models.component_watch import WatchedComponent, attach
from toolbox.training import state

PICTURE = torch.full((1, 3, 8, 8), 0.5)
MASK = torch.zeros(1, 1, 8, 8)
MESSAGE = r"'rigged' of the plugin 'stranger' \(.*\) returned a value without gradient, so it trains nothing"


def watch_of(spec_class, **facts):
    spec = spec_class(name="rigged", summary="x", build=lambda params: None, **facts)
    return WatchedComponent(entry=Entry(kind=spec.kind, spec=spec, plugin="stranger", distribution="", version=""))


def call_loss(watch, function, requires_grad=True):
    calls.call_loss(watch, function, PICTURE.clone().requires_grad_(requires_grad), PICTURE, MASK)


def detached(restored, truth, mask):
    return (1 + restored - truth).detach().square().mean()


def test_a_loss_without_gradient_is_refused():
    watch = watch_of(LossSpec)
    call_loss(watch, detached, requires_grad=False)  # a frozen generator
    with torch.no_grad():  # a validation
        call_loss(watch, detached)
    with pytest.raises(WrongResultError, match=MESSAGE):
        call_loss(watch, detached)


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_loss_that_loses_its_gradient_later_is_named_once(is_resumed):
    watch = watch_of(LossSpec)
    watch.is_resumed = is_resumed
    if not is_resumed:
        call_loss(watch, lambda restored, truth, mask: (restored - truth).square().mean())
    with pytest.warns(PluginWarning, match="without gradient, which its earlier values had; remove detach") as caught:
        call_loss(watch, detached)
        call_loss(watch, detached)
    assert len(caught) == 1


def test_an_adversarial_loss_and_a_penalty_without_gradient():
    class Adversarial:
        def generator(self, fake, real):
            return torch.ones(())

        def discriminator(self, fake, real):
            return torch.ones(()), torch.ones(())

    maps = [torch.ones(1, 1, 2, 2, requires_grad=True)]
    with pytest.raises(WrongResultError, match=MESSAGE):
        calls.call_adversarial_generator(watch_of(LossSpec, role="adversarial"), Adversarial(), maps, None)
    with pytest.raises(WrongResultError, match=MESSAGE):
        calls.call_adversarial_discriminator(watch_of(LossSpec, role="adversarial"), Adversarial(), maps, maps)
    context = penalty_context(lambda picture: maps, PICTURE, PICTURE)
    with pytest.raises(WrongResultError, match=MESSAGE):
        calls.call_penalty(watch_of(PenaltySpec), lambda context: torch.ones(()), context)


def test_a_value_of_0_needs_no_gradient():
    """A penalty of every 16th step and a loss of faces are 0 in the other steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for trained in (False, True):
            loss, penalty = watch_of(LossSpec), watch_of(PenaltySpec)
            if trained:
                loss.trained.add("")
                penalty.trained.add("")
            call_loss(loss, lambda restored, truth, mask: torch.zeros(()))
            context = penalty_context(lambda picture: [picture.mean().requires_grad_()], PICTURE, PICTURE)
            calls.call_penalty(penalty, lambda context: torch.zeros(()), context)


def test_a_loss_that_is_always_0_without_gradient_is_named_once():
    watch = watch_of(LossSpec)
    with pytest.warns(PluginWarning, match="has returned 0 without gradient 20 times; it trains nothing") as caught:
        for _ in range(50):
            call_loss(watch, lambda restored, truth, mask: (truth - truth).abs().mean())
    assert len(caught) == 1


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
    with pytest.raises(
        WrongResultError,
        match=r"'rigged' of the plugin 'stranger' \(.*\) changes the gradients of the networks, as backward\(\) does",
    ):
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
    with pytest.raises(WrongResultError, match=r"changes the gradients of the networks, as backward\(\) does"):
        calls.call_penalty(watch_of(PenaltySpec), penalty, context)


class LateBackward(torch.nn.Module):
    """A generator that calls backward() in training only."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(4, 3, 1)

    def forward(self, image, mask):
        pictures = self.layer(torch.cat([image, mask], 1)).sigmoid()
        if self.training:
            pictures.mean().backward(retain_graph=True)
        return pictures


@pytest.mark.parametrize("is_eval_first", [False, True])
def test_a_generator_that_calls_backward_in_training_only_is_refused(is_eval_first):
    """A run calls the generator before training; only this first call was checked, and the gradients were added."""
    network = LateBackward()
    attach(network, watch_of(GeneratorSpec).entry)
    if is_eval_first:
        with torch.no_grad():
            calls.call_generator(network.eval(), PICTURE, MASK)
    with pytest.raises(WrongResultError, match=r"changes the gradients of the networks, as backward\(\) does"):
        calls.call_generator(network.train(), PICTURE, MASK)


def test_the_second_part_of_an_adversarial_loss_is_checked_too():
    class Game:
        def generator(self, fake, real):
            return fake[0].mean()

        def discriminator(self, fake, real):
            fake[0].mean().backward(retain_graph=True)
            return fake[0].mean(), real[0].mean()

    watch, maps = watch_of(LossSpec, role="adversarial"), [torch.nn.Conv2d(3, 1, 1)(PICTURE)]
    calls.call_adversarial_generator(watch, Game(), maps, maps)
    with pytest.raises(WrongResultError, match=r"changes the gradients of the networks, as backward\(\) does"):
        calls.call_adversarial_discriminator(watch, Game(), maps, maps)


def slope(context, picture, change=lambda picture: picture):
    value = context.discriminate(change(picture))[0].square().sum()
    return torch.autograd.grad(value, picture, create_graph=True)[0]


COMPUTED = "returned a value whose gradient can't be computed, so a part of it trains nothing; differentiate through no"
PENALTIES = {
    "of the pictures": (lambda context, picture: picture.square().mean(), MESSAGE),
    "of detached maps": (lambda context, picture: (picture * context.real_maps[0].detach()).mean(), MESSAGE),
    "once differentiable": (lambda context, picture: slope(context, picture, Once.apply).square().mean(), COMPUTED),
    "once differentiable in a part": (
        lambda context, picture: slope(context, picture, Once.apply).square().mean() + context.real_maps[0].mean(),
        COMPUTED,
    ),
}


@pytest.mark.parametrize("fault", PENALTIES)
def test_a_penalty_whose_gradient_reaches_no_weight_is_refused(fault):
    """Its value has a gradient, but none in the weights of the discriminator: nothing was trained, without a word."""
    function, words = PENALTIES[fault]
    network = torch.nn.Conv2d(3, 1, 1)
    context = penalty_context(lambda picture: [network(picture).tanh()], PICTURE, PICTURE)
    with pytest.raises(WrongResultError, match=words):
        penalty = lambda context: function(context, context.real.detach().requires_grad_())  # noqa: E731
        calls.call_penalty(watch_of(PenaltySpec), penalty, context)


def test_a_penalty_without_create_graph_is_told_of_it():
    """The remedies named what it does not have."""
    network = torch.nn.Conv2d(3, 1, 1)
    context = penalty_context(lambda picture: [network(picture)], PICTURE, PICTURE)

    def penalty(context):
        picture = context.real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(context.discriminate(picture)[0].sum(), picture)
        return gradient.square().mean()

    with pytest.raises(WrongResultError, match="pass create_graph=True to torch.autograd.grad, and remove detach"):
        calls.call_penalty(watch_of(PenaltySpec), penalty, context)


def test_sound_penalties_are_not_refused():
    network = torch.nn.Conv2d(3, 1, 1)
    context = penalty_context(lambda picture: [network(picture).tanh()], PICTURE, PICTURE)
    for function in (
        lambda context: slope(context, context.real.detach().requires_grad_()).square().mean(),
        lambda context: context.real_maps[0].square().mean(),
        lambda context: 0 * context.real.detach().requires_grad_().mean(),  # a lazy one
        lambda context: (context.discriminate(context.real.flip(-1))[0] - context.real_maps[0].detach()).mean(),
    ):
        calls.call_penalty(watch_of(PenaltySpec), function, context)


def test_a_loss_that_differentiates_through_a_function_without_second_derivative_is_refused():
    """Torch's error named the generator and all losses, or the loss was told to remove detach()."""

    def loss(restored, truth, mask):
        value = Once.apply(restored - truth).square().sum()
        return torch.autograd.grad(value, restored, create_graph=True)[0].abs().mean()

    picture = PICTURE.flip(-1).requires_grad_()
    for part in (lambda *_: 0, lambda restored, truth, mask: (restored - truth).abs().mean()):
        with pytest.raises(WrongResultError, match=COMPUTED):
            call = lambda *inputs, part=part: loss(*inputs) + part(*inputs)  # noqa: E731
            calls.call_loss(watch_of(LossSpec), call, picture, PICTURE, MASK)


def test_a_component_that_sets_requires_grad_of_an_input_is_refused():
    """Other components get these tensors too; a loss that did so was said to have weights outside of a module."""

    def loss(restored, truth, mask):
        return (restored - truth.requires_grad_()).square().mean()

    fault = "sets requires_grad of `{}`, its input, which other components get too; write {}.detach"
    with pytest.raises(WrongResultError, match=fault.format("truth", "truth")):
        calls.call_loss(watch_of(LossSpec), loss, torch.nn.Conv2d(3, 3, 1)(PICTURE), PICTURE.clone(), MASK)
    with torch.no_grad(), pytest.raises(WrongResultError, match=fault.format("restored", "restored")):
        call = lambda restored, truth, mask: restored.requires_grad_().mean()  # noqa: E731
        calls.call_loss(watch_of(LossSpec), call, PICTURE.clone(), PICTURE, MASK)

    def penalty(context):
        return context.discriminate(context.real.requires_grad_())[0].square().mean()

    network = torch.nn.Conv2d(3, 1, 1)
    context = penalty_context(lambda picture: [network(picture)], PICTURE.clone(), PICTURE)
    with pytest.raises(WrongResultError, match=fault.format("context.real", "context.real")):
        calls.call_penalty(watch_of(PenaltySpec), penalty, context)

    class Judge(torch.nn.Conv2d):
        def forward(self, picture, image, mask):
            return [super().forward(picture * image.requires_grad_())]

    judge = Judge(3, 1, 1)
    attach(judge, watch_of(DiscriminatorSpec).entry)
    with pytest.raises(WrongResultError, match=fault.format("image", "image")):
        calls.call_discriminator(judge, PICTURE, PICTURE.clone(), MASK)


def test_a_loss_of_weight_0_needs_no_gradient():
    entry, options = watch_of(LossSpec).entry, LossOptions(weight=0)
    bound = BoundComponent(label="rigged", entry=entry, params=Params(), options=options)
    call_loss(state._loss_term(bound, detached, False).watch, detached)
