"""The checks of an adversarial loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toolbox.hooks.protocols import AdversarialLoss
from toolbox.hooks.specs import LossSpec
from toolbox.models.component_calls import call_adversarial_discriminator, call_adversarial_generator
from toolbox.testing import gradients
from toolbox.testing.checks import Check, Note, require, require_comparable, run_checks, same_values
from toolbox.testing.common import require_deterministic, require_own_weights
from toolbox.testing.devices import move_to, run_on_other_device
from toolbox.testing.subject import Subject

Maps = list[Tensor]

SHAPES = ((2, 1, 6, 6), (2, 1, 3, 3))


def check_adversarial_loss(subject: Subject) -> list[Check]:
    """Run every check of an adversarial loss."""
    return run_checks(
        subject,
        [
            check_scalar_terms,
            check_finite_values,
            check_inputs_unchanged,
            check_generator_gradient,
            check_discriminator_gradient,
            check_opposite_gradients,
            check_correct_gradient,
            check_real_maps_use,
            check_device,
            check_saved_state,
            check_deterministic_value,
            check_own_weights,
        ],
    )


def make_maps(seed: int, dtype: torch.dtype = torch.float32) -> Maps:
    """Return two maps (2, 1, h, w) of an undecided discriminator: values in [0.1, 0.9]."""
    random = torch.Generator().manual_seed(seed)
    return [(0.1 + 0.8 * torch.rand(shape, generator=random, dtype=torch.float64)).to(dtype) for shape in SHAPES]


def _trainable_maps(seed: int) -> Maps:
    return [values.requires_grad_() for values in make_maps(seed)]


def _spec(subject: Subject) -> LossSpec:
    assert isinstance(subject.spec, LossSpec)
    return subject.spec


def _generator_loss(subject: Subject, loss: AdversarialLoss, fake: Maps, real: Maps) -> Tensor:
    value = loss.generator(fake, real if _spec(subject).sees_real else None)
    return gradients.require_scalar(value, "generator()")


def _discriminator_loss(loss: AdversarialLoss, fake: Maps, real: Maps) -> Tensor:
    terms: Any = loss.discriminator(fake, real)
    is_pair = isinstance(terms, tuple) and len(terms) == 2
    require(is_pair, "discriminator() must return two scalars, on fake and on real")
    on_fake = gradients.require_scalar(terms[0], "discriminator()")
    return on_fake + gradients.require_scalar(terms[1], "discriminator()")


def check_scalar_terms(subject: Subject) -> str:
    """Both methods return scalars, for one map and for several."""
    loss: AdversarialLoss = subject.component
    for method in ("generator", "discriminator"):
        require(callable(getattr(loss, method, None)), f"it has no method {method}()")
    for count in (1, 2):
        fake, real = make_maps(0)[:count], make_maps(1)[:count]
        _generator_loss(subject, loss, fake, real)
        _discriminator_loss(loss, fake, real)
    return "scalars for one map and for two"


def check_finite_values(subject: Subject) -> str:
    """Very high, very low and equal scores give finite values and gradients."""
    for score in (0.0, 100.0, -100.0):
        fake, real = ([torch.full(shape, sign * score, requires_grad=True) for shape in SHAPES] for sign in (1, -1))
        loss: AdversarialLoss = subject.build()
        for value in (_generator_loss(subject, loss, fake, real), _discriminator_loss(loss, fake, real)):
            require(value.isfinite(), f"it is {float(value.detach())} for maps of {score} and {-score}")
            if value.requires_grad:
                grads = gradients.compute_gradients(value, [*fake, *real], "it")
                is_finite = all(gradient.isfinite().all() for gradient in grads)
                require(is_finite, f"a gradient is not finite for maps of {score}")
    return "up to scores of 100"


def check_inputs_unchanged(subject: Subject) -> str:
    """The loss leaves the maps as they are, and calls no backward(): called as in a training step."""
    loss: AdversarialLoss = subject.build()
    fake, real = ([values.mul(1) for values in _trainable_maps(seed)] for seed in (0, 1))
    call_adversarial_generator(subject.watch, loss, fake, real if _spec(subject).sees_real else None)
    call_adversarial_discriminator(subject.watch, loss, fake, real)
    return "unchanged"


def check_generator_gradient(subject: Subject) -> str:
    """The generator's loss has a gradient in every map of fake, and a step along it lowers the loss."""
    loss: AdversarialLoss = subject.build()
    fake, real = _trainable_maps(0), make_maps(1)
    value = _generator_loss(subject, loss, fake, real)
    grads = gradients.compute_gradients(value, fake, "generator()")
    require(all(gradient.any() for gradient in grads), "generator() leaves a map of fake without gradient")
    stepped = [(values - 0.01 * gradient).detach() for values, gradient in zip(fake, grads, strict=True)]
    value_after = _generator_loss(subject, subject.build(), stepped, real)
    require_comparable(value_after, value)
    require(value_after < value, "a step along generator()'s negative gradient does not lower it")
    return "in every map of fake"


def check_discriminator_gradient(subject: Subject) -> str:
    """The discriminator's loss has a gradient in every map of fake and of real."""
    loss: AdversarialLoss = subject.build()
    fake, real = _trainable_maps(0), _trainable_maps(1)
    grads = gradients.compute_gradients(_discriminator_loss(loss, fake, real), [*fake, *real], "discriminator()")
    for name, part in (("fake", grads[: len(fake)]), ("real", grads[len(fake) :])):
        require(all(gradient.any() for gradient in part), f"discriminator() leaves a map of {name} without gradient")
    return "in every map of fake and of real"


def check_opposite_gradients(subject: Subject) -> str:
    """Generator and discriminator change fake in opposite directions; the discriminator also separates it from real."""
    loss: AdversarialLoss = subject.build()
    fake, real = _trainable_maps(0), _trainable_maps(1)
    of_generator = gradients.compute_gradients(_generator_loss(subject, loss, fake, real), fake, "generator()")
    of_discriminator = gradients.compute_gradients(
        _discriminator_loss(loss, fake, real), [*fake, *real], "discriminator()"
    )
    require_comparable(*of_generator, *of_discriminator)
    for index in range(len(fake)):
        on_fake, on_real = float(of_discriminator[index].sum()), float(of_discriminator[len(fake) + index].sum())
        require(
            float(of_generator[index].sum()) * on_fake < 0,
            "generator() and discriminator() change fake the same way; check the signs and the order of fake and real",
        )
        require(on_real * on_fake < 0, "discriminator() changes fake and real the same way; check the signs")
    return "opposite directions"


def check_correct_gradient(subject: Subject) -> str:
    """The gradients of both losses are those of their values."""
    count = len(SHAPES)
    points = [*make_maps(0, torch.float64), *make_maps(1, torch.float64)]
    loss = gradients.to_float64(subject.build())
    detail = gradients.require_correct_gradient(
        loss,
        lambda maps: _generator_loss(subject, loss, maps[:count], points[count:]),
        points[:count],
        "fake",
    )
    gradients.require_correct_gradient(
        loss,
        lambda maps: _discriminator_loss(loss, maps[:count], maps[count:]),
        points,
        "fake and real",
    )
    return detail


def check_real_maps_use(subject: Subject) -> str:
    """A loss that requests the real maps uses them; they cost a forward pass."""
    if not _spec(subject).sees_real:
        return "the generator's loss does not need them"
    first = _generator_loss(subject, subject.build(), make_maps(0), make_maps(1))
    second = _generator_loss(subject, subject.build(), make_maps(0), make_maps(2))
    if same_values(first, second):
        return Note("sees_real = True costs a forward pass of the discriminator, and the maps are not used")
    return "the generator's loss uses them"


def check_device(subject: Subject) -> str:
    """The loss works on the device of the maps."""

    def prepare(device: torch.device) -> Callable[[], list[Tensor]]:
        loss = move_to(subject.build(), device)
        fake, real = ([values.to(device) for values in make_maps(seed)] for seed in (0, 1))
        return lambda: [_generator_loss(subject, loss, fake, real), *loss.discriminator(fake, real)]

    return run_on_other_device(prepare)


def check_deterministic_value(subject: Subject) -> str:
    """In eval mode the same maps give the same value, and the loss seeds nothing."""
    fake, real = make_maps(0), make_maps(1)
    return require_deterministic(
        subject.build, lambda loss: [_generator_loss(subject, loss, fake, real), *loss.discriminator(fake, real)]
    )


def check_saved_state(subject: Subject) -> str:
    """A checkpoint contains all that the loss remembers from call to call."""

    def call(loss: Any, index: int) -> list[Tensor]:  # noqa: ANN401
        fake, real = make_maps(2 * index), make_maps(2 * index + 1)
        value = _generator_loss(subject, loss, fake, real)
        return [value.detach(), *(term.detach() for term in loss.discriminator(fake, real))]

    return gradients.require_saved_state(subject.build, call)


def check_own_weights(subject: Subject) -> str:
    """Weights that the loss trains are in its module."""
    loss: AdversarialLoss = subject.component
    fake, real = _trainable_maps(0), _trainable_maps(1)

    def call() -> list[Tensor]:
        return [_generator_loss(subject, loss, fake, real), *loss.discriminator(fake, real)]

    require_own_weights(loss, call, [*fake, *real])
    return "none outside of a module"
