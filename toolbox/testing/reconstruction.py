"""The checks of a reconstruction loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from toolbox.color import luma
from toolbox.hooks.protocols import ReconstructionLoss
from toolbox.models.component_calls import call_loss
from toolbox.testing import examples, gradients
from toolbox.testing.checks import Check, ContractError, Note, error_text, require, require_comparable, run_checks
from toolbox.testing.common import require_deterministic, require_own_weights
from toolbox.testing.devices import move_to, run_on_other_device
from toolbox.testing.repeatable import with_fixed_state
from toolbox.testing.subject import Subject, join_names

SIDES = (16, 32, 64, 128, 192, 256)

# The tolerance for comparing the loss of the truth with other losses; sums over a picture are rounded in float32.
ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class LossCase:
    """A reconstruction loss under test, with the smallest of `SIDES` that it takes."""

    subject: Subject
    side: int

    @property
    def loss(self) -> ReconstructionLoss:
        """The loss, built once."""
        loss: ReconstructionLoss = self.subject.component
        return loss

    @property
    def detach_param(self) -> str:
        """See `BoundComponent.detach_param`."""
        return self.subject.bound.detach_param

    def inputs(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
        """Return (restored, truth, mask); `restored` is another picture than the truth."""
        restored = examples.picture(self.side, self.side, seed=seed + 100, dtype=dtype)
        pairs = examples.batch(self.side, self.side, seed=seed, dtype=dtype)
        return restored, pairs.truth, pairs.mask


def check_reconstruction_loss(subject: Subject) -> list[Check]:
    """Run every check of a reconstruction loss; if it takes no picture or changes it, no other check is possible."""
    first = run_checks(subject, [check_input_size])
    if first[0].status == "failed":
        return first
    case = LossCase(subject=subject, side=_smallest_side(subject))
    first += run_checks(case, [check_inputs_unchanged])
    if first[-1].status == "failed":
        return first
    checks: list[Callable[[LossCase], str]] = [
        check_finite_values,
        check_minimum_at_truth,
        check_gradient_flow,
        check_correct_gradient,
        check_oblong_pictures,
        check_one_channel,
        check_device,
        check_saved_state,
        check_deterministic_value,
        check_own_weights,
    ]
    return [*first, *run_checks(case, checks)]


def check_input_size(subject: Subject) -> str:
    """The loss takes pictures of some size up to 256 pixels, and returns a scalar."""
    side = _smallest_side(subject)
    return "any size from 16 pixels" if side == SIDES[0] else Note(f"needs pictures of about {side} pixels")


def _smallest_side(subject: Subject) -> int:
    reason = ""
    for side in SIDES:
        pairs = examples.batch(side, side)
        restored = pairs.image.clone().requires_grad_().mul(1)  # with a graph, as in a run
        try:
            gradients.require_scalar(subject.component(restored, pairs.truth, pairs.mask))
            return side
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            reason = error_text(error)
    raise ContractError(f"raised an error for pictures of every size, {SIDES[0]} to {SIDES[-1]} pixels: {reason}")


def check_finite_values(case: LossCase) -> str:
    """Equal and flat pictures, empty and full masks give a finite value and a finite gradient."""
    for name, pairs in examples.extremes(case.side, case.side).items():
        restored = pairs.image.clone().requires_grad_()
        value = gradients.require_scalar(case.loss(restored, pairs.truth, pairs.mask))
        require(value.isfinite(), f"it is {float(value.detach())} for {name}")
        if value.requires_grad:
            (gradient,) = gradients.compute_gradients(value, [restored], "it")
            require(
                gradient.isfinite().all(),
                f"its gradient is not finite for {name}; check sqrt, log and division at 0",
            )
    return "value and gradient, for equal and flat pictures, empty and full masks"


def check_inputs_unchanged(case: LossCase) -> str:
    """The loss leaves its inputs as they are and calls no backward(), in a training step and in a validation."""
    loss: ReconstructionLoss = case.subject.build()
    restored, truth, mask = case.inputs()
    call_loss(case.subject.watch, loss, restored.requires_grad_().mul(1), truth, mask)
    with torch.no_grad():
        call_loss(case.subject.watch, loss, restored.detach(), truth, mask)
    return "unchanged"


@torch.no_grad()
def check_minimum_at_truth(case: LossCase) -> str:
    """The loss of the truth itself is the lowest."""
    restored, truth, mask = case.inputs()
    loss = with_fixed_state(case.loss, case.loss)
    at_truth = float(loss(truth, truth, mask))
    if at_truth == float(loss(truth, restored, mask)) == float(loss(truth, 1 - truth, mask)):
        return Note("it does not use the truth, so it may be lower for other pictures")
    alternatives = {
        "another picture": restored,
        "the truth in gray": luma(truth).expand_as(truth).contiguous(),
        "a brighter truth": (truth + 0.1).clamp(0, 1),
        "a flat picture": torch.full_like(truth, 0.5),
        "the truth upside down": truth.flip(-2),
        "the truth with grain": (truth + 0.05 * torch.randn(truth.shape)).clamp(0, 1),
    }
    for name, picture in alternatives.items():
        value = float(loss(picture, truth, mask))
        require_comparable(at_truth, value)
        require(
            at_truth <= value + ROUNDING * max(1.0, abs(value)),
            f"it is {value:.4g} for {name} and {at_truth:.4g} for the truth itself; lower must be better",
        )
    return f"{at_truth:.3g} at the truth"


def check_gradient_flow(case: LossCase) -> str:
    """The loss gives a gradient for every restored picture of the batch.

    The SSIM term of the published system gave none: it was computed and reported, and trained nothing.
    """
    restored, truth, mask = case.inputs()
    restored.requires_grad_()
    value = gradients.require_scalar(case.loss(restored, truth, mask))
    if case.detach_param and not value.requires_grad:
        return Note(f"{case.detach_param} = true: it is only reported and trains nothing")
    (gradient,) = gradients.compute_gradients(value, [restored], "the loss")
    without = [str(index) for index, part in enumerate(gradient) if not part.any()]
    require(not without, f"no gradient reaches picture {join_names(without)} of the batch, so it trains nothing there")
    return f"reaches {float(gradient.ne(0).double().mean()):.0%} of the values"


def check_correct_gradient(case: LossCase) -> str:
    """The gradient is that of the value; no part of the value is missing in it."""
    restored, truth, mask = case.inputs(dtype=torch.float64)
    loss = gradients.to_float64(case.subject.build())
    if not case.detach_param:
        return gradients.require_correct_gradient(
            loss, lambda points: loss(points[0], truth, mask), [restored], "restored"
        )
    if not loss(restored.requires_grad_(), truth, mask).requires_grad:
        return Note(f"{case.detach_param} = true: it has no gradient")
    error = gradients.component_gradient_error(loss, lambda points: loss(points[0], truth, mask), [restored])
    return Note(f"{case.detach_param} = true: {error:.0%} of the gradient is missing")


@torch.no_grad()
def check_oblong_pictures(case: LossCase) -> str:
    """The loss takes a single picture with odd, unequal sides."""
    pairs = examples.batch(case.side + 1, case.side + 6, size=1)
    value = gradients.require_scalar(case.loss(pairs.image, pairs.truth, pairs.mask))
    require(value.isfinite(), f"it is {float(value)} for one picture of {case.side + 1}x{case.side + 6}")
    return f"{case.side + 1}x{case.side + 6}"


@torch.no_grad()
def check_one_channel(case: LossCase) -> str:
    """The loss takes pictures with one channel, as a generator's gray auxiliary output."""
    restored, truth, mask = case.inputs()
    try:
        value = gradients.require_scalar(case.loss(restored[:, :1], truth[:, :1], mask))
    except Exception as error:  # a loss may raise anything for them
        return Note(f'RGB only, so it can\'t be used with on = "…" on a gray output: {error_text(error)}')
    require(value.isfinite(), f"it is {float(value)} for pictures with one channel")
    return "takes gray pictures too"


def check_device(case: LossCase) -> str:
    """The loss works on the device of the pictures."""

    def prepare(device: torch.device) -> Callable[[], list[Tensor]]:
        loss = move_to(case.subject.build(), device)
        pairs = examples.to_device(examples.batch(case.side, case.side), device)
        return lambda: [loss(pairs.image, pairs.truth, pairs.mask)]

    return run_on_other_device(prepare)


def check_saved_state(case: LossCase) -> str:
    """A checkpoint contains all that the loss remembers from call to call."""

    def call(loss: Any, index: int) -> list[Tensor]:  # noqa: ANN401
        return [loss(*case.inputs(seed=index)).detach()]

    return gradients.require_saved_state(case.subject.build, call)


def check_deterministic_value(case: LossCase) -> str:
    """In eval mode the same pictures give the same value, and the loss seeds nothing."""
    return require_deterministic(case.subject.build, lambda loss: [loss(*case.inputs())])


def check_own_weights(case: LossCase) -> str:
    """Report whether the loss has weights of its own that are trained; all of them must be in a module."""
    loss: Any = case.subject.build()
    restored, truth, mask = case.inputs()
    require_own_weights(loss, lambda: [loss(restored, truth, mask)], [restored, truth, mask])
    weights = loss.named_parameters() if isinstance(loss, nn.Module) else ()
    trainable = [name for name, weight in weights if weight.requires_grad]
    if trainable:
        return Note(
            f"{join_names(trainable)}: the generator's optimizer trains them; requires_grad_(False) keeps them fixed"
        )
    return "no trainable weights"
