"""Hooks of the luma bundle. timm and torch are imported only when a component is checked or built."""

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
        "tf_efficientnet_lite0", min_length=1, description="The encoder: a timm model with strides 2 to 32."
    )
    pretrained: bool = Field(
        False, description="Load timm's published weights into the encoder; they are downloaded once."
    )
    weights: str | None = Field(
        None, description="Load this safetensors file into the encoder; its keys are those of timm's model."
    )
    frozen: bool = Field(False, description="Do not train the encoder; useful with few photographs.")
    saturation: float = Field(
        1.0,
        gt=0,
        le=10,
        description="Factor of the colours of the result; `python -m benchmarks calibrate` finds a value.",
    )
    width: int = Field(
        32,
        ge=4,
        le=512,
        multiple_of=2,
        description="Decoder width; the colour classes are predicted from twice as many channels.",
    )

    @model_validator(mode="after")
    def _check_weights(self) -> LumaUNetParams:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained = true and weights exclude each other; set only one of them")
        return self


class ColorClassesParams(Params):
    """Params of `color-classes`."""

    vivid: float = Field(
        2.0, ge=0, le=100, description="Additional weight of a vivid pixel; a gray pixel has weight 1."
    )


class WhiteBalanceParams(Params):
    """Params of `white-balance`."""

    red: float = Field(1.0, gt=0, le=4, description="Mean factor of red.")
    blue: float = Field(1.0, gt=0, le=4, description="Mean factor of blue.")
    spread: float = Field(0.1, ge=0, le=1, description="Standard deviation of the logarithm of both factors.")


def check_luma_unet(params: LumaUNetParams) -> None:
    """Raise ValueError if the backbone is unknown or has other strides or a fixed size, or the file is missing."""
    from toolbox.backbones import examine

    from .network import demand_strides

    demand_strides(examine(params.backbone, 4))
    if params.weights is not None and not Path(params.weights).is_file():
        raise ValueError(f"there is no file {params.weights}; set weights to the path of a safetensors file")


def build_luma_unet(params: LumaUNetParams) -> nn.Module:
    """Build the generator and load the encoder's weights."""
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
    """Build the white-balance augmentation."""
    from .white_balance import white_balance

    return white_balance(params.red, params.blue, params.spread)


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the generator."""
    return [
        GeneratorSpec(
            name="luma-unet",
            summary="U-Net over a timm encoder; keeps the known luma and predicts colour classes",
            params=LumaUNetParams,
            build=build_luma_unet,
            check=check_luma_unet,
            initial=("pretrained", "weights"),
            auxiliary=("classes",),
            reference="Ronneberger et al., U-Net, MICCAI 2015; Zhang et al., Colorful Image Colorization, ECCV 2016",
            licence="Each set of pretrained weights has its own licence, stated by timm",
        )
    ]


@hookimpl
def toolbox_losses() -> list[LossSpec]:
    """Return the colour loss."""
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
            summary="Random white balance of the truth; the luma stays the same",
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
            summary="Restorer that keeps the known luma; predicts the colours and fills in the lost region",
            path=RECIPES / "luma.toml",
        )
    ]
