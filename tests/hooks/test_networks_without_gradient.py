"""A network whose outputs have no gradient, or none where a loss needs it, trains nothing, and is named."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from training_steps import build, make_batch

from toolbox.hooks.blame import WrongResultError
from toolbox.models.component_calls import call_discriminator
from toolbox.models.component_watch import watch_of
from toolbox.training.step import take_step
from toolbox.training.validate import pixel_loss

NO_PENALTY = "penalties.gradient.enabled=false"


class Judge(nn.Module):
    """A discriminator whose maps a function makes of its layer and a picture."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Conv2d(3, 1, 4, 2).double(), function

    def forward(self, picture, image, mask):
        return self.function(self.layer, picture)


class Painter(nn.Module):
    """A generator whose outputs a function makes of its pictures."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Conv2d(3, 3, 3, padding=1).double(), function

    def forward(self, image, mask):
        return self.function(torch.sigmoid(self.layer(image)))


@torch.no_grad()
def in_no_grad(layer, picture):
    return [layer(picture)]


def take(built, accelerator):
    """Take a step without a warning; return its terms."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return take_step(built, make_batch(2), accelerator, number=0, random=torch.Generator().manual_seed(0))


def step_with(*settings, generator=None, discriminator=None, on="restored", weight=1.0):
    """Take a step of the default recipe with another generator or discriminator; `mse` is applied to output `on`."""
    built, accelerator = build(*settings)
    for trained, network in ((built.generator, generator), (built.discriminator, discriminator)):
        if network is not None:
            network.__dict__.update(_toolbox_watch=watch_of(trained.network))
            object.__setattr__(trained, "network", network)
            parameters = list(network.parameters()) or [nn.Parameter(torch.zeros(()))]
            object.__setattr__(trained, "optimizer", torch.optim.SGD(parameters, lr=0.1))
            object.__setattr__(trained, "built_on", ())
    for loss in built.losses:
        if loss.label == "mse":
            object.__setattr__(loss, "on", on)
            object.__setattr__(loss, "weight", weight)
            loss.watch.trains = weight > 0
    return take(built, accelerator)


JUDGES = {
    "detached maps": (lambda layer, picture: [layer(picture).detach()], "maps without gradient, so nothing trains it"),
    "maps by no_grad": (in_no_grad, "maps without gradient, so nothing trains it"),
    "maps of NumPy": (
        lambda layer, picture: [torch.from_numpy(layer(picture).detach().numpy())],
        "maps without gradient, so nothing trains it",
    ),
    "maps without its weights": (
        lambda layer, picture: [torch.conv2d(picture, layer.weight.detach())],
        "maps without gradient, so nothing trains it",
    ),
    "a detached picture": (lambda layer, picture: [layer(picture.detach())], "without gradient in `picture`"),
    "a picture of NumPy": (
        lambda layer, picture: [layer(torch.from_numpy(picture.detach().numpy()))],
        "without gradient in `picture`",
    ),
    "a picture of bytes": (
        lambda layer, picture: [layer((255 * picture).to(torch.uint8).double())],
        "without gradient in `picture`",
    ),
    "detached maps without weights": (
        lambda layer, picture: [picture.detach().mean((1, 2, 3), keepdim=True).requires_grad_()],
        "without gradient in `picture`",
    ),
}


@pytest.mark.parametrize("settings", [[], [NO_PENALTY]])
@pytest.mark.parametrize("fault", JUDGES)
def test_a_discriminator_that_trains_nothing_is_named(fault, settings):
    """The penalty was blamed, torch's traceback had no name, or nothing was said."""
    function, words = JUDGES[fault]
    with pytest.raises(WrongResultError, match=rf"Discriminator '\w+' of the plugin 'adversarial' .*{words}"):
        step_with(*settings, discriminator=Judge(function))


def make_function(back):
    """Return an autograd function that doubles its input, with `back` as its `backward`."""
    methods = {"forward": staticmethod(lambda ctx, x: 2 * x), "backward": staticmethod(back)}
    return type("Double", (torch.autograd.Function,), methods).apply


once = make_function(torch.autograd.function.once_differentiable(lambda ctx, upstream: 2 * upstream))
none = make_function(lambda ctx, upstream: None)
detached = make_function(lambda ctx, upstream: 2 * upstream.detach())
ONCE = r"has no second derivative, so a part of Penalty 'gradient' of the plugin 'default' trains nothing \(trying to"

NOT_TWICE = {
    "once": (lambda layer, picture: [once(layer(once(picture)))], ONCE),
    "once, at the picture": (lambda layer, picture: [layer(once(picture)).tanh()], ONCE),
    "once, in one of two branches": (
        lambda layer, picture: [layer(picture).tanh() + once(layer(picture)).tanh()],
        ONCE,
    ),
    "a backward that detaches": (
        lambda layer, picture: [layer(detached(picture))],
        r"so .* \(its gradient in the pict",
    ),
}


@pytest.mark.parametrize("fault", NOT_TWICE)
def test_a_discriminator_without_second_derivative_is_refused_with_a_gradient_penalty(fault):
    """The penalty was recorded and trained nothing, without a word, or was blamed itself."""
    function, words = NOT_TWICE[fault]
    with pytest.raises(WrongResultError, match=rf"Discriminator '\w+' of the plugin 'adversarial' .*{words}"):
        step_with(discriminator=Judge(function))
    step_with(NO_PENALTY, discriminator=Judge(function))


def gradient_inside(function):
    """Return a function of a layer and pictures that differentiates through another one."""

    def call(layer, picture):
        with torch.enable_grad():
            picture = picture if picture.requires_grad else picture.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(function(layer(picture)).square().sum(), picture, create_graph=True)
        return [layer(gradient)]

    return call


LOST = {
    "maps of a gradient": (gradient_inside(once), "returned a value whose gradient can't be computed"),
    "no gradient by backward": (lambda layer, picture: [none(layer(picture))], "maps without gradient in `picture`"),
    "no gradient of its weights": (
        lambda layer, picture: [torch.conv2d(picture, none(layer.weight))],
        "gets no gradient in any weight from its losses",
    ),
}


@pytest.mark.parametrize("fault", LOST)
def test_a_discriminator_whose_gradient_is_lost_in_the_backward_pass_is_named(fault):
    """It was not trained, without a word, or torch's traceback had no name."""
    function, words = LOST[fault]
    with pytest.raises(WrongResultError, match=rf"Discriminator '\w+' of the plugin 'adversarial' .*{words}"):
        step_with(NO_PENALTY, discriminator=Judge(function))


def test_a_generator_whose_gradient_is_lost_in_the_backward_pass_is_named():
    for function, words in ((none, "gets no gradient in any weight"), (gradient_inside(once), "can't be computed")):
        painter = Painter(lambda y, function=function: function(y))
        if function is not none:
            painter.forward = lambda image, mask, p=painter, f=function: f(p.layer, image)[0].sigmoid()
        with pytest.raises(WrongResultError, match=f"Generator .*{words}"):
            step_with("losses.lsgan.enabled=false", NO_PENALTY, generator=painter)


def weightless(layer, picture):
    return [torch.conv2d(picture, layer.weight)]


@pytest.mark.parametrize(
    "judge",
    [
        Judge(lambda layer, picture: [layer(picture), layer(picture).detach()]),
        Judge(lambda layer, picture: [weightless(layer, picture)[0], picture[:, :1]]),
        Judge(weightless).requires_grad_(False),
    ],
)
def test_sound_discriminators(judge):
    assert "loss.lsgan" in step_with(NO_PENALTY, discriminator=judge)
    with torch.no_grad():
        call_discriminator(judge, *[make_batch(2).truth] * 2, make_batch(2).mask)


DETACHED = {
    "a detached output": lambda y: (y, {"gray": y[:, :1].detach()}),
    "an output of integers": lambda y: (y, {"gray": y[:, :1].long()}),
    "an output of NumPy": lambda y: (y, {"gray": torch.from_numpy(y[:, :1].detach().numpy())}),
    "a comparison": lambda y: (y, {"gray": (y[:, :1] > 0.5).double()}),
}


@pytest.mark.parametrize("fault", DETACHED)
def test_an_output_without_gradient_that_a_loss_uses_is_named(fault):
    words = "Generator '.*' of the plugin .* its output 'gray' without gradient, so losses.mse trains nothing; remove"
    with pytest.raises(WrongResultError, match=words):
        step_with(generator=Painter(DETACHED[fault]), on="gray")
    # No loss uses it, or none on purpose.
    step_with(generator=Painter(DETACHED[fault]))
    step_with(generator=Painter(DETACHED[fault]), on="gray", weight=0.0)


def test_restored_pictures_without_gradient_are_named():
    """Another output has one, so the generator trains; but the adversarial loss and those on the pictures do not."""
    painter = Painter(lambda y: (y.detach(), {"gray": y[:, :1]}))
    with pytest.raises(WrongResultError, match="'restored' without gradient, so losses.lsgan trains nothing"):
        step_with(generator=painter, on="gray")
    with pytest.raises(WrongResultError, match="'restored' without gradient, so losses.ssim trains nothing"):
        step_with("losses.lsgan.enabled=false", NO_PENALTY, generator=painter, on="gray")


class Probe(nn.Module):
    """A loss with a weight of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, output, truth, mask):
        return (self.scale * output - truth).square().mean()


def test_a_loss_that_trains_its_own_weights_needs_no_gradient_of_the_output():
    built, accelerator = build()
    network = Painter(DETACHED["a detached output"])
    object.__setattr__(built.generator, "network", network)
    object.__setattr__(built.generator, "built_on", ())
    (mse,) = [loss for loss in built.losses if loss.label == "mse"]
    object.__setattr__(mse, "on", "gray")
    object.__setattr__(mse, "call", Probe())
    take(built, accelerator)


def test_a_lazy_loss_and_a_validation_need_no_gradient():
    built, accelerator = build()
    (mse,) = [loss for loss in built.losses if loss.label == "mse"]
    object.__setattr__(mse, "call", lambda output, truth, mask: torch.zeros((), dtype=torch.float64))
    take(built, accelerator)
    with torch.no_grad():
        pixel_loss(built, make_batch(2))
