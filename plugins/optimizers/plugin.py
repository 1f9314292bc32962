"""Hooks of the optimizers bundle: optimizers of torch and timm, more schedules. torch is imported in `build` only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toolbox import Field, Horizon, OptimizerSpec, Params, RecipeSpec, ScheduleSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"


class TorchParams(Params):
    """Params of `torch-optimizer`."""

    kind: Literal["adadelta", "adafactor", "adagrad", "adamax", "asgd", "nadam", "radam", "rmsprop", "rprop"] = Field(
        "radam", description="The class of torch.optim, in lower case."
    )
    lr: float = Field(1e-4, gt=0, description="Learning rate.")
    options: dict[str, bool | int | float | list[float]] = Field(
        {}, description="Further arguments of the class, such as momentum, weight_decay or betas."
    )


class TimmParams(Params):
    """Params of `timm-optimizer`."""

    kind: str = Field("lion", description="Its name in timm.optim.list_optimizers(), such as lion, adopt or nadamw.")
    lr: float = Field(1e-4, gt=0, description="Learning rate.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay, of the kind that the optimizer has.")
    decay_all: bool = Field(False, description="Apply the weight decay to biases and the weights of norms too.")
    options: dict[str, bool | int | float | list[float]] = Field(
        {}, description="Further arguments of the optimizer, such as momentum or betas."
    )


class CosineStepsParams(Params):
    """Params of `cosine-steps`."""

    final: float = Field(0.0, ge=0, le=1, description="Final learning rate as a fraction of the first one.")


class OneCycleParams(Params):
    """Params of `one-cycle`."""

    rise: float = Field(0.3, gt=0, lt=1, description="Fraction of the run in which the learning rate rises to lr.")
    start: float = Field(0.04, gt=0, le=1, description="First learning rate as a fraction of lr.")
    final: float = Field(4e-6, gt=0, le=1, description="Final learning rate as a fraction of lr.")


class PolynomialParams(Params):
    """Params of `polynomial`."""

    power: float = Field(1.0, gt=0, le=10, description="Exponent; 1 reduces the learning rate linearly.")


class ExponentialParams(Params):
    """Params of `exponential`."""

    factor: float = Field(0.95, gt=0, le=1, description="Factor of the learning rate after each epoch.")


def build_torch(params: TorchParams, weights: list[nn.Parameter]) -> Optimizer:
    """Build an optimizer of torch.optim."""
    from .families import torch_optimizer

    return torch_optimizer(params.kind, weights, params.lr, params.options)


def check_torch(params: TorchParams) -> None:
    """Raise ValueError if the optimizer does not take these options."""
    from .families import check, torch_optimizer

    check(lambda weights: torch_optimizer(params.kind, weights, params.lr, params.options))


def build_timm(params: TimmParams, weights: list[nn.Parameter]) -> Optimizer:
    """Build an optimizer of timm."""
    from .families import timm_optimizer

    return timm_optimizer(
        params.kind, weights, params.lr, params.weight_decay, params.options, decay_all=params.decay_all
    )


def check_timm(params: TimmParams) -> None:
    """Raise ValueError if timm has no such optimizer, or if it does not work here or does not take these options."""
    from .families import check, check_timm_kind

    check_timm_kind(params.kind)
    check(lambda weights: build_timm(params, weights))


def build_cosine_steps(params: CosineStepsParams, optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    """Build torch's CosineAnnealingLR over the steps of the run."""
    from torch.optim.lr_scheduler import CosineAnnealingLR

    lowest = params.final * optimizer.param_groups[0]["lr"]
    return CosineAnnealingLR(optimizer, T_max=horizon.steps, eta_min=lowest)


def build_one_cycle(params: OneCycleParams, optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    """Build torch's OneCycleLR over the steps of the run; the momentum does not change."""
    from torch.optim.lr_scheduler import OneCycleLR

    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        # torch counts the rate after the last step too.
        total_steps=horizon.steps + 1,
        pct_start=params.rise,
        div_factor=1 / params.start,
        final_div_factor=params.start / params.final,
        cycle_momentum=False,
    )


def build_polynomial(params: PolynomialParams, optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    """Build torch's PolynomialLR over the steps of the run."""
    from torch.optim.lr_scheduler import PolynomialLR

    return PolynomialLR(optimizer, total_iters=horizon.steps, power=params.power)


def build_exponential(params: ExponentialParams, optimizer: Optimizer, horizon: Horizon) -> LRScheduler:
    """Build torch's ExponentialLR."""
    from torch.optim.lr_scheduler import ExponentialLR

    return ExponentialLR(optimizer, gamma=params.factor)


@hookimpl
def toolbox_optimizers() -> list[OptimizerSpec]:
    """Return the two families of optimizers."""
    return [
        OptimizerSpec(
            name="torch-optimizer",
            summary="Any other optimizer of torch.optim, by its name in `kind`",
            params=TorchParams,
            build=build_torch,
            check=check_torch,
            reference="torch.optim",
        ),
        OptimizerSpec(
            name="timm-optimizer",
            summary="Any optimizer of timm, by its name in `kind`: lion, adopt, lamb and some 60 others",
            params=TimmParams,
            build=build_timm,
            check=check_timm,
            reference="Wightman, PyTorch Image Models, 2019: timm.optim",
        ),
    ]


@hookimpl
def toolbox_schedules() -> list[ScheduleSpec]:
    """Return further schedules of torch."""
    return [
        ScheduleSpec(
            name="cosine-steps",
            summary="Reduces the learning rate along a cosine, step by step",
            params=CosineStepsParams,
            build=build_cosine_steps,
            cadence="step",
            reference="Loshchilov and Hutter, SGDR, ICLR 2017; torch.optim.lr_scheduler.CosineAnnealingLR",
        ),
        ScheduleSpec(
            name="one-cycle",
            summary="Raises the learning rate to lr and reduces it again, step by step",
            params=OneCycleParams,
            build=build_one_cycle,
            cadence="step",
            reference="Smith and Topin, Super-Convergence, 2018; torch.optim.lr_scheduler.OneCycleLR",
        ),
        ScheduleSpec(
            name="polynomial",
            summary="Reduces the learning rate to 0 by a power of the rest of the run, step by step",
            params=PolynomialParams,
            build=build_polynomial,
            cadence="step",
            reference="torch.optim.lr_scheduler.PolynomialLR",
        ),
        ScheduleSpec(
            name="exponential",
            summary="Multiplies the learning rate by a factor after each epoch",
            params=ExponentialParams,
            build=build_exponential,
            reference="torch.optim.lr_scheduler.ExponentialLR",
        ),
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe that uses them."""
    return [
        RecipeSpec(
            name="lion",
            summary="The default with timm's Lion, a warm-up, a cosine over the steps, and clipped gradients",
            path=RECIPES / "lion.toml",
        )
    ]
