"""Hooks of the default bundle for training steps. torch is imported only when one is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import model_validator

from toolbox import Field, GeneratorSpec, Params, StepSpec, TrainingStep, hookimpl

if TYPE_CHECKING:
    from torch import nn

Weight = Annotated[float, Field(gt=0, le=1000)]


class SegmentationParams(Params):
    """Params of the step `segmentation`."""

    exclusive: bool = Field(
        False,
        description="A pixel has one kind or none (softmax); the network then has one map more, the first: no damage.",
    )
    cross_entropy: float = Field(1.0, ge=0, le=1000, description="Weight of the cross-entropy.")
    focal: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Exponent of the focal loss: with a larger one, pixels that are already right count less; 0: none.",
    )
    dice: float = Field(
        1.0, ge=0, le=1000, description="Weight of the Dice loss, which does not depend on how rare a kind is."
    )
    dice_smoothing: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Pixels added to both parts of the Dice fraction; small areas count less with more.",
    )
    positive_weight: float = Field(
        1.0, gt=0, le=1000, description="Weight of labelled pixels in the cross-entropy; that of the others is 1."
    )
    kind_weights: dict[str, Weight] = Field(
        {}, description="Weight of a kind of damage, by its name; 1 for a kind that is not named."
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="Least probability of damage that F1 and IoU count as found.")

    @model_validator(mode="after")
    def _check_weights(self) -> SegmentationParams:
        if self.cross_entropy + self.dice <= 0:
            raise ValueError("cross_entropy and dice are both 0, so nothing would train; set one above 0")
        return self


class SegmentationUNetParams(Params):
    """Params of the network `segmentation-unet`."""

    kinds: int = Field(1, ge=1, le=256, description="Number of kinds of damage that the degradations label.")
    width: int = Field(
        32, ge=4, le=512, description="Channels of the first level; each further level has twice as many."
    )
    levels: int = Field(
        5, ge=2, le=8, description="Number of levels; each level after the first halves height and width."
    )


def build_adversarial(params: Params) -> TrainingStep:
    """Return the published step."""
    from toolbox.steps import adversarial_step

    return adversarial_step


def build_supervised(params: Params) -> TrainingStep:
    """Return the step without a discriminator."""
    from .supervised import supervised_step

    return supervised_step


def build_segmentation(params: SegmentationParams) -> TrainingStep:
    """Build the step of segmentation."""
    from .segmentation import Segmentation

    return Segmentation(params)


def build_segmentation_unet(params: SegmentationUNetParams) -> nn.Module:
    """Build the network of segmentation."""
    from .segmentation import SegmentationUNet

    return SegmentationUNet(params.kinds, params.width, params.levels)


SEGMENTATION_UNET = GeneratorSpec(
    name="segmentation-unet",
    summary="Published U-Net with a map for each kind of damage; for the step segmentation",
    params=SegmentationUNetParams,
    build=build_segmentation_unet,
    restores=False,
    reference="Ronneberger et al., U-Net, MICCAI 2015",
)


@hookimpl
def toolbox_steps() -> list[StepSpec]:
    """Return the published step, the one without a discriminator, and that of segmentation."""
    return [
        StepSpec(
            name="adversarial",
            summary="Published step: the generator first, then the discriminator on the same pictures",
            build=build_adversarial,
            reference="Goodfellow et al., Generative Adversarial Nets, NIPS 2014; as in DACON 2024, competition 236420",
        ),
        StepSpec(
            name="supervised",
            summary="The generator alone, with the reconstruction losses",
            build=build_supervised,
            uses_discriminator=False,
            reference="gradient descent on the weighted sum of the losses",
        ),
        StepSpec(
            name="segmentation",
            summary="A network that finds kinds of damage: cross-entropy and Dice on their labels",
            params=SegmentationParams,
            build=build_segmentation,
            uses_discriminator=False,
            restores=False,
            uses_labels=True,
            figures=("f1", "iou"),
            reference="Milletari et al., V-Net, 3DV 2016 (Dice); Lin et al., Focal Loss, ICCV 2017",
        ),
    ]
