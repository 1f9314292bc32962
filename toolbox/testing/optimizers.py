"""The checks of an optimizer."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load, save
from torch import nn
from torch.optim import Optimizer

from toolbox.distributed.accelerator import is_fused
from toolbox.models.build import build_component
from toolbox.models.optimizers import load_optimizer, split_optimizer
from toolbox.testing.checks import (
    Check,
    ContractError,
    Note,
    global_random_state,
    require,
    require_comparable,
    run_checks,
    same_values,
)
from toolbox.testing.subject import Subject

# A matrix, the kernels of a convolution, a bias and a scalar: the shapes that optimizers distinguish.
SHAPES = ((6, 4), (4, 3, 3, 3), (4,), ())
DESCENT_STEPS = 50


def check_optimizer(subject: Subject) -> list[Check]:
    """Run every check of an optimizer."""
    return run_checks(
        subject,
        [
            check_all_weights,
            check_lower_loss,
            check_missing_gradients,
            check_learning_rate,
            check_random_numbers,
            check_saved_optimizer,
            check_fused_kernels,
        ],
    )


def make_weights() -> list[nn.Parameter]:
    """Return weights of different shapes, the same at every call."""
    random = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=random)) for shape in SHAPES]


def optimizer_inputs() -> tuple[object, ...]:
    """Return what `build` of an optimizer gets besides the params, new at every call."""
    return (make_weights(),)


def _build(subject: Subject, weights: list[nn.Parameter]) -> Optimizer:
    optimizer = build_component(subject.bound, weights)
    require(isinstance(optimizer, Optimizer), f"build returned {type(optimizer).__name__}, not a torch.optim.Optimizer")
    assert isinstance(optimizer, Optimizer)
    return optimizer


def _take_steps(optimizer: Optimizer, weights: list[nn.Parameter], first: int, count: int) -> None:
    """Take `count` steps with random gradients, which depend only on the number of the step."""
    for number in range(first, first + count):
        random = torch.Generator().manual_seed(number)
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=random)
        try:
            optimizer.step()
        except TypeError as error:
            raise ContractError(f"step() without arguments raised {error}; toolbox gives it no closure") from error


def check_all_weights(subject: Subject) -> str:
    """The optimizer has each of the given weights once, and no others."""
    weights = make_weights()
    groups = _build(subject, weights).param_groups
    numbers = sorted(id(weight) for group in groups for weight in group["params"])
    require(numbers == sorted(map(id, weights)), "its groups don't have each of the given weights exactly once")
    return f"{len(weights)} weights in {len(groups)} groups"


def check_lower_loss(subject: Subject) -> str:
    """Steps along the gradient lower a loss."""
    weights = make_weights()
    optimizer = _build(subject, weights)

    def loss() -> torch.Tensor:
        return torch.stack([weight.square().sum() for weight in weights]).sum()

    first = float(loss().detach())
    for _ in range(DESCENT_STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()
    last = float(loss().detach())
    require_comparable(last)
    require(last < first, f"after {DESCENT_STEPS} steps a loss of {first:.4g} is {last:.4g}; is a sign wrong?")
    return f"from {first:.4g} to {last:.4g} in {DESCENT_STEPS} steps"


def check_missing_gradients(subject: Subject) -> str:
    """A weight without a gradient is left as it is."""
    weights = make_weights()
    optimizer = _build(subject, weights)
    before = weights[0].detach().clone()
    for weight in weights[1:]:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    require(torch.equal(weights[0], before), "it changes a weight whose gradient is None; skip it")
    return "weights without a gradient are skipped"


def check_learning_rate(subject: Subject) -> str:
    """The learning rate of the groups scales the steps, so that schedules work."""
    weights = make_weights()
    optimizer = _build(subject, weights)
    for group in optimizer.param_groups:
        require("lr" in group, "a group has no 'lr', which schedules change")
        group["lr"] = 0.0
    before = [weight.detach().clone() for weight in weights]
    _take_steps(optimizer, weights, 0, 1)
    if all(same_values(weight, value) for weight, value in zip(weights, before, strict=True)):
        return "a rate of 0 changes nothing"
    return Note("a step with a rate of 0 changes weights")


def check_random_numbers(subject: Subject) -> str:
    """The optimizer draws no random numbers, so that a run can be repeated."""
    weights = make_weights()
    optimizer = _build(subject, weights)
    before = global_random_state()
    _take_steps(optimizer, weights, 0, 3)
    require(before == global_random_state(), "it draws random numbers, so a resumed run would differ")
    return "draws none"


def check_saved_optimizer(subject: Subject) -> str:
    """An optimizer that is saved and loaded gives the same bits as one that continues."""
    weights = make_weights()
    optimizer = _build(subject, weights)
    _take_steps(optimizer, weights, 0, 3)
    tensors, rest = split_optimizer(optimizer)
    try:
        data, text = save({name: value.contiguous() for name, value in tensors.items()}), json.dumps(rest)
    except (TypeError, ValueError) as error:
        raise ContractError(f"its state can't be saved as tensors and JSON values: {error}") from error
    copies = [nn.Parameter(weight.detach().clone()) for weight in weights]
    resumed = _build(subject, copies)
    load_optimizer(resumed, load(data), json.loads(text))
    _take_steps(optimizer, weights, 3, 3)
    _take_steps(resumed, copies, 3, 3)
    same = all(same_values(weight, copy) for weight, copy in zip(weights, copies, strict=True))
    require(same, "after loading, it continues differently; keep all state in `self.state[weight]`, in its dtype")
    return f"{len(tensors)} tensors, continues to the same bits"


def check_fused_kernels(subject: Subject) -> str:
    """Report whether a step waits for the device."""
    if is_fused(_build(subject, make_weights())):
        return "fused"
    return Note("not fused: before each step the host waits for the device, to learn whether all values are finite")
