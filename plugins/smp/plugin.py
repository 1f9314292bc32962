"""What the smp bundle brings; nothing heavy is imported before a component is checked or built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolbox import GeneratorSpec, RecipeSpec, hookimpl

from .params import (
    DeepLabParams,
    DptParams,
    FpnParams,
    LinknetParams,
    MAnetParams,
    SegformerParams,
    SmpParams,
    UnetParams,
    UnetPlusPlusParams,
    UPerNetParams,
)

if TYPE_CHECKING:
    from torch import nn

TOOLBOX_API = 1

RECIPES = Path(__file__).parent / "recipes"
LIBRARY = "Iakubovskii, segmentation-models-pytorch, 2019"

# Each decoder's params, what it is, and its paper.
DECODERS: tuple[tuple[type[SmpParams], str, str], ...] = (
    (UnetParams, "U-Net", "Ronneberger et al., U-Net, MICCAI 2015"),
    (UnetPlusPlusParams, "U-Net++: nested, dense skips", "Zhou et al., UNet++, DLMIA 2018"),
    (MAnetParams, "MA-Net: a U-Net with attention over positions and scales", "Fan et al., MA-Net, IEEE Access 2020"),
    (LinknetParams, "LinkNet: skips by addition, light and fast", "Chaurasia and Culurciello, LinkNet, VCIP 2017"),
    (FpnParams, "Feature pyramid, at a quarter of the side", "Lin et al., Feature Pyramid Networks, CVPR 2017"),
    (DeepLabParams, "DeepLabV3+, at a quarter of the side", "Chen et al., DeepLabV3+, ECCV 2018"),
    (UPerNetParams, "UPerNet, at a quarter of the side", "Xiao et al., Unified Perceptual Parsing, ECCV 2018"),
    (SegformerParams, "SegFormer's head, at a quarter of the side", "Xie et al., SegFormer, NeurIPS 2021"),
    (DptParams, "DPT over a vision transformer, at half of the side", "Ranftl et al., Dense Prediction, ICCV 2021"),
)


def check(params: SmpParams) -> None:
    """Refuse a decoder and an encoder that smp can't join; ValueError with its reason."""
    from .network import check

    check(params)


def build(params: SmpParams) -> nn.Module:
    """Build decoder and encoder."""
    from .network import build

    return build(params)


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return a generator a decoder."""
    return [
        GeneratorSpec(
            name=f"smp-{params.arch}",
            summary=f"{what}; over any encoder that smp can join to it",
            params=params,
            build=build,
            check=check,
            initial=("weights",),
            reference=f"{paper}; {LIBRARY}",
        )
        for params, what, paper in DECODERS
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="smp-unetplusplus",
            summary="U-Net++ over a ResNet-34 in place of the published U-Net",
            path=RECIPES / "smp-unetplusplus.toml",
        )
    ]
