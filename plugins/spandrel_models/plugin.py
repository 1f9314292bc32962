"""What the spandrel bundle brings; neither spandrel nor torch is imported before a file is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolbox import Field, GeneratorSpec, Params, hookimpl

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1


class SpandrelParams(Params):
    """Params of `spandrel`."""

    weights: str = Field(
        min_length=1, description="Path of the network's .safetensors file; its architecture is read off its tensors."
    )


def check_spandrel(params: SpandrelParams) -> None:
    """Refuse a file that can't be used here; ValueError with the reason and the next step."""
    from .model import load

    load(params.weights)


def build_spandrel(params: SpandrelParams) -> nn.Module:
    """Build the network that the file holds, with its weights; ValueError as `check_spandrel` has it."""
    from .model import SpandrelGenerator, load

    return SpandrelGenerator(load(params.weights))


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the generator."""
    return [
        GeneratorSpec(
            name="spandrel",
            summary="A network for inpainting or restoration that spandrel knows, from your own safetensors file",
            params=SpandrelParams,
            build=build_spandrel,
            check=check_spandrel,
            reference="chaiNNer, spandrel, 2023; the paper is that of the architecture in the file",
            licence="spandrel is MIT; the licence of the weights is that of your file",
        )
    ]
