"""Hooks of the smp bundle. torch and smp are imported only when a component is checked or built."""

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

ENCODER = "any compatible encoder"
QUARTER = f"over {ENCODER}; works at a quarter of the resolution"

# The params of each decoder, its summary, and its paper.
DECODERS: tuple[tuple[type[SmpParams], str, str], ...] = (
    (UnetParams, f"U-Net over {ENCODER}", "Ronneberger et al., U-Net, MICCAI 2015"),
    (UnetPlusPlusParams, f"U-Net++ over {ENCODER}; nested, dense skips", "Zhou et al., UNet++, DLMIA 2018"),
    (MAnetParams, f"MA-Net over {ENCODER}; U-Net with attention", "Fan et al., MA-Net, IEEE Access 2020"),
    (LinknetParams, f"LinkNet over {ENCODER}; small and fast", "Chaurasia and Culurciello, LinkNet, VCIP 2017"),
    (FpnParams, f"Feature pyramid network {QUARTER}", "Lin et al., Feature Pyramid Networks, CVPR 2017"),
    (DeepLabParams, f"DeepLabV3+ {QUARTER}", "Chen et al., DeepLabV3+, ECCV 2018"),
    (UPerNetParams, f"UPerNet {QUARTER}", "Xiao et al., Unified Perceptual Parsing, ECCV 2018"),
    (SegformerParams, f"SegFormer decoder {QUARTER}", "Xie et al., SegFormer, NeurIPS 2021"),
    (
        DptParams,
        "DPT over a vision transformer; works at half of the resolution",
        "Ranftl et al., Dense Prediction, ICCV 2021",
    ),
)


def check(params: SmpParams) -> None:
    """Raise ValueError with smp's reason if decoder and encoder are not compatible, or the weights don't exist."""
    from .network import check

    check(params)


def build(params: SmpParams) -> nn.Module:
    """Build the generator."""
    from .network import build

    return build(params)


@hookimpl
def toolbox_generators() -> list[GeneratorSpec]:
    """Return one generator for each decoder."""
    return [
        GeneratorSpec(
            name=f"smp-{params.arch}",
            summary=summary,
            params=params,
            build=build,
            check=check,
            initial=("weights",),
            reference=f"{paper}; {LIBRARY}",
        )
        for params, summary, paper in DECODERS
    ]


@hookimpl
def toolbox_recipes() -> list[RecipeSpec]:
    """Return the recipe."""
    return [
        RecipeSpec(
            name="smp-unetplusplus",
            summary="Default recipe with a U-Net++ over ResNet-34",
            path=RECIPES / "smp-unetplusplus.toml",
        )
    ]
