"""What the bundle brings; timm and torch are imported when a component is checked or built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import model_validator

from toolbox import (
    Degradation,
    DegradationSpec,
    Field,
    GeneratorSpec,
    LossSpec,
    Params,
    RecipeSpec,
    ReconstructionLoss,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"


class LumaUNetParams(Params):
    """Params of `luma-unet`."""

    backbone: str = Field(
        "tf_efficientnet_lite0", min_length=1, description="timm's name of the encoder, of strides 2 to 32."
    )
    pretrained: bool = Field(False, description="Start the encoder from timm's published weights, downloaded once.")
    weights: str | None = Field(
        None, description="Start the encoder from this safetensors file, with the keys of timm's network."
    )
    frozen: bool = Field(False, description="Leave the encoder as it is loaded: on few photographs it forgets less.")
    saturation: float = Field(
        1.0,
        gt=0,
        le=10,
        description="What colours are multiplied by in the result, as `benchmarks calibrate` finds it.",
    )
    width: int = Field(32, ge=4, le=512, multiple_of=2, description="Half the channels where colours are told.")

    @model_validator(mode="after")
    def _one_origin(self) -> LumaUNetParams:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained = true and weights exclude each other; leave one out")
        return self


class ColorClassesParams(Params):
    """Params of `color-classes`."""

    vivid: float = Field(2.0, ge=0, le=100, description="How much more a vivid pixel counts than a gray one.")


class WhiteBalanceParams(Params):
    """Params of `white-balance`."""

    red: float = Field(1.0, gt=0, le=4, description="What red is multiplied by, on average.")
    blue: float = Field(1.0, gt=0, le=4, description="What blue is multiplied by, on average.")
    spread: float = Field(0.1, ge=0, le=1, description="Deviation of the logarithm of both around that.")


def check_luma_unet(params: LumaUNetParams) -> None:
    """See whether the backbone exists, has the strides and takes any size, and whether the file is there."""
    from toolbox.backbones import examine

    from .network import demand_strides

    demand_strides(examine(params.backbone, 4))
    if params.weights is not None and not Path(params.weights).is_file():
        raise ValueError(f"there is no file {params.weights}; weights is the path of a safetensors file")


def build_luma_unet(params: LumaUNetParams) -> nn.Module:
    """Build the generator, its encoder filled as the params say."""
    from toolbox.backbones import create, load

    from .network import LumaUNet

    backbone = create(params.backbone, 4)
    load(backbone, params.backbone, pretrained=params.pretrained, weights=params.weights)
    return LumaUNet(backbone, width=params.width, frozen=params.frozen, saturation=params.saturation)


def build_color_classes(params: ColorClassesParams) -> ReconstructionLoss:
    """Build the loss of the colour classes."""
    from .losses import color_classes

    return color_classes(params.vivid)


def build_white_balance(params: WhiteBalanceParams) -> Degradation:
    """Build the augmentation."""
    from .white_balance import white_balance

    return white_balance(params.red, params.blue, params.spread)


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the U-Net."""
    return [
        GeneratorSpec(
            name="luma-unet",
            summary="U-Net over a timm encoder that keeps the known luma; colour by classes",
            params=LumaUNetParams,
            build=build_luma_unet,
            check=check_luma_unet,
            initial=("pretrained", "weights"),
            auxiliary=("classes",),
            reference="Ronneberger et al., U-Net, MICCAI 2015; Zhang et al., Colorful Image Colorization, ECCV 2016",
            licence="Pretrained weights have licences of their own, which timm states",
        )
    ]


@hookimpl
def toolbox_losses() -> list[LossSpec]:
    """Return the loss."""
    return [
        LossSpec(
            name="color-classes",
            summary="Cross-entropy of the colour classes of `luma-unet`",
            params=ColorClassesParams,
            build=build_color_classes,
            reference="Zhang et al., Colorful Image Colorization, ECCV 2016",
        )
    ]


@hookimpl
def toolbox_degradations() -> list[DegradationSpec]:
    """Return the augmentation."""
    return [
        DegradationSpec(
            name="white-balance",
            summary="Gives the truth another white balance at the same luma",
            role="augment",
            params=WhiteBalanceParams,
            build=build_white_balance,
            reference="Afifi and Brown, What Else Can Fool Deep Learning?, ICCV 2019 (white balance as augmentation)",
        )
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="luma",
            summary="Keeps the known luma, finds the colours and what is lost, over an ImageNet encoder",
            path=RECIPES / "luma.toml",
        )
    ]
