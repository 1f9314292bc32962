"""What the adversarial bundle brings; nothing heavy is imported before a component is built."""

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

    width: int = Field(64, ge=4, le=512, description="Channels of the first convolution; the last has up to 8 times.")
    layers: int = Field(
        3, ge=1, le=6, description="Convolutions of stride 2; patches of 16, 34, 70, 142, 286 pixels for 1 to 5."
    )
    norm: Literal["none", "batch", "instance", "spectral"] = Field(
        "batch",
        description="What follows the convolutions; with 'batch' a picture's verdict and gradient depend on the "
        "others in its batch, so that the gradient penalties go better with another.",
    )
    conditional: bool = Field(False, description="Whether it sees the damaged image and the mask beside the picture.")


class MultiscaleParams(PatchGanParams):
    """Params of `multiscale`."""

    scales: int = Field(2, ge=1, le=5, description="PatchGANs, each on half the size of the one before.")


class UNetParams(Params):
    """Params of `unet-discriminator`."""

    width: int = Field(64, ge=4, le=512, description="Channels of the first level; they double up to 8 times.")
    levels: int = Field(3, ge=1, le=6, description="How often the size is halved.")
    conditional: bool = Field(False, description="Whether it sees the damaged image and the mask beside the picture.")


class RelativisticParams(Params):
    """Params of the loss `relativistic`."""

    form: Literal["average", "paired"] = Field(
        "average",
        description="'average' compares with the mean verdict of the other side (RaGAN), 'paired' each picture "
        "with its own restoration (RpGAN, as in R3GAN).",
    )


class DraganParams(Params):
    """Params of the penalty `dragan`."""

    spread: float = Field(0.5, gt=0, le=10, description="Greatest noise, in standard deviations of the real batch.")
    target: float = Field(1.0, ge=0, le=1000, description="The norm that the discriminator's gradient is drawn to.")


class LeCamParams(Params):
    """Params of the penalty `lecam`."""

    decay: float = Field(0.99, ge=0, lt=1, description="What is kept of the running means at each use.")


def build_patchgan(params: PatchGanParams) -> nn.Module:
    """Build a PatchGAN."""
    from .patchgan import PatchGan

    return PatchGan(**params.model_dump())


def build_multiscale(params: MultiscaleParams) -> nn.Module:
    """Build PatchGANs on ever smaller pictures."""
    from .patchgan import Multiscale

    return Multiscale(**params.model_dump())


def build_unet(params: UNetParams) -> nn.Module:
    """Build the discriminator of every pixel."""
    from .unet import UNetDiscriminator

    return UNetDiscriminator(**params.model_dump())


def build_hinge(params: Params) -> AdversarialLoss:
    """Build the hinge game."""
    from .games import Hinge

    return Hinge()


def build_non_saturating(params: Params) -> AdversarialLoss:
    """Build the original game."""
    from .games import NonSaturating

    return NonSaturating()


def build_wasserstein(params: Params) -> AdversarialLoss:
    """Build the Wasserstein game."""
    from .games import Wasserstein

    return Wasserstein()


def build_relativistic(params: RelativisticParams) -> AdversarialLoss:
    """Build a game of comparisons."""
    from .games import RELATIVISTIC

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
    """Build the penalty that remembers."""
    from .lecam import LeCam

    return LeCam(params.decay)


@hookimpl
def toolbox_discriminators() -> list[DiscriminatorSpec]:
    """Return three discriminators."""
    return [
        DiscriminatorSpec(
            name="patchgan",
            summary="PatchGAN of any depth: no norm, batch, instance or spectral; conditional if asked",
            params=PatchGanParams,
            build=build_patchgan,
            reference="Isola et al., Image-to-Image Translation, CVPR 2017; Miyato et al., ICLR 2018 (spectral)",
        ),
        DiscriminatorSpec(
            name="multiscale",
            summary="PatchGANs on the picture, its half, its quarter, …: one map a scale",
            params=MultiscaleParams,
            build=build_multiscale,
            reference="Wang et al., pix2pixHD, CVPR 2018",
        ),
        DiscriminatorSpec(
            name="unet-discriminator",
            summary="U-Net with spectral norms that judges every pixel, as in Real-ESRGAN",
            params=UNetParams,
            build=build_unet,
            reference="Wang et al., Real-ESRGAN, ICCV workshops 2021; Schönfeld et al., CVPR 2020",
        ),
    ]


@hookimpl
def toolbox_losses() -> list[LossSpec]:
    """Return four adversarial losses."""
    return [
        LossSpec(
            name="hinge",
            summary="Hinge game: verdicts beyond a margin of 1 count for nothing",
            role="adversarial",
            build=build_hinge,
            reference="Lim and Ye, Geometric GAN, 2017; Miyato et al., ICLR 2018",
        ),
        LossSpec(
            name="non-saturating",
            summary="The original game, by softplus, with the generator's side that does not saturate",
            role="adversarial",
            build=build_non_saturating,
            reference="Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014",
        ),
        LossSpec(
            name="wasserstein",
            summary="Difference of the mean verdicts; needs a penalty on the gradient beside it",
            role="adversarial",
            build=build_wasserstein,
            reference="Arjovsky et al., Wasserstein GAN, ICML 2017",
        ),
        LossSpec(
            name="relativistic",
            summary="Is real more real than restored: on average, or picture by picture",
            role="adversarial",
            sees_real=True,
            params=RelativisticParams,
            build=build_relativistic,
            reference="Jolicoeur-Martineau, The relativistic discriminator, ICLR 2019; Huang et al., NeurIPS 2024",
        ),
    ]


@hookimpl
def toolbox_penalties() -> list[PenaltySpec]:
    """Return four penalties on the discriminator."""
    converge = "Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018"
    return [
        PenaltySpec(
            name="r1", summary="Half the squared gradient at real pictures", build=build_r1, reference=converge
        ),
        PenaltySpec(
            name="r2", summary="Half the squared gradient at restored pictures", build=build_r2, reference=converge
        ),
        PenaltySpec(
            name="dragan",
            summary="Gradient norm to 1 near real pictures",
            params=DraganParams,
            build=build_dragan,
            reference="Kodali et al., On Convergence and Stability of GANs, 2017",
        ),
        PenaltySpec(
            name="lecam",
            summary="Verdicts near the running mean of the other side's, for few photographs",
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
            summary="The default restorer against a 70-pixel PatchGAN, hinge loss, R1 at every 16th step",
            path=RECIPES / "hinge-r1.toml",
        )
    ]
