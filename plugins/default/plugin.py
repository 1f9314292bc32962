"""Hooks of the default bundle. torch and NumPy are imported only when a component is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from toolbox import (
    DiscriminatorSpec,
    Field,
    GeneratorSpec,
    LossSpec,
    Metric,
    MetricSpec,
    Params,
    Penalty,
    PenaltySpec,
    RecipeSpec,
    ReconstructionLoss,
    hookimpl,
)

from .damage import toolbox_degradations as toolbox_degradations
from .damage import toolbox_detectors as toolbox_detectors
from .optimization import toolbox_optimizers as toolbox_optimizers
from .optimization import toolbox_schedules as toolbox_schedules
from .steps import SEGMENTATION_UNET
from .steps import toolbox_steps as toolbox_steps

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from toolbox import AdversarialLoss

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"


class UNetParams(Params):
    """Params of `inpainting-unet`."""

    width: int = Field(
        64, ge=4, le=512, description="Channels of the first level; each further level has twice as many."
    )
    levels: int = Field(
        5, ge=2, le=8, description="Number of levels; each level after the first halves height and width."
    )


class PatchParams(Params):
    """Params of `lsgan-patch`."""

    width: int = Field(
        64, ge=4, le=512, description="Channels of the first convolution; deeper ones have up to eight times as many."
    )


class SsimParams(Params):
    """Params of the loss `ssim`."""

    window: Literal["per-channel", "volume"] = Field(
        "per-channel",
        description="'per-channel' compares each colour channel separately; 'volume' uses a cube over height, width "
        "and channels, a mistake of the published script.",
    )
    side: int = Field(3, ge=3, le=65, description="Side of the window in pixels; an odd number.")
    kernel: Literal["uniform", "gaussian"] = Field("uniform", description="Weights of the pixels in the window.")
    sigma: float = Field(
        1.5, gt=0, le=100, description="Standard deviation of the Gaussian in pixels; use 1.5 with a side of 11."
    )
    data_range: float = Field(
        1.0, gt=0, le=65535, description="Difference between the largest and the smallest possible value."
    )
    detach: bool = Field(False, description="Report the loss but do not train on it, as the published script did.")

    @model_validator(mode="after")
    def _check_window(self) -> SsimParams:
        if self.side % 2 == 0:
            raise ValueError(f"side = {self.side} is even; use {self.side - 1} or {self.side + 1}")
        if self.window == "volume" and self.side != 3:
            raise ValueError(f"a volume of side {self.side} does not fit three channels; use side = 3")
        return self


class GradientParams(Params):
    """Params of the penalty `gradient`."""

    target: float = Field(1.0, ge=0, le=1000, description="Target value of the norm of the discriminator's gradient.")


def build_unet(params: UNetParams) -> nn.Module:
    """Build the published generator."""
    from .unet import InpaintingUNet

    return InpaintingUNet(params.width, params.levels)


def build_patch(params: PatchParams) -> nn.Module:
    """Build the published discriminator."""
    from .patchgan import LsganPatch

    return LsganPatch(params.width)


def build_lsgan(params: Params) -> AdversarialLoss:
    """Build the least-squares adversarial loss."""
    from .losses import Lsgan

    return Lsgan()


def build_mse(params: Params) -> ReconstructionLoss:
    """Build the mean squared error."""
    from .losses import mse

    return mse


def build_ssim(params: SsimParams) -> ReconstructionLoss:
    """Build the SSIM loss."""
    from .losses import ssim_loss

    return ssim_loss(**params.model_dump())


def warn_ssim(params: SsimParams) -> str | None:
    """Return a warning if the loss is only reported; None otherwise."""
    if params.detach:
        return "loss 'ssim' has detach = true, so it is reported but trains nothing; set detach = false to train on it"
    return None


def build_gradient(params: GradientParams) -> Penalty:
    """Build the gradient penalty."""
    from .gradient_penalty import gradient_penalty

    return gradient_penalty(params.target)


def build_psnr(params: Params) -> Metric:
    """Build the peak signal-to-noise ratio in dB. For equal photographs the metric returns None."""
    import numpy as np

    def psnr(restored: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float | None:
        error = float(np.square(restored.astype(np.int32) - truth.astype(np.int32)).mean())
        return float(10 * np.log10(255**2 / error)) if error else None

    return psnr


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return the published generator, and the network of segmentation."""
    return [
        GeneratorSpec(
            name="inpainting-unet",
            summary="Published U-Net without normalization; predicts every pixel",
            params=UNetParams,
            build=build_unet,
            reference="Ronneberger et al., U-Net, MICCAI 2015; as in DACON 2024, competition 236420",
        ),
        SEGMENTATION_UNET,
    ]


@hookimpl
def toolbox_discriminators() -> list[DiscriminatorSpec]:
    """Return the published discriminator."""
    return [
        DiscriminatorSpec(
            name="lsgan-patch",
            summary="Published PatchGAN: five 4x4 convolutions with BatchNorm; unconditional",
            params=PatchParams,
            build=build_patch,
            reference="Isola et al., Image-to-Image Translation, CVPR 2017",
        )
    ]


@hookimpl
def toolbox_losses() -> list[LossSpec]:
    """Return the three published losses."""
    return [
        LossSpec(
            name="lsgan",
            summary="Least-squares GAN: target 1 for real pictures, 0 for restored ones",
            role="adversarial",
            build=build_lsgan,
            reference="Mao et al., Least Squares GAN, ICCV 2017",
        ),
        LossSpec(name="mse", summary="Mean squared error of the pixels", build=build_mse),
        LossSpec(
            name="ssim",
            summary="1 - SSIM; the value equals scikit-image's",
            params=SsimParams,
            build=build_ssim,
            warn=warn_ssim,
            reference="Wang et al., Image Quality Assessment, IEEE TIP 2004",
        ),
    ]


@hookimpl
def toolbox_penalties() -> list[PenaltySpec]:
    """Return the published penalty."""
    return [
        PenaltySpec(
            name="gradient",
            summary="Deviation of the gradient norm from 1, between real and restored pictures (WGAN-GP)",
            params=GradientParams,
            build=build_gradient,
            reference="Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017",
        )
    ]


@hookimpl
def toolbox_metrics() -> list[MetricSpec]:
    """Return the peak signal-to-noise ratio."""
    return [
        MetricSpec(
            name="psnr",
            summary="Peak signal-to-noise ratio of all pixels, in dB",
            build=build_psnr,
            reference="10 log10(255^2 / MSE)",
        )
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the two recipes."""
    return [
        RecipeSpec(
            name="default",
            summary="Published GAN as its write-up describes it, with an SSIM term that trains",
            path=RECIPES / "default.toml",
        ),
        RecipeSpec(
            name="published",
            summary="Published script as it ran: SSIM over a volume, reported but not trained",
            path=RECIPES / "published.toml",
        ),
    ]
