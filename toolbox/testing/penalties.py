"""What a penalty on the discriminator must do."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from toolbox.hooks.protocols import Penalty, PenaltyContext
from toolbox.testing import examples, gradients
from toolbox.testing.checks import Check, demand, global_random, perform
from toolbox.testing.devices import moved, placed
from toolbox.testing.examples import SmoothDiscriminator
from toolbox.testing.subject import Subject

SIDE = 16


def check(subject: Subject) -> list[Check]:
    """Return every check of a penalty."""
    return perform(subject, [gradient_flow, finite, inputs_untouched, random_numbers, shared_batch, device, checkpoint])


def judgement(
    network: torch.nn.Module, *, seed: int = 0, draw: int = 0, where: torch.device | None = None
) -> PenaltyContext:
    """Return what a penalty sees of `network`, a discriminator in float64, on two pictures of 16 pixels."""
    device = where or torch.device("cpu")
    real, fake = (examples.picture(SIDE, SIDE, seed=2 * seed + one, dtype=torch.float64).to(device) for one in (0, 1))
    return judged(network, real, fake, draw=draw)


def judged(
    network: torch.nn.Module, real: Tensor, fake: Tensor, *, draw: int = 0, first: int = 0, whole: int | None = None
) -> PenaltyContext:
    """Return what a penalty sees of `network` on pictures, which may be a part of the batch."""
    return PenaltyContext(
        discriminate=network,
        real=real,
        fake=fake,
        real_maps=network(real),
        fake_maps=network(fake),
        random=torch.Generator().manual_seed(draw),
        batch_start=first,
        batch_total=whole,
    )


def gradient_flow(subject: Subject) -> str:
    """A penalty that does not move the discriminator's weights holds nothing in check."""
    network = SmoothDiscriminator()
    penalty: Penalty = gradients.doubled(subject.build())
    value = gradients.scalar(penalty(judgement(network)))
    weights = dict(network.named_parameters())
    slopes = gradients.gradients(value, list(weights.values()), "the penalty")
    reached = [name for name, slope in zip(weights, slopes, strict=True) if slope.any()]
    demand(reached, "its gradient is zero in every weight of the discriminator; was create_graph=True forgotten?")
    return f"reaches {len(reached)} of {len(weights)} weights and biases of a small discriminator"


def finite(subject: Subject) -> str:
    """A smooth discriminator, and one that gives the same for every picture, have finite penalties."""
    flat = SmoothDiscriminator()
    with torch.no_grad():
        for weight in flat.parameters():
            weight.zero_()
    for name, network in (("a smooth discriminator", SmoothDiscriminator()), ("a flat discriminator", flat)):
        penalty: Penalty = gradients.doubled(subject.build())
        value = gradients.scalar(penalty(judgement(network)))
        demand(value.isfinite(), f"it is {float(value.detach())} for {name}")
        slopes = gradients.gradients(value, list(network.parameters()), "the penalty")
        demand(
            all(one.isfinite().all() for one in slopes),
            f"its gradient is not finite for {name}; the root of a sum of squares has none at 0",
        )
    return "value and gradient, for a flat discriminator too"


def inputs_untouched(subject: Subject) -> str:
    """The pictures are used again by the next penalty."""
    given, same = judgement(SmoothDiscriminator()), judgement(SmoothDiscriminator())
    penalty: Penalty = gradients.doubled(subject.build())
    penalty(given)
    for name in ("real", "fake"):
        value = getattr(given, name)
        demand(torch.equal(value, getattr(same, name)), f"it writes into judgement.{name}; work on a copy")
        demand(
            not value.requires_grad,
            f"it leaves judgement.{name} asking for gradients; write {name}.detach().requires_grad_()",
        )
    return "as they were"


def random_numbers(subject: Subject) -> str:
    """Every draw comes through the judgement, so that a continued run draws the same."""

    def value(seed: int) -> float:
        torch.manual_seed(seed)
        return float(gradients.doubled(subject.build())(judgement(SmoothDiscriminator())).detach())

    before = global_random()
    gradients.doubled(subject.build())(judgement(SmoothDiscriminator()))
    demand(before == global_random(), "it draws from the global random numbers; draw by judgement.uniform")
    demand(value(0) == value(1), "it depends on the global seed; draw by judgement.uniform")
    return "through the judgement alone, or none"


def shared_batch(subject: Subject) -> str:
    """A picture is looked at in the same places, whether its batch is here whole, in parts, or over processes."""
    real, fake = (examples.picture(SIDE, SIDE, batch=1, seed=one, dtype=torch.float64) for one in (0, 1))

    def looks(pictures: int, first: int) -> list[Tensor]:
        """Return the places (pictures, 3, H, W) of every look at `pictures` of a batch of two equal ones."""
        found: list[Tensor] = []
        network = SmoothDiscriminator()
        both = (one.repeat(pictures, 1, 1, 1) for one in (real, fake))
        given = judged(network, *both, first=first, whole=2)
        network.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0].detach()))
        gradients.doubled(subject.build())(given)
        return [one for one in found if len(one) == pictures]

    whole, parts = looks(2, 0), [looks(1, 0), looks(1, 1)]
    for index, part in enumerate(parts):
        for place, alone in zip(whole, part, strict=False):
            # Equal pictures: what is taken over the batch, as a deviation, hardly differs; a draw does.
            moved_by = (place[index] - real[0]).norm() + (place[index] - fake[0]).norm()
            demand(
                (place[index] - alone[0]).norm() <= 0.01 * moved_by,
                "it draws other numbers for a picture when the batch is shared out; draw by judgement.uniform",
            )
    return "the same places in parts as in the whole batch" if whole else "it asks for no other places"


def device(subject: Subject) -> str:
    """The penalty works where the pictures are."""

    def prepare(where: torch.device) -> Callable[[], list[Tensor]]:
        penalty = placed(gradients.doubled(subject.build()), where)
        seen = judgement(SmoothDiscriminator().to(where), where=where)
        return lambda: [penalty(seen)]

    return moved(prepare)


def checkpoint(subject: Subject) -> str:
    """What it remembers from call to call is in the checkpoint."""

    def use(penalty: Callable[[PenaltyContext], Tensor], number: int) -> list[Tensor]:
        torch.manual_seed(0)
        return [penalty(judgement(SmoothDiscriminator(), seed=number)).detach()]

    return gradients.state(lambda seed: gradients.doubled(subject.build(seed)), use)
