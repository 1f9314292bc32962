"""Hooks of the two-stage bundle. torch is imported only when the generator is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolbox import Field, GeneratorRef, GeneratorSpec, Params, RecipeSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"
REFERENCE = (
    "The best-known public solution of DACON 2024, competition 236420, which restores the gray and then adds the "
    "colours; luma of ITU-R BT.601"
)


class TwoStageParams(Params):
    """Params of `two-stage`."""

    gray: GeneratorRef = Field(
        GeneratorRef(name="inpainting-unet"),
        description="The generator that restores the gray: a table with its name and params.",
    )
    color: GeneratorRef = Field(
        GeneratorRef(name="inpainting-unet"),
        description="The generator that adds the colours; its input is the restored gray in three equal channels.",
    )
    keep_known: bool = Field(
        True, description="Use the first generator's output only in the lost region and keep the known gray."
    )


def build_two_stage(params: TwoStageParams, gray: nn.Module, color: nn.Module) -> nn.Module:
    """Combine the two built generators."""
    from .stages import TwoStage

    return TwoStage(gray, color, params.keep_known)


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the generator."""
    return [
        GeneratorSpec(
            name="two-stage",
            summary="Two generators in sequence: the first restores the gray, the second adds the colours",
            params=TwoStageParams,
            build=build_two_stage,
            reference=REFERENCE,
            auxiliary=("gray",),
        )
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="two-stage",
            summary="Default recipe with two U-Nets over ResNet-34: first the gray, then the colours",
            path=RECIPES / "two-stage.toml",
        )
    ]
