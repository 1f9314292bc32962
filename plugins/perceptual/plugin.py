"""Hooks of the perceptual bundle. torch and timm are imported only when a component is checked or built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import model_validator

from toolbox import (
    Field,
    LossRef,
    LossSpec,
    Metric,
    MetricSpec,
    Params,
    RecipeSpec,
    ReconstructionLoss,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"

Layer = Annotated[int, Field(ge=0, le=63)]


class CharbonnierParams(Params):
    """Params of `charbonnier`."""

    epsilon: float = Field(
        1e-3,
        gt=0,
        le=1,
        description="Differences below it count roughly by their square, larger ones by their absolute value.",
    )


class PerceptualParams(Params):
    """Params of `perceptual`."""

    backbone: str = Field(
        "tf_efficientnet_lite0", min_length=1, description="The network: a timm model, with or without a tag."
    )
    pretrained: bool = Field(False, description="Load timm's published weights; they are downloaded once.")
    weights: str | None = Field(None, description="Load this safetensors file; its keys are those of timm's model.")
    layers: tuple[Layer, ...] = Field(
        (0, 1, 2), min_length=1, max_length=64, description="Feature maps to compare, by index; 0 is the finest."
    )
    distance: Literal["l1", "mse"] = Field("l1", description="Distance of two feature maps.")

    @model_validator(mode="after")
    def _check_params(self) -> PerceptualParams:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained = true and weights exclude each other; set only one of them")
        if len(set(self.layers)) != len(self.layers):
            raise ValueError(f"layers {list(self.layers)} contains a feature map twice")
        return self


class FocalFrequencyParams(Params):
    """Params of `focal-frequency`."""

    alpha: float = Field(
        1.0, ge=0, le=8, description="Emphasis on frequencies with large errors; 0 weights all equally."
    )
    detach_weights: bool = Field(True, description="Treat the weights of the frequencies as constants in the gradient.")


class HoleParams(Params):
    """Params of `hole`."""

    inner: LossRef = Field(description="The reconstruction loss to compute in the lost region.")
    border: float = Field(
        1.0, ge=0, description="Weight of the strip along the border; the lost region itself has weight 1."
    )
    width: int = Field(4, ge=1, le=64, description="Width of the strip on each side of the border, in pixels.")


class ChromaParams(Params):
    """Params of `chroma`."""

    space: Literal["ycbcr", "lab"] = Field(
        "ycbcr",
        description="'ycbcr': Cb and Cr of BT.601; 'lab': a* / 100 and b* / 100 of CIELAB, closer to perception.",
    )
    distance: Literal["l1", "mse"] = Field("l1", description="Distance of two coordinates.")


class HueHistogramParams(Params):
    """Params of `hue-histogram`."""

    softness: float = Field(
        1.0,
        gt=0,
        le=1,
        description="How a hue is split between its two nearest bins: 1 is linear; near 0 only the nearest counts.",
    )
    spread: float = Field(
        1.0,
        ge=0,
        le=30,
        description="Standard deviation in bins of a Gaussian that smooths the histogram; 0 is no smoothing.",
    )


def check_perceptual(params: PerceptualParams) -> None:
    """Raise ValueError if the backbone is unknown, lacks a layer or has a fixed size, or the file is missing."""
    from toolbox.backbones import examine

    from .feature_distance import check_layers

    check_layers(examine(params.backbone), params.layers)
    if params.weights is not None and not Path(params.weights).is_file():
        raise ValueError(f"there is no file {params.weights}; set weights to the path of a safetensors file")


def warn_perceptual(params: PerceptualParams) -> str | None:
    """Return a warning if the network has random weights; None otherwise."""
    if params.pretrained or params.weights is not None:
        return None
    return "loss 'perceptual' uses a network with random weights; set pretrained = true, or set weights to a file"


def build_perceptual(params: PerceptualParams) -> nn.Module:
    """Build the perceptual loss and load its network's weights."""
    from toolbox.backbones import create, load

    from .feature_distance import Perceptual, check_layers

    backbone = create(params.backbone)
    check_layers(backbone, params.layers)
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
    """Build the multi-scale SSIM loss."""
    from .ms_ssim import ms_ssim_loss

    return ms_ssim_loss


def build_focal_frequency(params: FocalFrequencyParams) -> ReconstructionLoss:
    """Build the focal frequency loss."""
    from .focal_frequency import focal_frequency

    return focal_frequency(params.alpha, detach_weights=params.detach_weights)


def build_hole(params: HoleParams, inner: ReconstructionLoss) -> nn.Module:
    """Build the loss around the built `inner` loss."""
    from .hole import Hole

    return Hole(inner, border=params.border, width=params.width)


def build_chroma(params: ChromaParams) -> ReconstructionLoss:
    """Build the chroma loss."""
    from .chroma import chroma

    return chroma(params.space, params.distance)


def build_hue_histogram(params: HueHistogramParams) -> ReconstructionLoss:
    """Build the hue histogram loss."""
    from .hue_histogram import hue_histogram

    return hue_histogram(params.softness, params.spread)


def build_colorfulness(params: Params) -> Metric:
    """Return the metric."""
    from .colorfulness import colorfulness

    return colorfulness


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
            licence="Each set of pretrained weights has its own licence, stated by timm",
        ),
        LossSpec(name="l1", summary="Mean absolute error of the pixels", build=build_l1, reference="mean |x - y|"),
        LossSpec(
            name="charbonnier",
            summary="Mean absolute error of the pixels, smoothed near 0",
            params=CharbonnierParams,
            build=build_charbonnier,
            reference="Charbonnier et al., ICIP 1994; Lai et al., LapSRN, CVPR 2017",
        ),
        LossSpec(
            name="ms-ssim",
            summary="1 - multi-scale SSIM, over up to five scales",
            build=build_ms_ssim,
            reference="Wang et al., Multiscale structural similarity, Asilomar 2003",
        ),
        LossSpec(
            name="focal-frequency",
            summary="Squared error of the Fourier spectrum; frequencies with large errors count more",
            params=FocalFrequencyParams,
            build=build_focal_frequency,
            reference="Jiang et al., Focal Frequency Loss, ICCV 2021",
        ),
        LossSpec(
            name="hole",
            summary="Any reconstruction loss, inside the lost region and along its border",
            params=HoleParams,
            build=build_hole,
            reference="The hole term of Liu et al., Partial Convolutions, ECCV 2018, for any loss",
        ),
        LossSpec(
            name="chroma",
            summary="Distance of the colour coordinates: Cb and Cr, or a* and b*",
            params=ChromaParams,
            build=build_chroma,
            reference="ITU-R BT.601; CIE 15:2004",
        ),
        LossSpec(
            name="hue-histogram",
            summary="1 - correlation of soft hue histograms; a differentiable form of the competition's C",
            params=HueHistogramParams,
            build=build_hue_histogram,
            reference="The score of DACON 2024, competition 236420; OpenCV's HISTCMP_CORREL",
        ),
    ]


@hookimpl
def toolbox_metrics() -> list[MetricSpec]:
    """Return the metric."""
    return [
        MetricSpec(
            name="colorfulness",
            summary="Colourfulness of the restored photograph, 0 for gray; needs no truth",
            build=build_colorfulness,
            needs_truth=False,
            reference="Hasler and Suesstrunk, Measuring colourfulness in natural images, SPIE 2003",
        )
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="perceptual",
            summary="Default recipe with losses that match the terms of the competition's score",
            path=RECIPES / "perceptual.toml",
        )
    ]
