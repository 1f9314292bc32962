"""What the two-stage bundle brings; nothing heavy is imported before the generator is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolbox import Field, GeneratorRef, GeneratorSpec, Params, RecipeSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"
REFERENCE = (
    "The order of the code share best known in DACON 2024, competition 236420: fill in the gray, then colour it; "
    "luma of ITU-R BT.601"
)


class TwoStageParams(Params):
    """Params of `two-stage`."""

    gray: GeneratorRef = Field(
        GeneratorRef(name="inpainting-unet"),
        description="The generator whose result, in gray, fills the lost region: a table with its name and params.",
    )
    color: GeneratorRef = Field(
        GeneratorRef(name="inpainting-unet"),
        description="The generator that is given the filled gray, as three equal channels, and colours it.",
    )
    keep_known: bool = Field(
        True, description="Take from the first stage the lost region alone, and leave the known gray as it is."
    )


def build_two_stage(params: TwoStageParams, gray: nn.Module, color: nn.Module) -> nn.Module:
    """Put the two built generators in a row."""
    from .stages import TwoStage

    return TwoStage(gray, color, params.keep_known)


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the generator made of two."""
    return [
        GeneratorSpec(
            name="two-stage",
            summary="Restores the gray first and then colours it, each by a generator of its own",
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
            summary="Two U-Nets over ResNet-34: the gray first, then its colours",
            path=RECIPES / "two-stage.toml",
        )
    ]
