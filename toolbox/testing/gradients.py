"""Gradients compared with central differences, and state compared before and after a save."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from toolbox.distributed.torch_patches import Float64Mode
from toolbox.testing.checks import require, require_comparable, same_values, seed_everything
from toolbox.testing.repeatable import with_fixed_state
from toolbox.testing.subject import copy_state

# Step sizes of central differences in float64. The largest ones suit components that compute in float32 inside.
STEPS = (1e-6, 1e-5, 1e-4, 1e-3)
# The largest error, relative to the length of the gradient. Float64 gives an error near 1e-8, and float32 inside a
# component one near 1e-4. A term that is missing in the gradient gives a much larger one.
TOLERANCE = 1e-3


def require_scalar(value: Any, source: str = "it") -> Tensor:  # noqa: ANN401 - whatever the component returned
    """Return `value` if it is a floating-point tensor without dimensions; ContractError otherwise."""
    require(isinstance(value, Tensor), f"{source} returned {type(value).__name__}, not a tensor")
    require(value.dim() == 0, f"{source} returned {list(value.shape)}, not a scalar; take the mean")
    require(value.is_floating_point(), f"{source} returned {value.dtype}, not a floating-point number")
    assert isinstance(value, Tensor)
    return value


def compute_gradients(value: Tensor, points: list[Tensor], source: str) -> list[Tensor]:
    """Return the gradient of `value` with respect to each of `points`; zeros for points that it does not depend on."""
    require(value.requires_grad, f"{source} has a value without gradient; remove detach(), no_grad and numpy")
    gradients = torch.autograd.grad(value, points, allow_unused=True)
    return [
        torch.zeros_like(point) if gradient is None else gradient
        for point, gradient in zip(points, gradients, strict=True)
    ]


def gradient_error(function: Callable[[list[Tensor]], Tensor], points: list[Tensor]) -> float:
    """Return the difference between the gradient of `function` and central differences, relative to its length.

    It is measured in float64 along three random directions over all of `points` together. A correct gradient gives
    nearly 0; one with a missing term or a wrong sign gives 0.1 to 2. A function that casts to float32 inside is
    measured without the cast, and as it is if that is not possible.
    """
    try:
        with Float64Mode():
            error = _measured_error(function, points)
        if error <= TOLERANCE:
            return error
    except Exception:  # a component may need its own dtypes
        error = math.inf
    return min(error, _measured_error(function, points))


def _measured_error(function: Callable[[list[Tensor]], Tensor], points: list[Tensor]) -> float:
    leaves = [point.detach().clone().requires_grad_() for point in points]
    gradients = compute_gradients(function(leaves), leaves, "it")
    length = float(torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt())
    random = torch.Generator().manual_seed(0)
    largest = 0.0
    for _ in range(3):
        direction = [torch.randn(point.shape, generator=random, dtype=point.dtype) for point in points]
        expected = sum(float((gradient * part).sum()) for gradient, part in zip(gradients, direction, strict=True))
        errors = []
        for step in STEPS:
            values = []
            for sign in (1, -1):
                shifted = [point.detach() + sign * step * part for point, part in zip(points, direction, strict=True)]
                with torch.no_grad():
                    values.append(float(function(shifted)))
            errors.append(abs((values[0] - values[1]) / (2 * step) - expected))
        # A step may leave the region in which the component is defined, but not all of them.
        comparable = [error for error in errors if not math.isnan(error)]
        if not comparable:
            require_comparable(*errors)
        largest = max(largest, min(comparable) / max(length, 1e-12))
    return largest


def component_gradient_error(
    component: object, function: Callable[[list[Tensor]], Tensor], points: list[Tensor]
) -> float:
    """Return the `gradient_error` of `function`, which calls `component`, in train mode or in eval mode.

    Every call has the same state and the same random numbers. In train mode a component may compute what it remembers,
    such as the running mean by which it divides, from the points without a gradient. If it remembers anything, it is
    measured in eval mode too, in which this does not move; the smaller error counts.
    """
    error = gradient_error(with_fixed_state(component, function), points)
    if error <= TOLERANCE or not isinstance(component, nn.Module) or next(component.buffers(), None) is None:
        return error
    function([point.detach() for point in points])  # what it remembers is no longer what it starts with
    modes = [(module, module.training) for module in component.modules()]
    component.eval()
    try:
        return min(error, gradient_error(with_fixed_state(component, function), points))
    finally:
        for module, mode in modes:
            module.training = mode


def require_correct_gradient(
    component: object, function: Callable[[list[Tensor]], Tensor], points: list[Tensor], inputs: str
) -> str:
    """Require that the gradient of `function`, which calls `component`, equals central differences.

    `inputs` names the points in messages; see `component_gradient_error`.
    """
    error = component_gradient_error(component, function, points)
    require(
        error <= TOLERANCE,
        f"the gradient in {inputs} differs by {error:.1%} of its length from central differences; if a part is "
        "detached on purpose, add a param detach or detach_… = true",
    )
    return f"within {error:.0e} of central differences in float64"


def to_float64(component: Any) -> Any:  # noqa: ANN401
    """Return a component in float64, as a run with that precision converts it."""
    return component.to(torch.float64) if isinstance(component, nn.Module) else component


def require_saved_state(build: Callable[[int], Any], call: Callable[[Any, int], list[Tensor]]) -> str:
    """Require that a checkpoint contains all that a component remembers from call to call, in train mode too.

    Args:
        build: builds the component from a seed, as a run does.
        call: calls it with the inputs number 0 or 1, and returns its results; random numbers are the same each time.
    """

    def results(component: Any, index: int) -> list[Tensor]:  # noqa: ANN401
        seed_everything()
        return call(component, index)

    def are_equal(first: list[Tensor], second: list[Tensor]) -> bool:
        return all(same_values(one, other) for one, other in zip(first, second, strict=True))

    component = build(0)
    has_state = isinstance(component, nn.Module) and bool(component.state_dict())
    first = results(component, 0)
    results(component, 1)
    if has_state:
        restored = build(1)
        copy_state(component, restored)
        require(
            are_equal(results(component, 0), results(restored, 0)),
            "after saving and loading it returns another value; keep all that it remembers in buffers",
        )
        return "in the checkpoint"
    require(
        are_equal(first, results(component, 0)),
        "its value depends on earlier calls, and no checkpoint contains them; make it a torch.nn.Module "
        "and keep what it remembers in buffers",
    )
    return "it has no state"
