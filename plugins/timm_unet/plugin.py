"""Hooks of the timm-unet bundle. timm and torch are imported only when a generator is checked or built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import model_validator

from toolbox import Field, GeneratorSpec, Params, RecipeSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"

Width = Annotated[int, Field(ge=4, le=2048)]


class TimmUNetParams(Params):
    """Params of `timm-unet`."""

    backbone: str = Field(
        "tf_efficientnet_lite0", min_length=1, description="The encoder: a timm model, with or without a tag."
    )
    pretrained: bool = Field(
        False, description="Load timm's published weights into the encoder; they are downloaded once."
    )
    weights: str | None = Field(
        None, description="Load this safetensors file into the encoder; its keys are those of timm's model."
    )
    decoder: tuple[Width, ...] = Field(
        (256, 128, 64, 32, 16),
        min_length=1,
        max_length=8,
        description="Channels of the decoder levels, from the coarsest to the full size; with a backbone of total "
        "stride 2^n, the last n are used.",
    )
    norm: Literal["none", "batch", "group", "instance"] = Field("batch", description="Normalization of the decoder.")
    activation: Literal["relu", "leaky-relu", "gelu", "silu"] = Field("relu", description="Activation of the decoder.")
    upsampling: Literal["bilinear", "nearest", "pixelshuffle"] = Field(
        "bilinear", description="Upsampling of the decoder; each starts without checkerboard artefacts."
    )

    @model_validator(mode="after")
    def _check_weights(self) -> TimmUNetParams:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained = true and weights exclude each other; set only one of them")
        return self


def check_timm_unet(params: TimmUNetParams) -> None:
    """Raise ValueError if the backbone is unknown or unsuitable (strides, fixed size), or the file is missing."""
    from toolbox.backbones import examine

    from .unet import INPUTS, decoder_levels

    decoder_levels(examine(params.backbone, INPUTS), params.decoder)
    if params.weights is not None and not Path(params.weights).is_file():
        raise ValueError(f"there is no file {params.weights}; set weights to the path of a safetensors file")


def build_timm_unet(params: TimmUNetParams) -> nn.Module:
    """Build the generator and load the encoder's weights."""
    from toolbox.backbones import create, load

    from .unet import INPUTS, TimmUNet

    backbone = create(params.backbone, INPUTS)
    load(backbone, params.backbone, pretrained=params.pretrained, weights=params.weights)
    return TimmUNet(
        backbone,
        decoder=params.decoder,
        norm=params.norm,
        activation=params.activation,
        upsampling=params.upsampling,
    )


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the generator."""
    return [
        GeneratorSpec(
            name="timm-unet",
            summary="U-Net over any timm backbone that has feature maps; sees the mask",
            params=TimmUNetParams,
            build=build_timm_unet,
            check=check_timm_unet,
            initial=("pretrained", "weights"),
            reference="Ronneberger et al., U-Net, MICCAI 2015; Wightman, PyTorch Image Models, 2019",
            licence="Each set of pretrained weights has its own licence, stated by timm",
        )
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="timm-unet",
            summary="Default recipe with a U-Net over a timm backbone",
            path=RECIPES / "timm-unet.toml",
        )
    ]
