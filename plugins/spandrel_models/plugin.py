"""Hooks of the spandrel bundle. spandrel and torch are imported only when a file is checked or loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolbox import Field, GeneratorSpec, Params, hookimpl

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1


class SpandrelParams(Params):
    """Params of `spandrel`."""

    weights: str = Field(
        min_length=1, description="Path of a .safetensors file; spandrel detects the architecture from its tensors."
    )


def check_spandrel(params: SpandrelParams) -> None:
    """Raise ValueError with the reason and the remedy if the file can't be used."""
    from .model import load

    load(params.weights)


def build_spandrel(params: SpandrelParams) -> nn.Module:
    """Build the generator with the weights of the file; raise ValueError as `check_spandrel` does."""
    from .model import SpandrelGenerator, load

    return SpandrelGenerator(load(params.weights))


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the generator."""
    return [
        GeneratorSpec(
            name="spandrel",
            summary="Inpainting or restoration network from your own file; any architecture that spandrel supports",
            params=SpandrelParams,
            build=build_spandrel,
            check=check_spandrel,
            reference="chaiNNer, spandrel, 2023; for the paper, see the architecture of your file",
            licence="spandrel: MIT; for the weights, see the licence of your file",
        )
    ]
