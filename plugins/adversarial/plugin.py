"""Hooks of the adversarial bundle. torch is imported only when a component is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toolbox import (
    AdversarialLoss,
    DiscriminatorSpec,
    Field,
    LossSpec,
    Params,
    Penalty,
    PenaltySpec,
    RecipeSpec,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"


class PatchGanParams(Params):
    """Params of `patchgan`."""

    width: int = Field(
        64, ge=4, le=512, description="Channels of the first convolution; deeper ones have up to eight times as many."
    )
    layers: int = Field(
        3, ge=1, le=6, description="Convolutions of stride 2; 1 to 5 give patches of 16, 34, 70, 142, 286 pixels."
    )
    norm: Literal["none", "batch", "instance", "spectral"] = Field(
        "batch",
        description="Normalization of the convolutions. With 'batch', a picture's output and gradient depend on the "
        "other pictures of the batch; use another norm with gradient penalties.",
    )
    conditional: bool = Field(False, description="Use the damaged image and the mask as further input channels.")


class MultiscaleParams(PatchGanParams):
    """Params of `multiscale`."""

    scales: int = Field(2, ge=1, le=5, description="Number of PatchGANs, each at half the size of the one before.")


class UNetParams(Params):
    """Params of `unet-discriminator`."""

    width: int = Field(
        64, ge=4, le=512, description="Channels of the first level; deeper ones have up to eight times as many."
    )
    levels: int = Field(3, ge=1, le=6, description="Number of times that height and width are halved.")
    conditional: bool = Field(False, description="Use the damaged image and the mask as further input channels.")


class RelativisticParams(Params):
    """Params of the loss `relativistic`."""

    form: Literal["average", "paired"] = Field(
        "average",
        description="'average' compares real pictures with the mean output of restored ones, and vice versa (RaGAN); "
        "'paired' compares each real picture with its own restoration (RpGAN, as in R3GAN).",
    )


class DraganParams(Params):
    """Params of the penalty `dragan`."""

    spread: float = Field(
        0.5, gt=0, le=10, description="Largest noise, in standard deviations of the batch of real pictures."
    )
    target: float = Field(1.0, ge=0, le=1000, description="Target value of the norm of the discriminator's gradient.")


class LeCamParams(Params):
    """Params of the penalty `lecam`."""

    decay: float = Field(0.99, ge=0, lt=1, description="Weight of the old running mean at each update.")


def build_patchgan(params: PatchGanParams) -> nn.Module:
    """Build a PatchGAN."""
    from .patchgan import PatchGan

    return PatchGan(**params.model_dump())


def build_multiscale(params: MultiscaleParams) -> nn.Module:
    """Build PatchGANs at several scales."""
    from .patchgan import Multiscale

    return Multiscale(**params.model_dump())


def build_unet(params: UNetParams) -> nn.Module:
    """Build the U-Net discriminator."""
    from .unet import UNetDiscriminator

    return UNetDiscriminator(**params.model_dump())


def build_hinge(params: Params) -> AdversarialLoss:
    """Build the hinge loss."""
    from .losses import Hinge

    return Hinge()


def build_non_saturating(params: Params) -> AdversarialLoss:
    """Build the non-saturating loss."""
    from .losses import NonSaturating

    return NonSaturating()


def build_wasserstein(params: Params) -> AdversarialLoss:
    """Build the Wasserstein loss."""
    from .losses import Wasserstein

    return Wasserstein()


def build_relativistic(params: RelativisticParams) -> AdversarialLoss:
    """Build a relativistic loss."""
    from .losses import RELATIVISTIC

    return RELATIVISTIC[params.form]()


def build_r1(params: Params) -> Penalty:
    """Build the penalty at real pictures."""
    from .penalties import r1

    return r1


def build_r2(params: Params) -> Penalty:
    """Build the penalty at restored pictures."""
    from .penalties import r2

    return r2


def build_dragan(params: DraganParams) -> Penalty:
    """Build the penalty near real pictures."""
    from .penalties import dragan

    return dragan(spread=params.spread, target=params.target)


def build_lecam(params: LeCamParams) -> Penalty:
    """Build the LeCam penalty."""
    from .lecam import LeCam

    return LeCam(params.decay)


@hookimpl
def toolbox_discriminators() -> list[DiscriminatorSpec]:
    """Return the three discriminators."""
    return [
        DiscriminatorSpec(
            name="patchgan",
            summary="PatchGAN of configurable depth and normalization; optionally conditional",
            params=PatchGanParams,
            build=build_patchgan,
            reference="Isola et al., Image-to-Image Translation, CVPR 2017; Miyato et al., ICLR 2018 (spectral)",
        ),
        DiscriminatorSpec(
            name="multiscale",
            summary="Several PatchGANs: on the picture at full, half, quarter, … size",
            params=MultiscaleParams,
            build=build_multiscale,
            reference="Wang et al., pix2pixHD, CVPR 2018",
        ),
        DiscriminatorSpec(
            name="unet-discriminator",
            summary="U-Net with spectral normalization that judges every pixel, as in Real-ESRGAN",
            params=UNetParams,
            build=build_unet,
            reference="Wang et al., Real-ESRGAN, ICCV workshops 2021; Schönfeld et al., CVPR 2020",
        ),
    ]


@hookimpl
def toolbox_losses() -> list[LossSpec]:
    """Return the four adversarial losses."""
    return [
        LossSpec(
            name="hinge",
            summary="Hinge GAN: a margin of 1 between real and restored pictures",
            role="adversarial",
            build=build_hinge,
            reference="Lim and Ye, Geometric GAN, 2017; Miyato et al., ICLR 2018",
        ),
        LossSpec(
            name="non-saturating",
            summary="Original GAN with the non-saturating generator loss",
            role="adversarial",
            build=build_non_saturating,
            reference="Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014",
        ),
        LossSpec(
            name="wasserstein",
            summary="Wasserstein GAN: difference of the mean outputs; needs a gradient penalty",
            role="adversarial",
            build=build_wasserstein,
            reference="Arjovsky et al., Wasserstein GAN, ICML 2017",
        ),
        LossSpec(
            name="relativistic",
            summary="Relativistic GAN: real against restored pictures, on average or in pairs",
            role="adversarial",
            sees_real=True,
            params=RelativisticParams,
            build=build_relativistic,
            reference="Jolicoeur-Martineau, The relativistic discriminator, ICLR 2019; Huang et al., NeurIPS 2024",
        ),
    ]


@hookimpl
def toolbox_penalties() -> list[PenaltySpec]:
    """Return the four penalties."""
    mescheder = "Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018"
    return [
        PenaltySpec(
            name="r1",
            summary="Half the squared gradient norm at real pictures (R1)",
            build=build_r1,
            reference=mescheder,
        ),
        PenaltySpec(
            name="r2",
            summary="Half the squared gradient norm at restored pictures (R2)",
            build=build_r2,
            reference=mescheder,
        ),
        PenaltySpec(
            name="dragan",
            summary="Deviation of the gradient norm from 1, near real pictures (DRAGAN)",
            params=DraganParams,
            build=build_dragan,
            reference="Kodali et al., On Convergence and Stability of GANs, 2017",
        ),
        PenaltySpec(
            name="lecam",
            summary="Deviation of the outputs from their running means (LeCam); for small data sets",
            params=LeCamParams,
            build=build_lecam,
            reference="Tseng et al., Regularizing GANs under Limited Data, CVPR 2021",
        ),
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="hinge-r1",
            summary="Default recipe with a 70-pixel PatchGAN, hinge loss and R1 every 16 steps",
            path=RECIPES / "hinge-r1.toml",
        )
    ]
