"""Optimizers of torch and of timm by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

Option = bool | int | float | list[float]

# Optimizers of timm that can't be used here, and the reason.
REFUSED = {
    "adahessian": "it needs second derivatives",
    **dict.fromkeys(("kron", "kronc", "kronw"), "it draws random numbers, so a resumed run would differ"),
    **dict.fromkeys(
        ("adafactorbv", "adafactorbvc", "cadafactorbv", "cadafactorbvc", "clamb", "clambw"),
        "its state is not made of tensors and numbers, so a checkpoint can't hold it",
    ),
}


def torch_optimizer(kind: str, weights: list[nn.Parameter], lr: float, options: Mapping[str, Option]) -> Optimizer:
    """Return the optimizer of torch.optim with the name `kind` in lower case."""
    classes = {name.lower(): value for name, value in vars(torch.optim).items() if isinstance(value, type)}
    return classes[kind](weights, lr=lr, **_with_tuples(options))


def timm_optimizer(
    kind: str,
    weights: list[nn.Parameter],
    lr: float,
    weight_decay: float,
    options: Mapping[str, Option],
    *,
    decay_all: bool,
) -> Optimizer:
    """Return an optimizer of timm. Weights with fewer than two dimensions decay only with `decay_all`."""
    from timm.optim import create_optimizer_v2

    groups: Any = weights
    if weight_decay and not decay_all:
        decaying = [weight for weight in weights if weight.ndim > 1]
        others = [weight for weight in weights if weight.ndim <= 1]
        groups = [
            {"params": members, "weight_decay": decay}
            for members, decay in ((decaying, weight_decay), (others, 0.0))
            if members
        ]
    return create_optimizer_v2(groups, opt=kind, lr=lr, weight_decay=weight_decay, **_with_tuples(options))


def check(build: Callable[[list[nn.Parameter]], Optimizer]) -> None:
    """Raise ValueError if `build` fails for two small weights, or if the optimizer's step does."""
    weights = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))]
    try:
        optimizer = build(weights)
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
    except Exception as error:  # a library may raise anything for a wrong option
        raise ValueError(" ".join(str(error).split())) from error


def check_timm_kind(kind: str) -> None:
    """Raise ValueError with the choices if timm has no optimizer `kind`, or if it can't be used here."""
    from timm.optim import list_optimizers

    listed = map(str, list_optimizers(exclude_filters=["bnb*", "fused*"]))
    known = [name for name in listed if name not in REFUSED]
    if kind in REFUSED:
        raise ValueError(f"timm's optimizer '{kind}' can't be used: {REFUSED[kind]}")
    if kind not in known:
        raise ValueError(f"timm has no optimizer '{kind}'; it has: {', '.join(known)}")


def _with_tuples(options: Mapping[str, Option]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
