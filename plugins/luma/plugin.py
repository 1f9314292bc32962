"""Hooks of the luma bundle. timm and torch are imported only when a component is checked or built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import field_validator, model_validator

from toolbox import (
    Degradation,
    DegradationSpec,
    Field,
    GeneratorSpec,
    LossSpec,
    Params,
    Postprocessor,
    PostprocessorSpec,
    RecipeSpec,
    ReconstructionLoss,
    hookimpl,
)

if TYPE_CHECKING:
    import numpy as np
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
    saturation: Annotated[list[Annotated[float, Field(ge=0, le=10)]], Field(min_length=1, max_length=64)] = Field(
        [1.0],
        description="Factor of the colours: one number, or values from certain to uncertain pixels; "
        "`toolbox weights calibrate` finds them.",
    )
    fills: bool = Field(True, description="Predict the luma of the lost region; false fills the region smoothly.")
    width: int = Field(
        32,
        ge=4,
        le=512,
        multiple_of=2,
        description="Decoder width; the colour classes are predicted from twice as many channels.",
    )

    @field_validator("saturation", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:  # noqa: ANN401 - any value of a recipe
        return [value] if isinstance(value, int | float) else value

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


class ScanParams(Params):
    """Params of `scan`."""

    share: float = Field(0.5, ge=0, le=1, description="Share of the photographs that look like old prints.")
    film: float = Field(
        0.15, ge=0, le=1, description="Share of the photographs whose gray is another mix of red, green and blue."
    )


class ImperfectFillParams(Params):
    """Params of `imperfect-fill`."""

    share: float = Field(0.4, ge=0, le=1, description="Share of the photographs that get a filled shape.")


class WhiteBalanceParams(Params):
    """Params of `white-balance`."""

    red: float = Field(1.0, gt=0, le=4, description="Mean factor of red.")
    blue: float = Field(1.0, gt=0, le=4, description="Mean factor of blue.")
    spread: float = Field(0.1, ge=0, le=1, description="Standard deviation of the logarithm of both factors.")


class ExpectedHuesParams(Params):
    """Params of `expected-hues`."""

    strength: float = Field(
        1.25, ge=0.6, le=4, description="Largest change of a colour, in levels of Cb and Cr; 1.25 is not visible."
    )


def check_luma_unet(params: LumaUNetParams) -> None:
    """Raise ValueError if the backbone is unknown or has other strides or a fixed size, or the file is missing."""
    from toolbox.backbones import examine

    from .network import require_strides

    require_strides(examine(params.backbone, input_channels(params)))
    if params.weights is not None and not Path(params.weights).is_file():
        raise ValueError(f"there is no file {params.weights}; set weights to the path of a safetensors file")


def build_luma_unet(params: LumaUNetParams) -> nn.Module:
    """Build the generator and load the encoder's weights."""
    from toolbox.backbones import create, load

    from .network import LumaUNet

    backbone = create(params.backbone, input_channels(params))
    load(backbone, params.backbone, pretrained=params.pretrained, weights=params.weights)
    return LumaUNet(
        backbone, width=params.width, frozen=params.frozen, saturation=params.saturation, fills=params.fills
    )


def input_channels(params: LumaUNetParams) -> int:
    """Return the number of input channels of the encoder: the gray picture as RGB, and with `fills` the mask."""
    return 4 if params.fills else 3


def build_color_classes(params: ColorClassesParams) -> ReconstructionLoss:
    """Build the loss of the colour classes."""
    from .losses import color_classes

    return color_classes(params.vivid)


def build_white_balance(params: WhiteBalanceParams) -> Degradation:
    """Build the white-balance augmentation."""
    from .white_balance import white_balance

    return white_balance(params.red, params.blue, params.spread)


def build_scan(params: ScanParams) -> Degradation:
    """Build the degradation `scan`."""
    from .scan import scan

    return scan(params.share, params.film)


def build_imperfect_fill(params: ImperfectFillParams) -> Degradation:
    """Build the degradation `imperfect-fill`."""
    from .imperfect_fill import imperfect_fill

    return imperfect_fill(params.share)


def build_expected_hues(params: ExpectedHuesParams) -> Postprocessor:
    """Build the post-processor for the hue histogram."""
    from toolbox.color import is_gray

    from .expected_hues import HueMap, expected_hues

    hue_map = HueMap.load()

    def process(restored: np.ndarray, original: np.ndarray, mask: np.ndarray, /) -> np.ndarray:
        return expected_hues(restored, hue_map, params.strength) if is_gray(original) else restored.copy()

    return process


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
    """Return the augmentations."""
    return [
        DegradationSpec(
            name="scan",
            summary="Marks of old prints in the gray input: fading, grain, blur, JPEG, dark corners, borders, film",
            role="augment",
            params=ScanParams,
            build=build_scan,
        ),
        DegradationSpec(
            name="imperfect-fill",
            summary="Fills a shape of the gray input smoothly, like a filled hole",
            role="augment",
            params=ImperfectFillParams,
            build=build_imperfect_fill,
        ),
        DegradationSpec(
            name="white-balance",
            summary="Random white balance of the truth; the luma stays the same",
            role="augment",
            params=WhiteBalanceParams,
            build=build_white_balance,
            reference="Afifi and Brown, What Else Can Fool Deep Learning?, ICCV 2019 (white balance as augmentation)",
        ),
    ]


@hookimpl
def toolbox_postprocessors() -> list[PostprocessorSpec]:
    """Return the post-processor."""
    return [
        PostprocessorSpec(
            name="expected-hues",
            summary="Changes colours by about one level towards the expected hue histogram, for the score; keeps luma",
            params=ExpectedHuesParams,
            build=build_expected_hues,
            changes_known=True,
            reference="Deming and Stephan, Annals of Mathematical Statistics 11 (1940), for the fit to the histogram",
        )
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="luma",
            summary="Restorer that keeps the known luma and predicts the colours; a filler fills the lost region",
            path=RECIPES / "luma.toml",
        )
    ]
