"""What the bundle brings; torch and timm are imported when a loss is checked or built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import model_validator

from toolbox import Field, LossRef, LossSpec, Params, RecipeSpec, ReconstructionLoss, hookimpl

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"

Layer = Annotated[int, Field(ge=0, le=63)]


class CharbonnierParams(Params):
    """Params of `charbonnier`."""

    epsilon: float = Field(1e-3, gt=0, le=1, description="Where the loss turns from a square to an absolute value.")


class PerceptualParams(Params):
    """Params of `perceptual`."""

    backbone: str = Field(
        "tf_efficientnet_lite0", min_length=1, description="timm's name of the network, with or without a tag."
    )
    pretrained: bool = Field(False, description="Take timm's published weights, downloaded once.")
    weights: str | None = Field(None, description="Take this safetensors file, with the keys of timm's network.")
    layers: tuple[Layer, ...] = Field(
        (0, 1, 2), min_length=1, max_length=64, description="Which feature maps count, from 0, the finest."
    )
    distance: Literal["l1", "mse"] = Field("l1", description="The distance of two maps.")

    @model_validator(mode="after")
    def _one_origin(self) -> PerceptualParams:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained = true and weights exclude each other; leave one out")
        if len(set(self.layers)) != len(self.layers):
            raise ValueError(f"layers {list(self.layers)} names a feature map twice")
        return self


class FocalFrequencyParams(Params):
    """Params of `focal-frequency`."""

    alpha: float = Field(1.0, ge=0, le=8, description="How much more the hard frequencies count; 0 for the same.")
    detach_weights: bool = Field(True, description="Hold the weights of the frequencies fixed in the gradient.")


class HoleParams(Params):
    """Params of `hole`."""

    inner: LossRef = Field(description="The reconstruction loss that looks at the lost region.")
    border: float = Field(1.0, ge=0, description="Weight of the strip across the border beside the region's.")
    width: int = Field(4, ge=1, le=64, description="How far the strip reaches to either side, in pixels.")


class ChromaParams(Params):
    """Params of `chroma`."""

    space: Literal["ycbcr", "lab"] = Field(
        "ycbcr", description="Cb and Cr of BT.601, or a* and b* of CIELAB over 100, which go by what the eye sees."
    )
    distance: Literal["l1", "mse"] = Field("l1", description="The distance of two coordinates.")


class HueHistogramParams(Params):
    """Params of `hue-histogram`."""

    softness: float = Field(
        1.0, gt=0, le=1, description="How softly a hue is shared by its two nearest bins; towards 0 by one alone."
    )
    spread: float = Field(
        1.0, ge=0, le=30, description="Deviation in bins of a Gaussian that mixes the bins; 0 mixes none."
    )


def check_perceptual(params: PerceptualParams) -> None:
    """See whether the backbone exists, has the layers and takes any size, and whether the file is there."""
    from toolbox.backbones import examine

    from .features import chosen

    chosen(examine(params.backbone), params.layers)
    if params.weights is not None and not Path(params.weights).is_file():
        raise ValueError(f"there is no file {params.weights}; weights is the path of a safetensors file")


def warn_perceptual(params: PerceptualParams) -> str | None:
    """Say so where the network has not learned anything."""
    if params.pretrained or params.weights is not None:
        return None
    return "loss 'perceptual' looks through random weights; set pretrained = true, or weights to a file"


def build_perceptual(params: PerceptualParams) -> nn.Module:
    """Build the perceptual loss, its network filled as the params say."""
    from toolbox.backbones import create, load

    from .features import Perceptual, chosen

    backbone = create(params.backbone)
    chosen(backbone, params.layers)
    load(backbone, params.backbone, pretrained=params.pretrained, weights=params.weights)
    return Perceptual(backbone, layers=params.layers, distance=params.distance)


def build_l1(params: Params) -> ReconstructionLoss:
    """Build the absolute error."""
    from .pixel import l1

    return l1


def build_charbonnier(params: CharbonnierParams) -> ReconstructionLoss:
    """Build the smooth absolute error."""
    from .pixel import charbonnier

    return charbonnier(params.epsilon)


def build_ms_ssim(params: Params) -> ReconstructionLoss:
    """Build the multi-scale structural loss."""
    from .ms_ssim import ms_ssim_loss

    return ms_ssim_loss


def build_focal_frequency(params: FocalFrequencyParams) -> ReconstructionLoss:
    """Build the loss in the frequency domain."""
    from .frequency import focal_frequency

    return focal_frequency(params.alpha, detach_weights=params.detach_weights)


def build_hole(params: HoleParams, inner: ReconstructionLoss) -> nn.Module:
    """Build the loss around `inner`, as the plan built it."""
    from .hole import Hole

    return Hole(inner, border=params.border, width=params.width)


def build_chroma(params: ChromaParams) -> ReconstructionLoss:
    """Build the distance of the colours."""
    from .chroma import chroma

    return chroma(params.space, params.distance)


def build_hue_histogram(params: HueHistogramParams) -> ReconstructionLoss:
    """Build the soft form of the competition's C."""
    from .hue import hue_histogram

    return hue_histogram(params.softness, params.spread)


@hookimpl
def toolbox_losses() -> list[LossSpec]:
    """Return the losses."""
    return [
        LossSpec(
            name="perceptual",
            summary="Distance of the feature maps of a frozen timm network",
            params=PerceptualParams,
            build=build_perceptual,
            check=check_perceptual,
            warn=warn_perceptual,
            reference="Johnson et al., Perceptual Losses, ECCV 2016",
            licence="Pretrained weights have licences of their own, which timm states",
        ),
        LossSpec(name="l1", summary="Mean absolute error of the pixels", build=build_l1, reference="mean |x - y|"),
        LossSpec(
            name="charbonnier",
            summary="Absolute error of the pixels, smooth around 0",
            params=CharbonnierParams,
            build=build_charbonnier,
            reference="Charbonnier et al., ICIP 1994; Lai et al., LapSRN, CVPR 2017",
        ),
        LossSpec(
            name="ms-ssim",
            summary="1 - structural similarity over five scales, or as many as fit",
            build=build_ms_ssim,
            reference="Wang et al., Multiscale structural similarity, Asilomar 2003",
        ),
        LossSpec(
            name="focal-frequency",
            summary="Squared error of the Fourier transform, the hard frequencies first",
            params=FocalFrequencyParams,
            build=build_focal_frequency,
            reference="Jiang et al., Focal Frequency Loss, ICCV 2021",
        ),
        LossSpec(
            name="hole",
            summary="Any reconstruction loss inside the lost region and across its border",
            params=HoleParams,
            build=build_hole,
            reference="The valid and hole terms of Liu et al., Partial Convolutions, ECCV 2018, over any loss",
        ),
        LossSpec(
            name="chroma",
            summary="Distance of the two colour coordinates, Cb and Cr or a* and b*",
            params=ChromaParams,
            build=build_chroma,
            reference="ITU-R BT.601; CIE 15:2004",
        ),
        LossSpec(
            name="hue-histogram",
            summary="1 - correlation of soft hue histograms: the competition's C with a gradient",
            params=HueHistogramParams,
            build=build_hue_histogram,
            reference="The score of DACON 2024, competition 236420; OpenCV's HISTCMP_CORREL",
        ),
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="perceptual",
            summary="The published GAN with losses that look where the competition's score looks",
            path=RECIPES / "perceptual.toml",
        )
    ]
