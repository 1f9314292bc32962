"""What the bundle of the published trials brings; nothing heavy is imported before a component is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from toolbox import Degradation, DegradationSpec, Field, GeneratorSpec, Params, RecipeSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"


class ResidualParams(Params):
    """Params of `residual-unet`."""

    width: int = Field(64, ge=4, le=512, description="Channels of the first level; each next has twice as many.")
    levels: int = Field(5, ge=2, le=8, description="Levels, the lowest included; each halves the size.")


class GatedParams(Params):
    """Params of `gated-unet`."""

    width: int = Field(
        48,
        ge=4,
        le=512,
        description="Channels of the first level; each next has twice as many. 48 gives about as many parameters "
        "as an ungated width of 64.",
    )
    levels: int = Field(5, ge=2, le=8, description="Levels, the lowest included; each halves the size.")
    mask: bool = Field(True, description="Whether the mask is a fourth input channel, as gated convolutions want it.")


class FlipParams(Params):
    """Params of the degradation `flip`."""

    horizontal: float = Field(0.5, ge=0, le=1, description="Chance that left and right are exchanged.")
    vertical: float = Field(0.0, ge=0, le=1, description="Chance that top and bottom are exchanged.")

    @model_validator(mode="after")
    def _moves(self) -> FlipParams:
        if not self.horizontal and not self.vertical:
            raise ValueError("horizontal and vertical are both 0, so that nothing would ever flip")
        return self


class RotateParams(Params):
    """Params of the degradation `rotate`."""

    angles: tuple[Literal[0, 90, 180, 270], ...] = Field(
        (0, 90, 180, 270), min_length=1, description="Degrees anticlockwise, each drawn as often as it is listed."
    )


class EraseParams(Params):
    """Params of the degradation `partial-erase`."""

    chance: float = Field(0.5, gt=0, le=1, description="Chance that a sample is erased at all.")
    patches: int = Field(3, ge=1, le=64, description="Most rectangles a sample; 1 to so many are drawn.")
    least: float = Field(0.01, gt=0, le=1, description="Least area of a rectangle, as a share of the picture.")
    most: float = Field(0.08, gt=0, le=1, description="Greatest area of a rectangle, as a share of the picture.")
    aspect: float = Field(0.3, gt=0, le=1, description="Least height by width; the greatest is 1 by this.")
    low: int = Field(0, ge=0, le=255, description="Least gray value of a rectangle.")
    high: int = Field(100, ge=0, le=255, description="Greatest gray value of a rectangle.")

    @model_validator(mode="after")
    def _possible(self) -> EraseParams:
        if self.least > self.most:
            raise ValueError(f"least = {self.least} is above most = {self.most}")
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        return self


def build_residual(params: ResidualParams) -> nn.Module:
    """Build the U-Net of residual blocks."""
    from .unet import Residual, UNet

    return UNet(Residual, params.width, params.levels)


def build_gated(params: GatedParams) -> nn.Module:
    """Build the U-Net of gated convolutions."""
    from .unet import UNet, double_gated

    return UNet(double_gated, params.width, params.levels, params.mask)


def build_flip(params: FlipParams) -> Degradation:
    """Build the flip."""
    from .turn import flip

    return flip(params.horizontal, params.vertical)


def build_rotate(params: RotateParams) -> Degradation:
    """Build the quarter turns."""
    from .turn import rotate

    return rotate(params.angles)


def build_erase(params: EraseParams) -> Degradation:
    """Build the erasure."""
    from .erase import erase

    return erase(**params.model_dump())


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the two U-Nets that were tried."""
    return [
        GeneratorSpec(
            name="residual-unet",
            summary="The published U-Net with a shortcut around every pair of convolutions",
            params=ResidualParams,
            build=build_residual,
            reference="He et al., Deep Residual Learning, CVPR 2016; Zhang et al., Deep Residual U-Net, 2018",
        ),
        GeneratorSpec(
            name="gated-unet",
            summary="The published U-Net of gated convolutions, with the mask or without",
            params=GatedParams,
            build=build_gated,
            reference="Yu et al., Free-Form Image Inpainting with Gated Convolution, ICCV 2019",
        ),
    ]


@hookimpl
def toolbox_degradations() -> list[DegradationSpec]:
    """Return the three augmentations that were tried."""
    return [
        DegradationSpec(
            name="flip",
            summary="Exchanges left and right, or top and bottom, at random",
            role="augment",
            params=FlipParams,
            build=build_flip,
            reference="Krizhevsky et al., ImageNet Classification with Deep CNNs, NeurIPS 2012 (data augmentation)",
        ),
        DegradationSpec(
            name="rotate",
            summary="Turns by a random multiple of 90 degrees",
            role="augment",
            params=RotateParams,
            build=build_rotate,
            reference="Timofte et al., Seven Ways to Improve Example-Based Super Resolution, CVPR 2016",
        ),
        DegradationSpec(
            name="partial-erase",
            summary="Paints more flat rectangles over the image and marks them as lost",
            role="augment",
            params=EraseParams,
            build=build_erase,
            reference="Zhong et al., Random Erasing Data Augmentation, AAAI 2020",
        ),
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return a recipe a trial."""
    summaries = {
        "trial-no-penalty": "Trial: the default without the gradient penalty",
        "trial-ssim-weight": "Trial: the default with twice the SSIM weight",
        "trial-residual": "Trial: the default with residual blocks",
        "trial-gated": "Trial: the default with gated convolutions",
        "trial-flip": "Trial: the default with horizontal flips",
        "trial-rotate": "Trial: the default with quarter turns",
        "trial-erase": "Trial: the default with more erased patches",
    }
    return [
        RecipeSpec(name=name, summary=summary, path=RECIPES / f"{name}.toml") for name, summary in summaries.items()
    ]
