"""What the bundle brings; timm and torch are imported when a network is checked or built."""

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
        "tf_efficientnet_lite0", min_length=1, description="timm's name of the encoder, with or without a tag."
    )
    pretrained: bool = Field(False, description="Start the encoder from timm's published weights, downloaded once.")
    weights: str | None = Field(
        None, description="Start the encoder from this safetensors file, with the keys of timm's network."
    )
    decoder: tuple[Width, ...] = Field(
        (256, 128, 64, 32, 16),
        min_length=1,
        max_length=8,
        description="Channels of the decoder from the coarsest level to the full size; a backbone of stride "
        "2^n takes the last n.",
    )
    norm: Literal["none", "batch", "group", "instance"] = Field("batch", description="Norm of the decoder.")
    activation: Literal["relu", "leaky-relu", "gelu", "silu"] = Field("relu", description="Activation of the decoder.")
    upsampling: Literal["bilinear", "nearest", "pixelshuffle"] = Field(
        "bilinear", description="How the decoder doubles the size; each without a checkerboard from the start."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> TimmUNetParams:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained = true and weights exclude each other; leave one out")
        return self


def check_timm_unet(params: TimmUNetParams) -> None:
    """See whether the backbone exists, gives maps of fit strides and takes any size, and the file is there."""
    from toolbox.backbones import examine

    from .unet import INPUTS, depth

    depth(examine(params.backbone, INPUTS), params.decoder)
    if params.weights is not None and not Path(params.weights).is_file():
        raise ValueError(f"there is no file {params.weights}; weights is the path of a safetensors file")


def build_timm_unet(params: TimmUNetParams) -> nn.Module:
    """Build the generator, its encoder filled as the params say."""
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
    """Return the U-Net."""
    return [
        GeneratorSpec(
            name="timm-unet",
            summary="U-Net over any timm backbone that gives feature maps; sees the mask",
            params=TimmUNetParams,
            build=build_timm_unet,
            check=check_timm_unet,
            initial=("pretrained", "weights"),
            reference="Ronneberger et al., U-Net, MICCAI 2015; Wightman, PyTorch Image Models, 2019",
            licence="Pretrained weights have licences of their own, which timm states",
        )
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="timm-unet",
            summary="The published GAN with a U-Net over a timm backbone for its generator",
            path=RECIPES / "timm-unet.toml",
        )
    ]
