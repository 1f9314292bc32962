"""Gradients compared with what the values really do, and state compared before and after a save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from toolbox.testing.checks import demand
from toolbox.testing.subject import carried_over

# Central differences in float64; the largest is for what computes in float32 inside.
STEPS = (1e-6, 1e-5, 1e-4, 1e-3)
# Of the gradient's own length. Float64 leaves 1e-8 or so, float32 inside 1e-4; a forgotten term leaves far more.
TOLERANCE = 1e-3


def scalar(value: Any, what: str = "it") -> Tensor:  # noqa: ANN401 - whatever the component returned
    """Return `value` if it is one finite floating-point number in a tensor without dimensions."""
    demand(isinstance(value, Tensor), f"{what} returned {type(value).__name__}, not a tensor")
    demand(value.dim() == 0, f"{what} returned {list(value.shape)}, not a scalar; take the mean")
    demand(value.is_floating_point(), f"{what} returned {value.dtype}, not a floating-point number")
    assert isinstance(value, Tensor)
    return value


def gradients(value: Tensor, points: list[Tensor], what: str) -> list[Tensor]:
    """Return the gradient of `value` at each of `points`, zeros where there is none."""
    demand(value.requires_grad, f"{what} has a value without gradient; take out detach(), no_grad and numpy")
    found = torch.autograd.grad(value, points, allow_unused=True)
    return [torch.zeros_like(p) if one is None else one for p, one in zip(points, found, strict=True)]


def agreement(function: Callable[[list[Tensor]], Tensor], points: list[Tensor]) -> float:
    """Return how far the gradient of `function` is from its central differences, as a share of its length.

    Three random directions over all of `points` at once, float64. A value of 0 is agreement; leaving a term
    out of the gradient, or its sign, gives 0.1 to 2.
    """
    leaves = [point.detach().clone().requires_grad_() for point in points]
    slope = gradients(function(leaves), leaves, "it")
    length = float(torch.stack([one.square().sum() for one in slope]).sum().sqrt())
    random = torch.Generator().manual_seed(0)
    worst = 0.0
    for _ in range(3):
        way = [torch.randn(point.shape, generator=random, dtype=point.dtype) for point in points]
        expected = sum(float((one * along).sum()) for one, along in zip(slope, way, strict=True))
        errors = []
        for step in STEPS:
            ends = []
            for sign in (1, -1):
                moved = [point.detach() + sign * step * along for point, along in zip(points, way, strict=True)]
                with torch.no_grad():
                    ends.append(float(function(moved)))
            errors.append(abs((ends[0] - ends[1]) / (2 * step) - expected))
        worst = max(worst, min(errors) / max(length, 1e-12))
    return worst


def agree(function: Callable[[list[Tensor]], Tensor], points: list[Tensor], what: str) -> str:
    """Demand that the gradient of `function` is that of its values, by `agreement`."""
    far = agreement(function, points)
    demand(
        far <= TOLERANCE,
        f"the gradient in {what} is off by {far:.1%} of its length from central differences; a part that is detached "
        "on purpose needs a param detach or detach_… = true",
    )
    return f"within {far:.0e} of central differences in float64"


def doubled(component: Any) -> Any:  # noqa: ANN401
    """Return a component in float64, as a run with that precision places it."""
    return component.double() if isinstance(component, nn.Module) else component


def state(build: Callable[[int], Any], use: Callable[[Any, int], list[Tensor]]) -> str:
    """Check that what a component remembers from call to call is in the checkpoint.

    Args:
        build: builds the component from a seed, as a run places it.
        use: calls it, with the inputs number 0 or 1, and returns what it gave.
    """

    def same(first: list[Tensor], second: list[Tensor]) -> bool:
        return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))

    built = build(0)
    saved = isinstance(built, nn.Module) and bool(built.state_dict())
    first = use(built, 0)
    use(built, 1)
    if saved:
        other = build(1)
        carried_over(built, other)
        demand(
            same(use(built, 0), use(other, 0)),
            "saved and loaded it gives another value; keep all that it remembers in buffers",
        )
        return "in the checkpoint"
    demand(
        same(first, use(built, 0)),
        "its value depends on earlier calls, which no checkpoint would hold; make it a torch.nn.Module "
        "and keep what it remembers in buffers",
    )
    return "it has none"
