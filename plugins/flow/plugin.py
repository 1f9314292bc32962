"""Hooks of the flow bundle. torch is imported only when a component is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolbox import Field, GeneratorSpec, Params, RecipeSpec, StepSpec, TrainingStep, hookimpl

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

REFERENCE = "Liu et al., Flow Straight and Fast (rectified flow), ICLR 2023"


class FlowParams(Params):
    """Params of `flow-colorizer`."""

    width: int = Field(
        32,
        ge=8,
        le=512,
        multiple_of=8,
        description="Channels of the first level; each further level has twice as many.",
    )
    levels: int = Field(4, ge=2, le=6, description="Number of levels; each after the first halves height and width.")
    steps: int = Field(4, ge=1, le=100, description="Euler steps in which a picture is coloured.")


def build_network(params: FlowParams) -> nn.Module:
    """Build the network."""
    from .network import FlowColorizer

    return FlowColorizer(params.width, params.levels, params.steps)


def build_step(params: Params) -> TrainingStep:
    """Return the training step."""
    from .step import flow_matching_step

    return flow_matching_step


def example_network() -> nn.Module:
    """Return a small network, for the checks of the step."""
    return build_network(FlowParams(width=8, levels=2, steps=1))


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the network."""
    return [
        GeneratorSpec(
            name="flow-colorizer",
            summary="U-Net that colours by Euler steps along a learned velocity; for the step flow-matching",
            params=FlowParams,
            build=build_network,
            reference=REFERENCE,
        )
    ]


@hookimpl
def toolbox_steps() -> list[StepSpec]:
    """Return the training step."""
    return [
        StepSpec(
            name="flow-matching",
            summary="Squared error of the velocity from noise to the colours of a photograph; for flow-colorizer",
            build=build_step,
            example=example_network,
            uses_discriminator=False,
            reference=REFERENCE,
        )
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="flow",
            summary="Colouriser by flow matching: an example of a training step of its own",
            path=Path(__file__).parent / "recipes" / "flow.toml",
        )
    ]
