"""What a reconstruction loss must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from toolbox.color import luma
from toolbox.hooks.protocols import ReconstructionLoss
from toolbox.testing import examples, gradients
from toolbox.testing.checks import Broken, Check, Noted, demand, perform, said
from toolbox.testing.devices import moved, placed
from toolbox.testing.subject import Subject, named

SIDES = (16, 32, 64, 128, 192, 256)

# Of the loss at the truth against that elsewhere: float32's rounding in sums over a picture.
ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Case:
    """A reconstruction loss under test, with the smallest of `SIDES` that it takes."""

    subject: Subject
    side: int

    @property
    def loss(self) -> ReconstructionLoss:
        """The loss, built once."""
        loss: ReconstructionLoss = self.subject.built
        return loss

    @property
    def detached(self) -> str:
        """The param, `detach` or `detach_…`, that says that the loss or a part of it is to move nothing."""
        params = self.subject.bound.params
        switches = [name for name in type(params).model_fields if name == "detach" or name.startswith("detach_")]
        return next((name for name in switches if getattr(params, name) is True), "")

    def pairs(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
        """Return (restored, truth, mask), `restored` a picture of its own."""
        other = examples.picture(self.side, self.side, seed=seed + 100, dtype=dtype)
        pairs = examples.batch(self.side, self.side, seed=seed, dtype=dtype)
        return other, pairs.truth, pairs.mask


def check(subject: Subject) -> list[Check]:
    """Return every check of a reconstruction loss."""
    first = perform(subject, [sizes_found])
    if first[0].status == "failed":
        return first
    case = Case(subject=subject, side=_side(subject))
    tests: list[Callable[[Case], str]] = [finite, inputs_untouched, least_at_the_truth, gradient_flow, gradient]
    return [*first, *perform(case, [*tests, oblong, one_channel, device, checkpoint, trains_itself])]


def sizes_found(subject: Subject) -> str:
    """Some size of up to 256 pixels works, and gives a scalar."""
    side = _side(subject)
    return "any size from 16 pixels" if side == SIDES[0] else Noted(f"needs pictures of {side} pixels or so")


def _side(subject: Subject) -> int:
    reason = ""
    for side in SIDES:
        pairs = examples.batch(side, side)
        try:
            gradients.scalar(subject.built(pairs.image, pairs.truth, pairs.mask))
            return side
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            reason = said(error)
    raise Broken(f"it takes no pictures of up to {SIDES[-1]} pixels: {reason}")


def finite(case: Case) -> str:
    """Equal and flat pictures, an empty and a full mask give a finite value and a finite gradient."""
    for name, pairs in examples.extremes(case.side, case.side).items():
        restored = pairs.image.clone().requires_grad_()
        value = gradients.scalar(case.loss(restored, pairs.truth, pairs.mask))
        demand(value.isfinite(), f"it is {float(value.detach())} for {name}")
        if value.requires_grad:
            (slope,) = gradients.gradients(value, [restored], "it")
            demand(slope.isfinite().all(), f"its gradient is not finite for {name}; mind sqrt, log and division at 0")
    return "value and gradient, for equal and flat pictures, empty and full masks"


def inputs_untouched(case: Case) -> str:
    """The pictures and the mask are used again by the other losses."""
    given, same = case.pairs(), case.pairs()
    case.loss(given[0].requires_grad_().mul(1), given[1], given[2])
    case.loss(*(value.detach() for value in given))
    for name, value, kept in zip(("restored", "truth", "mask"), given, same, strict=True):
        demand(torch.equal(value, kept), f"it writes into {name}; work on a copy")
    return "as they were"


@torch.no_grad()
def least_at_the_truth(case: Case) -> str:
    """No picture is closer to the truth than the truth."""
    restored, truth, mask = case.pairs()
    best = float(case.loss(truth, truth, mask))
    others = {
        "another picture": restored,
        "the truth in gray": luma(truth).expand_as(truth).contiguous(),
        "a brighter truth": (truth + 0.1).clamp(0, 1),
        "a flat picture": torch.full_like(truth, 0.5),
        "the truth upside down": truth.flip(-2),
        "the truth with grain": (truth + 0.05 * torch.randn(truth.shape)).clamp(0, 1),
    }
    for name, other in others.items():
        value = float(case.loss(other, truth, mask))
        demand(
            best <= value + ROUNDING * max(1.0, abs(value)),
            f"it is {value:.4g} for {name} and {best:.4g} for the truth itself; the less must be the better",
        )
    if best == float(case.loss(truth, restored, mask)) and best == float(case.loss(truth, 1 - truth, mask)):
        return Noted("it does not look at the truth")
    return f"{best:.3g} at the truth"


def gradient_flow(case: Case) -> str:
    """The loss moves what was restored: every picture of the batch.

    The published system lost its SSIM so: it was computed, reported and trained nothing.
    """
    restored, truth, mask = case.pairs()
    restored.requires_grad_()
    value = gradients.scalar(case.loss(restored, truth, mask))
    if case.detached and not value.requires_grad:
        return Noted(f"{case.detached} = true: it is reported and moves no weight")
    (slope,) = gradients.gradients(value, [restored], "the loss")
    still = [str(index) for index, one in enumerate(slope) if not one.any()]
    demand(not still, f"no gradient reaches picture {named(still)} of the batch, so it would train nothing there")
    return f"reaches {float(slope.ne(0).double().mean()):.0%} of the values"


def gradient(case: Case) -> str:
    """The gradient is that of the value: no part is computed, reported and left out of it."""
    restored, truth, mask = case.pairs(dtype=torch.float64)
    loss = gradients.doubled(case.subject.build())
    if not case.detached:
        return gradients.agree(lambda at: loss(at[0], truth, mask), [restored], "restored")
    if not loss(restored.requires_grad_(), truth, mask).requires_grad:
        return Noted(f"{case.detached} = true: it has none")
    far = gradients.agreement(lambda at: loss(at[0], truth, mask), [restored])
    return Noted(f"{case.detached} = true: {far:.0%} of the gradient is left out")


@torch.no_grad()
def oblong(case: Case) -> str:
    """Pictures of any oblong size, one alone too."""
    pairs = examples.batch(case.side + 1, case.side + 6, size=1)
    value = gradients.scalar(case.loss(pairs.image, pairs.truth, pairs.mask))
    demand(value.isfinite(), f"it is {float(value)} for one picture of {case.side + 1}x{case.side + 6}")
    return f"{case.side + 1}x{case.side + 6}"


@torch.no_grad()
def one_channel(case: Case) -> str:
    """A generator's auxiliary gray has one channel."""
    restored, truth, mask = case.pairs()
    try:
        value = gradients.scalar(case.loss(restored[:, :1], truth[:, :1], mask))
    except Exception as error:  # whatever the loss says of it
        return Noted(f'RGB only, so no on = "…" for a gray output: {said(error)}')
    demand(value.isfinite(), f"it is {float(value)} for pictures of one channel")
    return "takes gray pictures too"


def device(case: Case) -> str:
    """The loss works where the pictures are."""

    def prepare(where: torch.device) -> Callable[[], list[Tensor]]:
        loss = placed(case.subject.build(), where)
        pairs = examples.on(where, examples.batch(case.side, case.side))
        return lambda: [loss(pairs.image, pairs.truth, pairs.mask)]

    return moved(prepare)


def checkpoint(case: Case) -> str:
    """What it remembers from call to call is in the checkpoint."""

    def use(loss: Any, number: int) -> list[Tensor]:  # noqa: ANN401
        torch.manual_seed(0)
        return [loss(*case.pairs(seed=number)).detach()]

    return gradients.state(case.subject.build, use)


def trains_itself(case: Case) -> str:
    """Nothing trains a loss's own weights."""
    built: Any = case.subject.built
    weights = built.named_parameters() if isinstance(built, nn.Module) else ()
    loose = [name for name, one in weights if one.requires_grad]
    if loose:
        return Noted(f"{named(loose)} ask for gradients that nothing uses; requires_grad_(False) saves memory")
    return "no"
