"""What a recipe says of a component besides its params: weight, optimizer, schedule and so on.

A component's table in a recipe holds the component's own params and the options of its kind, side by side.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from toolbox.config.settings import Table


class ComponentOptions(Table):
    """Options of every component; those of degradations and metrics."""

    enabled: bool = Field(True, description="false removes a component that an extended recipe has")


class AdamW(Table):
    """Adam with decoupled weight decay (torch.optim.AdamW)."""

    name: Literal["adamw"] = "adamw"
    lr: float = Field(1e-4, gt=0, description="learning rate")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.999), description="decay of the running averages of the gradient and of its square"
    )
    eps: float = Field(1e-8, gt=0, description="added to the denominator")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay")


class Adam(AdamW):
    """Adam (torch.optim.Adam)."""

    name: Literal["adam"] = "adam"  # type: ignore[assignment]
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")


class SGD(Table):
    """Stochastic gradient descent (torch.optim.SGD)."""

    name: Literal["sgd"] = "sgd"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")


Optimizer = Annotated[AdamW | Adam | SGD, Field(discriminator="name")]


class Constant(Table):
    """A constant learning rate."""

    name: Literal["constant"] = "constant"


class Step(Table):
    """Multiply the learning rate by `factor` every `every` epochs (torch's StepLR)."""

    name: Literal["step"] = "step"
    every: int = Field(10, ge=1, description="epochs between the reductions")
    factor: float = Field(0.5, gt=0, le=1, description="factor of the learning rate at each reduction")


class Cosine(Table):
    """Reduce the learning rate along a cosine over the epochs of the run (torch's CosineAnnealingLR)."""

    name: Literal["cosine"] = "cosine"
    final: float = Field(0.0, ge=0, le=1, description="final learning rate as a fraction of the first one")


Schedule = Annotated[Constant | Step | Cosine, Field(discriminator="name")]


class NetworkOptions(ComponentOptions):
    """Options of a network: the generator or the discriminator."""

    optimizer: Optimizer = Field(AdamW(), description="optimizer of its weights")
    schedule: Schedule = Field(Constant(), description="learning-rate schedule, by the epoch")
    init: str = Field(
        "",
        description="the weights that a new run starts from: weights:NAME (a published name), a run folder, a "
        "checkpoint, or a .safetensors file; what fits is used; empty for none",
    )


class LossOptions(ComponentOptions):
    """Options of a loss."""

    weight: float = Field(1.0, ge=0, description="factor of the loss in the total loss")
    on: str = Field("restored", description="the output it is applied to: restored, or an auxiliary output")


class PenaltyOptions(ComponentOptions):
    """Options of a penalty."""

    weight: float = Field(1.0, ge=0, description="factor of the penalty in the discriminator's loss")
    every: int = Field(1, ge=1, description="apply it every this many steps, with its weight times this number")


# By kind; all other kinds have `ComponentOptions`.
_OPTIONS_BY_KIND: dict[str, type[ComponentOptions]] = {
    "generator": NetworkOptions,
    "discriminator": NetworkOptions,
    "loss": LossOptions,
    "penalty": PenaltyOptions,
}


def options_class(kind: str) -> type[ComponentOptions]:
    """Return the class of the options that recipes set for a component of this kind."""
    return _OPTIONS_BY_KIND.get(kind, ComponentOptions)
