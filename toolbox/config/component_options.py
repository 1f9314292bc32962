"""The options that a recipe sets for a component besides its params: weight, number of warm-up steps and so on.

A component's table in a recipe holds the component's own params and the options of its kind, side by side.
"""

from __future__ import annotations

from pydantic import Field

from toolbox.config.settings import Table


class ComponentOptions(Table):
    """Options of every component; those of degradations and metrics."""

    enabled: bool = Field(True, description="false removes a component that an extended recipe has")


class RefOptions(Table):
    """Options of a component among the params of another one: none besides its params."""


class OptimizerOptions(Table):
    """Options of an optimizer: none besides its params."""


class StepOptions(Table):
    """Options of a training step: none besides its params."""


class ScheduleOptions(Table):
    """Options of a schedule of the learning rate."""

    warmup_steps: int | None = Field(
        None,
        ge=1,
        description="training steps at the start in which the learning rate rises linearly to that of the schedule",
    )


class NetworkOptions(ComponentOptions):
    """Options of a network: the generator or the discriminator."""

    clip_norm: float | None = Field(
        None, gt=0, description="gradients with a larger norm, over all weights, are scaled down to it"
    )
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
_OPTIONS_BY_KIND: dict[str, type[Table]] = {
    "generator": NetworkOptions,
    "discriminator": NetworkOptions,
    "loss": LossOptions,
    "penalty": PenaltyOptions,
    "optimizer": OptimizerOptions,
    "schedule": ScheduleOptions,
    "step": StepOptions,
}


def options_class(kind: str) -> type[Table]:
    """Return the class of the options that recipes set for a component of this kind."""
    return _OPTIONS_BY_KIND.get(kind, ComponentOptions)
