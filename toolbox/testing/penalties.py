"""The checks of a penalty on the discriminator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from toolbox.hooks.protocols import Penalty, PenaltyContext
from toolbox.models.autograd_graph import has_failing_node
from toolbox.models.component_calls import call_penalty
from toolbox.models.gradient_checks import DIFFERENTIABLE
from toolbox.testing import examples, gradients
from toolbox.testing.checks import (
    Check,
    Note,
    global_random_state,
    require,
    require_comparable,
    run_checks,
    same_values,
)
from toolbox.testing.common import require_own_weights
from toolbox.testing.devices import move_to, run_on_other_device
from toolbox.testing.examples import SmoothDiscriminator
from toolbox.testing.subject import Subject

SIDE = 16
# The weights are multiplied by these: a one-sided penalty is rightly 0 for a discriminator with small gradients.
FACTORS = (1, 10)


def check_penalty(subject: Subject) -> list[Check]:
    """Run every check of a penalty."""
    return run_checks(
        subject,
        [
            check_gradient_flow,
            check_finite_values,
            check_inputs_unchanged,
            check_random_numbers,
            check_split_batch,
            check_device,
            check_saved_state,
            check_own_weights,
        ],
    )


def make_context(
    network: nn.Module,
    real: Tensor,
    fake: Tensor,
    *,
    batch_start: int = 0,
    batch_total: int | None = None,
) -> PenaltyContext:
    """Return the inputs of a penalty on `network` for some pictures, which may be a part of a batch."""
    return PenaltyContext(
        discriminate=network,
        real=real,
        fake=fake,
        real_maps=network(real),
        fake_maps=network(fake),
        random=torch.Generator().manual_seed(0),
        batch_start=batch_start,
        batch_total=batch_total,
    )


def make_example_context(network: nn.Module, *, seed: int = 0, device: torch.device | None = None) -> PenaltyContext:
    """Return the inputs of a penalty on `network`, a discriminator in float64, for two pictures of 16 pixels."""
    real, fake = (
        examples.picture(SIDE, SIDE, seed=2 * seed + offset, dtype=torch.float64).to(device or torch.device("cpu"))
        for offset in (0, 1)
    )
    return make_context(network, real, fake)


def check_gradient_flow(subject: Subject) -> str:
    """The penalty has a gradient in the discriminator's weights."""
    for factor in FACTORS:
        network = SmoothDiscriminator(factor=factor)
        penalty: Penalty = gradients.to_float64(subject.build())
        value = gradients.require_scalar(penalty(make_example_context(network)))
        require(not has_failing_node(value), f"a part of its gradient can't be computed; {DIFFERENTIABLE}")
        grads = gradients.compute_gradients(value, list(network.parameters()), "the penalty")
        reached = sum(bool(gradient.any()) for gradient in grads)
        if reached:
            return f"reaches {reached} of {len(grads)} weights and biases of a small discriminator"
        require(
            not value, "its gradient is zero in every weight of the discriminator; was create_graph=True forgotten?"
        )
    return Note(
        f"its value is 0 for a small discriminator, also with {FACTORS[-1]} times its weights, so the kit can't test "
        "its gradient; test it in a short run"
    )


def check_finite_values(subject: Subject) -> str:
    """The value and the gradient are finite, also for a discriminator that scores all pictures the same."""
    for name, factor in (("a smooth discriminator", 1), ("a flat discriminator", 0)):
        network = SmoothDiscriminator(factor=factor)
        penalty: Penalty = gradients.to_float64(subject.build())
        value = gradients.require_scalar(penalty(make_example_context(network)))
        require(value.isfinite(), f"it is {float(value.detach())} for {name}")
        grads = gradients.compute_gradients(value, list(network.parameters()), "the penalty")
        require(
            all(gradient.isfinite().all() for gradient in grads),
            f"its gradient is not finite for {name}; the root of a sum of squares has no gradient at 0",
        )
    return "value and gradient, also for a flat discriminator"


def check_inputs_unchanged(subject: Subject) -> str:
    """The penalty leaves pictures and maps as they are, and calls no backward(): called as in a training step."""
    penalty: Penalty = gradients.to_float64(subject.build())
    call_penalty(subject.watch, penalty, make_example_context(SmoothDiscriminator()))
    return "unchanged"


def check_random_numbers(subject: Subject) -> str:
    """All random numbers come from the context, so that a resumed run draws the same ones."""

    def value(seed: int) -> float:
        torch.manual_seed(seed)
        return float(gradients.to_float64(subject.build())(make_example_context(SmoothDiscriminator())).detach())

    before = global_random_state()
    gradients.to_float64(subject.build())(make_example_context(SmoothDiscriminator()))
    require(before == global_random_state(), "it draws from the global random numbers; use context.uniform")
    require(same_values(value(0), value(1)), "it depends on the global seed; use context.uniform")
    return "from the context only, or none"


def check_split_batch(subject: Subject) -> str:
    """The penalty calls the discriminator at the same points for a picture, whether or not its batch is split."""
    real, fake = (examples.picture(SIDE, SIDE, batch=1, seed=seed, dtype=torch.float64) for seed in (0, 1))

    def points_of(count: int, start: int) -> list[Tensor]:
        """Return the points (count, 3, H, W) at which a penalty calls the discriminator.

        The penalty gets `count` pictures of a batch of two equal ones, from the index `start` on.
        """
        points: list[Tensor] = []
        network = SmoothDiscriminator()
        real_part, fake_part = (picture.repeat(count, 1, 1, 1) for picture in (real, fake))
        context = make_context(network, real_part, fake_part, batch_start=start, batch_total=2)
        network.register_forward_pre_hook(lambda module, inputs: points.append(inputs[0].detach()))
        gradients.to_float64(subject.build())(context)
        return [point for point in points if len(point) == count]

    whole, parts = points_of(2, 0), [points_of(1, 0), points_of(1, 1)]
    for index, part in enumerate(parts):
        for point, point_in_part in zip(whole, part, strict=False):
            require_comparable(point, point_in_part)
            # The pictures of the batch are equal, so statistics of the batch hardly change its points; a random
            # number does.
            displacement = (point[index] - real[0]).norm() + (point[index] - fake[0]).norm()
            require(
                (point[index] - point_in_part[0]).norm() <= 0.01 * displacement,
                "it draws other numbers for a picture when the batch is split; use context.uniform",
            )
    return "the same points for a split batch" if whole else "it calls the discriminator at no other points"


def check_device(subject: Subject) -> str:
    """The penalty works on the device of the pictures."""

    def prepare(device: torch.device) -> Callable[[], list[Tensor]]:
        penalty = move_to(gradients.to_float64(subject.build()), device)
        context = make_example_context(SmoothDiscriminator().to(device), device=device)
        return lambda: [penalty(context)]

    return run_on_other_device(prepare)


def check_saved_state(subject: Subject) -> str:
    """A checkpoint contains all that the penalty remembers from call to call."""

    def call(penalty: Callable[[PenaltyContext], Tensor], index: int) -> list[Tensor]:
        return [penalty(make_example_context(SmoothDiscriminator(), seed=index)).detach()]

    return gradients.require_saved_state(lambda seed: gradients.to_float64(subject.build(seed)), call)


def check_own_weights(subject: Subject) -> str:
    """Weights that the penalty uses are in its module, or in the discriminator."""
    network = SmoothDiscriminator()
    penalty: Penalty = gradients.to_float64(subject.build())
    require_own_weights(penalty, lambda: [penalty(make_example_context(network))], list(network.parameters()))
    return "none outside of a module"
