"""What an adversarial loss must do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toolbox.hooks.protocols import AdversarialLoss
from toolbox.hooks.specs import LossSpec
from toolbox.testing import gradients
from toolbox.testing.checks import Check, Noted, demand, perform
from toolbox.testing.devices import moved, placed
from toolbox.testing.subject import Subject

Maps = list[Tensor]

SIZES = ((2, 1, 6, 6), (2, 1, 3, 3))


def check(subject: Subject) -> list[Check]:
    """Return every check of an adversarial loss."""
    return perform(
        subject,
        [two_sides, finite, inputs_untouched, generator_side, discriminator_side, opposed, gradient]
        + [uses_real_maps, device, checkpoint],
    )


def maps(seed: int, dtype: torch.dtype = torch.float32) -> Maps:
    """Return two maps (2, 1, h, w) of a discriminator that is not yet sure: values in [0.1, 0.9]."""
    random = torch.Generator().manual_seed(seed)
    return [(0.1 + 0.8 * torch.rand(size, generator=random, dtype=torch.float64)).to(dtype) for size in SIZES]


def _spec(subject: Subject) -> LossSpec:
    assert isinstance(subject.bound.spec, LossSpec)
    return subject.bound.spec


def _generator(subject: Subject, game: AdversarialLoss, fake: Maps, real: Maps) -> Tensor:
    value = game.generator(fake, real if _spec(subject).sees_real else None)
    return gradients.scalar(value, "generator()")


def _discriminator(game: AdversarialLoss, fake: Maps, real: Maps) -> Tensor:
    terms: Any = game.discriminator(fake, real)
    two = isinstance(terms, tuple) and len(terms) == 2
    demand(two, "discriminator() must return two scalars, on fake and on real")
    return gradients.scalar(terms[0], "discriminator()") + gradients.scalar(terms[1], "discriminator()")


def two_sides(subject: Subject) -> str:
    """Both sides give scalars, for one map and for several."""
    game: AdversarialLoss = subject.built
    for side in ("generator", "discriminator"):
        demand(callable(getattr(game, side, None)), f"it has no method {side}()")
    for count in (1, 2):
        fake, real = maps(0)[:count], maps(1)[:count]
        _generator(subject, game, fake, real)
        _discriminator(game, fake, real)
    return "scalars for one map and for two"


def finite(subject: Subject) -> str:
    """A discriminator that is very sure, or flat, gives finite values and gradients."""
    for sure in (0.0, 100.0, -100.0):
        fake, real = ([torch.full(size, sign * sure, requires_grad=True) for size in SIZES] for sign in (1, -1))
        game: AdversarialLoss = subject.build()
        for side in (_generator(subject, game, fake, real), _discriminator(game, fake, real)):
            demand(side.isfinite(), f"it is {float(side.detach())} for maps of {sure} and {-sure}")
            if side.requires_grad:
                slopes = gradients.gradients(side, [*fake, *real], "it")
                demand(all(one.isfinite().all() for one in slopes), f"a gradient is not finite for maps of {sure}")
    return "up to values of 100"


def inputs_untouched(subject: Subject) -> str:
    """The maps are used again by the penalties."""
    game: AdversarialLoss = subject.build()
    fake, real = maps(0), maps(1)
    _generator(subject, game, fake, real)
    _discriminator(game, fake, real)
    same = all(torch.equal(one, kept) for one, kept in zip([*fake, *real], [*maps(0), *maps(1)], strict=True))
    demand(same and len(fake) == len(real) == len(SIZES), "it writes into the maps that it is given; work on a copy")
    return "as they were"


def generator_side(subject: Subject) -> str:
    """The generator's side moves every map of fake, and a step along it lowers the loss."""
    game: AdversarialLoss = subject.build()
    fake, real = [one.requires_grad_() for one in maps(0)], maps(1)
    value = _generator(subject, game, fake, real)
    slopes = gradients.gradients(value, fake, "generator()")
    demand(all(one.any() for one in slopes), "generator() leaves a map of fake without gradient")
    stepped = [(one - 0.01 * slope).detach() for one, slope in zip(fake, slopes, strict=True)]
    after = _generator(subject, subject.build(), stepped, real)
    demand(after < value, "a step along generator()'s negative gradient does not lower it")
    return "moves every map of fake"


def discriminator_side(subject: Subject) -> str:
    """The discriminator's side moves every map of fake and of real."""
    game: AdversarialLoss = subject.build()
    fake, real = [one.requires_grad_() for one in maps(0)], [one.requires_grad_() for one in maps(1)]
    slopes = gradients.gradients(_discriminator(game, fake, real), [*fake, *real], "discriminator()")
    for name, some in (("fake", slopes[: len(fake)]), ("real", slopes[len(fake) :])):
        demand(all(one.any() for one in some), f"discriminator() leaves a map of {name} without gradient")
    return "moves every map of fake and of real"


def opposed(subject: Subject) -> str:
    """The two sides pull the maps of fake opposite ways, and the discriminator parts fake from real."""
    game: AdversarialLoss = subject.build()
    fake, real = [one.requires_grad_() for one in maps(0)], [one.requires_grad_() for one in maps(1)]
    up = gradients.gradients(_generator(subject, game, fake, real), fake, "generator()")
    down = gradients.gradients(_discriminator(game, fake, real), [*fake, *real], "discriminator()")
    for number in range(len(fake)):
        one, other = float(up[number].sum()), float(down[number].sum())
        demand(one * other < 0, "both sides pull fake the same way; look at the signs and the order of fake and real")
        parted = float(down[len(fake) + number].sum()) * other
        demand(parted < 0, "discriminator() pulls fake and real the same way; look at the signs")
    return "the sides pull opposite ways"


def gradient(subject: Subject) -> str:
    """The gradients of both sides are those of their values."""
    count = len(SIZES)
    points = [*maps(0, torch.float64), *maps(1, torch.float64)]
    # Built anew for each value: one that remembers would be another function every time.
    one = gradients.agree(
        lambda at: _generator(subject, gradients.doubled(subject.build()), at[:count], points[count:]),
        points[:count],
        "fake",
    )
    gradients.agree(
        lambda at: _discriminator(gradients.doubled(subject.build()), at[:count], at[count:]), points, "fake and real"
    )
    return one


def uses_real_maps(subject: Subject) -> str:
    """A spec that asks for the real maps has a use for them, since they cost a pass."""
    if not _spec(subject).sees_real:
        return "the generator's side does without"
    first = _generator(subject, subject.build(), maps(0), maps(1))
    other = _generator(subject, subject.build(), maps(0), maps(2))
    if torch.equal(first, other):
        return Noted("sees_real = True costs a pass through the discriminator, and the maps are not used")
    return "the generator's side looks at them"


def device(subject: Subject) -> str:
    """The loss works where the maps are."""

    def prepare(where: torch.device) -> Callable[[], list[Tensor]]:
        game = placed(subject.build(), where)
        fake, real = ([one.to(where) for one in maps(number)] for number in (0, 1))
        return lambda: [_generator(subject, game, fake, real), *game.discriminator(fake, real)]

    return moved(prepare)


def checkpoint(subject: Subject) -> str:
    """What it remembers from call to call is in the checkpoint."""

    def use(game: Any, number: int) -> list[Tensor]:  # noqa: ANN401
        torch.manual_seed(0)
        fake, real = maps(2 * number), maps(2 * number + 1)
        value = _generator(subject, game, fake, real)
        return [value.detach(), *(term.detach() for term in game.discriminator(fake, real))]

    return gradients.state(subject.build, use)
