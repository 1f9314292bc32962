"""Hooks of the default bundle for optimizers and schedules. torch is imported only when one is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from toolbox import Field, Horizon, OptimizerSpec, Params, ScheduleSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

Decay = Annotated[float, Field(ge=0, lt=1)]


class AdamWParams(Params):
    """Params of `adamw`."""

    lr: float = Field(1e-4, gt=0, description="Learning rate.")
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999), description="Decay of the running averages of the gradient and of its square."
    )
    eps: float = Field(1e-8, gt=0, description="Added to the denominator.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay.")


class AdamParams(AdamWParams):
    """Params of `adam`."""

    weight_decay: float = Field(0.0, ge=0, description="L2 penalty.")


class SGDParams(Params):
    """Params of `sgd`."""

    lr: float = Field(1e-2, gt=0, description="Learning rate.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum.")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty.")


class StepParams(Params):
    """Params of the schedule `step`."""

    every: int = Field(10, ge=1, description="Epochs between the reductions.")
    factor: float = Field(0.5, gt=0, le=1, description="Factor of the learning rate at each reduction.")


class CosineParams(Params):
    """Params of the schedule `cosine`."""

    final: float = Field(0.0, ge=0, le=1, description="Final learning rate as a fraction of the first one.")


# fused: one kernel for all weights instead of several kernels for each.


def build_adamw(params: AdamWParams, weights: list[nn.Parameter]) -> Optimizer:
    """Build torch's fused AdamW."""
    from torch.optim import AdamW

    return AdamW(weights, **params.model_dump(), fused=True)


def build_adam(params: AdamParams, weights: list[nn.Parameter]) -> Optimizer:
    """Build torch's fused Adam."""
    from torch.optim import Adam

    return Adam(weights, **params.model_dump(), fused=True)


def build_sgd(params: SGDParams, weights: list[nn.Parameter]) -> Optimizer:
    """Build torch's fused SGD."""
    from torch.optim import SGD

    return SGD(weights, **params.model_dump(), fused=True)


def build_constant(params: Params, optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    """Build a schedule that changes nothing."""
    from torch.optim.lr_scheduler import StepLR

    return StepLR(optimizer, step_size=horizon.epochs + 1, gamma=1.0)


def build_step(params: StepParams, optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    """Build torch's StepLR."""
    from torch.optim.lr_scheduler import StepLR

    return StepLR(optimizer, step_size=params.every, gamma=params.factor)


def build_cosine(params: CosineParams, optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    """Build torch's CosineAnnealingLR over the epochs of the run."""
    from torch.optim.lr_scheduler import CosineAnnealingLR

    lowest = params.final * optimizer.param_groups[0]["lr"]
    return CosineAnnealingLR(optimizer, T_max=horizon.epochs, eta_min=lowest)


@hookimpl
def toolbox_optimizers() -> list[OptimizerSpec]:
    """Return AdamW, Adam and SGD."""
    return [
        OptimizerSpec(
            name="adamw",
            summary="Adam with decoupled weight decay",
            params=AdamWParams,
            build=build_adamw,
            reference="Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019; torch.optim.AdamW",
        ),
        OptimizerSpec(
            name="adam",
            summary="Adam",
            params=AdamParams,
            build=build_adam,
            reference="Kingma and Ba, Adam, ICLR 2015; torch.optim.Adam",
        ),
        OptimizerSpec(
            name="sgd",
            summary="Stochastic gradient descent with momentum",
            params=SGDParams,
            build=build_sgd,
            reference="torch.optim.SGD",
        ),
    ]


@hookimpl
def toolbox_schedules() -> list[ScheduleSpec]:
    """Return the schedules that change the learning rate by the epoch."""
    return [
        ScheduleSpec(
            name="constant",
            summary="The learning rate does not change",
            build=build_constant,
            reference="torch.optim.lr_scheduler.StepLR with a factor of 1",
        ),
        ScheduleSpec(
            name="step",
            summary="Reduces the learning rate by a factor every few epochs",
            params=StepParams,
            build=build_step,
            reference="torch.optim.lr_scheduler.StepLR",
        ),
        ScheduleSpec(
            name="cosine",
            summary="Reduces the learning rate along a cosine, epoch by epoch",
            params=CosineParams,
            build=build_cosine,
            reference="Loshchilov and Hutter, SGDR, ICLR 2017; torch.optim.lr_scheduler.CosineAnnealingLR",
        ),
    ]
