"""Optimizers and learning rate schedules from a recipe's sections."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, StepLR

from toolbox.config.component_options import Cosine, Schedule, Step
from toolbox.config.component_options import Optimizer as OptimizerOptions


def build_optimizer(section: OptimizerOptions, weights: list[nn.Parameter]) -> Optimizer:
    """Return the optimizer of a recipe section over `weights`."""
    options = section.model_dump(exclude={"name"})
    kinds: dict[str, Any] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    # fused: one kernel for all weights instead of several kernels for each.
    return kinds[section.name](weights, **options, fused=True)


def build_schedule(section: Schedule, optimizer: Optimizer, epochs: int) -> LRScheduler:
    """Return the learning rate schedule of a recipe section; it is stepped once each epoch."""
    if isinstance(section, Step):
        return StepLR(optimizer, step_size=section.every, gamma=section.factor)
    if isinstance(section, Cosine):
        lowest = section.final * optimizer.param_groups[0]["lr"]
        return CosineAnnealingLR(optimizer, T_max=epochs, eta_min=lowest)
    return StepLR(optimizer, step_size=epochs + 1, gamma=1.0)
