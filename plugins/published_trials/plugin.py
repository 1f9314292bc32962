"""Hooks of the published-trials bundle. torch and NumPy are imported only when a component is built."""

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

    width: int = Field(
        64, ge=4, le=512, description="Channels of the first level; each further level has twice as many."
    )
    levels: int = Field(
        5, ge=2, le=8, description="Number of levels; each level after the first halves height and width."
    )


class GatedParams(Params):
    """Params of `gated-unet`."""

    width: int = Field(
        48,
        ge=4,
        le=512,
        description="Channels of the first level; each further level has twice as many. 48 gives about as many "
        "parameters as a width of 64 without gates.",
    )
    levels: int = Field(
        5, ge=2, le=8, description="Number of levels; each level after the first halves height and width."
    )
    mask: bool = Field(
        True, description="Use the mask as a fourth input channel, as in the paper on gated convolutions."
    )


class FlipParams(Params):
    """Params of the degradation `flip`."""

    horizontal: float = Field(0.5, ge=0, le=1, description="Probability of a flip from left to right.")
    vertical: float = Field(0.0, ge=0, le=1, description="Probability of a flip from top to bottom.")

    @model_validator(mode="after")
    def _check_probabilities(self) -> FlipParams:
        if not self.horizontal and not self.vertical:
            raise ValueError("horizontal and vertical are both 0, so nothing is flipped; set at least one above 0")
        return self


class RotateParams(Params):
    """Params of the degradation `rotate`."""

    angles: tuple[Literal[0, 90, 180, 270], ...] = Field(
        (0, 90, 180, 270),
        min_length=1,
        description="Angles in degrees, anticlockwise, chosen uniformly; repeat one to choose it more often.",
    )


class EraseParams(Params):
    """Params of the degradation `partial-erase`."""

    chance: float = Field(0.5, gt=0, le=1, description="Probability that a sample gets rectangles.")
    patches: int = Field(3, ge=1, le=64, description="Largest number of rectangles in a sample; the smallest is 1.")
    least: float = Field(0.01, gt=0, le=1, description="Smallest area of a rectangle, as a fraction of the picture.")
    most: float = Field(0.08, gt=0, le=1, description="Largest area of a rectangle, as a fraction of the picture.")
    aspect: float = Field(0.3, gt=0, le=1, description="Smallest ratio of height to width; the largest is 1 / aspect.")
    low: int = Field(0, ge=0, le=255, description="Darkest gray value of a rectangle.")
    high: int = Field(100, ge=0, le=255, description="Brightest gray value of a rectangle.")

    @model_validator(mode="after")
    def _check_ranges(self) -> EraseParams:
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
    from .flip_rotate import flip

    return flip(params.horizontal, params.vertical)


def build_rotate(params: RotateParams) -> Degradation:
    """Build the rotation."""
    from .flip_rotate import rotate

    return rotate(params.angles)


def build_erase(params: EraseParams) -> Degradation:
    """Build the partial erasure."""
    from .erase import erase

    return erase(**params.model_dump())


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the two generators that were tried."""
    return [
        GeneratorSpec(
            name="residual-unet",
            summary="Published U-Net with residual blocks",
            params=ResidualParams,
            build=build_residual,
            reference="He et al., Deep Residual Learning, CVPR 2016; Zhang et al., Deep Residual U-Net, 2018",
        ),
        GeneratorSpec(
            name="gated-unet",
            summary="Published U-Net with gated convolutions; optionally sees the mask",
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
            summary="Random flip from left to right or from top to bottom",
            role="augment",
            params=FlipParams,
            build=build_flip,
            reference="Krizhevsky et al., ImageNet Classification with Deep CNNs, NeurIPS 2012 (data augmentation)",
        ),
        DegradationSpec(
            name="rotate",
            summary="Random rotation by a multiple of 90 degrees",
            role="augment",
            params=RotateParams,
            build=build_rotate,
            reference="Timofte et al., Seven Ways to Improve Example-Based Super Resolution, CVPR 2016",
        ),
        DegradationSpec(
            name="partial-erase",
            summary="Random flat rectangles, painted over the image and added to the mask",
            role="augment",
            params=EraseParams,
            build=build_erase,
            reference="Zhong et al., Random Erasing Data Augmentation, AAAI 2020",
        ),
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return one recipe for each trial."""
    summaries = {
        "trial-no-penalty": "Trial: default recipe without the gradient penalty",
        "trial-ssim-weight": "Trial: default recipe with twice the SSIM weight",
        "trial-residual": "Trial: default recipe with residual blocks",
        "trial-gated": "Trial: default recipe with gated convolutions",
        "trial-flip": "Trial: default recipe with horizontal flips",
        "trial-rotate": "Trial: default recipe with random rotations",
        "trial-erase": "Trial: default recipe with additional erased rectangles",
    }
    return [
        RecipeSpec(name=name, summary=summary, path=RECIPES / f"{name}.toml") for name, summary in summaries.items()
    ]
