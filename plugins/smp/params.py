"""The params of the nine decoders, and how smp calls each of them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from toolbox import Field, Params

Channels = Annotated[int, Field(ge=4, le=2048)]
Norm = Literal["batchnorm", "instancenorm", "identity"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

UPSAMPLING = "How the decoder enlarges its maps."
NORM = "Norm of the decoder; the encoder keeps its own. 'identity' is none."


class SmpParams(Params):
    """What every decoder takes: its encoder, and what goes in."""

    arch: ClassVar[str]

    encoder: str = Field(
        "resnet34",
        min_length=1,
        description="Encoder: a name of smp's own ('resnet34', 'mit_b0'), or 'tu-' and a model of timm.",
    )
    weights: str = Field(
        "none",
        min_length=1,
        description="What the encoder starts from: 'none' draws at random; 'imagenet', or another tag that smp "
        "publishes, is fetched from its hub; a path that ends in .safetensors is read.",
    )
    mask_input: bool = Field(
        False, description="Give the encoder the mask as a fourth channel, whose weights start at 0 if pretrained."
    )

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return {}


class DeepParams(SmpParams):
    """What a decoder takes that is told the encoder's depth."""

    depth: int = Field(5, ge=3, le=5, description="Stages of the encoder; each halves the side.")

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return {"encoder_depth": self.depth}


class WideParams(SmpParams):
    """What a decoder takes that goes back to the full side, stage by stage."""

    channels: tuple[Channels, ...] = Field(
        (256, 128, 64, 32, 16),
        min_length=3,
        max_length=5,
        description="Channels of the decoder's stages, the smallest maps first; as many as the encoder has stages.",
    )
    norm: Norm = Field("batchnorm", description=NORM)
    upsampling: Interpolation = Field("nearest", description=UPSAMPLING)

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return {
            "encoder_depth": len(self.channels),
            "decoder_channels": self.channels,
            "decoder_use_norm": self.norm,
            "decoder_interpolation": self.upsampling,
        }


class UnetParams(WideParams):
    """Params of `smp-unet`."""

    arch = "unet"
    attention: Literal["none", "scse"] = Field(
        "none", description="'scse' weighs channels and pixels in every stage (Roy et al., MICCAI 2018)."
    )

    @model_validator(mode="after")
    def _wide_enough(self) -> UnetParams:
        # Its squeezing layer has a sixteenth of the channels.
        if self.attention == "scse" and min(self.channels) < 16:
            raise ValueError(f"attention = 'scse' wants 16 channels or more in every stage, not {min(self.channels)}")
        return self

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        attention = None if self.attention == "none" else self.attention
        return super().options() | {"decoder_attention_type": attention}


class UnetPlusPlusParams(UnetParams):
    """Params of `smp-unetplusplus`."""

    arch = "unetplusplus"


class MAnetParams(WideParams):
    """Params of `smp-manet`."""

    arch = "manet"
    attention_channels: int = Field(64, ge=4, le=1024, description="Channels of the attention over positions.")

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return super().options() | {"decoder_pab_channels": self.attention_channels}


class LinknetParams(DeepParams):
    """Params of `smp-linknet`."""

    arch = "linknet"
    norm: Norm = Field("batchnorm", description=NORM)

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return super().options() | {"decoder_use_norm": self.norm}


class FpnParams(DeepParams):
    """Params of `smp-fpn`."""

    arch = "fpn"
    pyramid_channels: int = Field(256, ge=4, le=2048, description="Channels of the pyramid's lateral maps.")
    channels: int = Field(128, ge=4, le=2048, description="Channels of the maps that are merged.")
    merge: Literal["add", "cat"] = Field("add", description="How the levels are merged.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the merged maps that training drops.")
    upsampling: Interpolation = Field("nearest", description=UPSAMPLING)

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return super().options() | {
            "decoder_pyramid_channels": self.pyramid_channels,
            "decoder_segmentation_channels": self.channels,
            "decoder_merge_policy": self.merge,
            "decoder_dropout": self.dropout,
            "decoder_interpolation": self.upsampling,
        }


class DeepLabParams(DeepParams):
    """Params of `smp-deeplabv3plus`."""

    arch = "deeplabv3plus"
    stride: Literal[8, 16] = Field(
        16, description="Total stride of the encoder; its last stages are dilated, which not every encoder can."
    )
    channels: int = Field(256, ge=4, le=2048, description="Channels of the decoder.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the pyramid's maps that training drops.")
    rates: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (12, 24, 36), min_length=3, max_length=3, description="Dilations of the pyramid's three convolutions."
    )

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return super().options() | {
            "encoder_output_stride": self.stride,
            "decoder_channels": self.channels,
            "decoder_aspp_dropout": self.dropout,
            "decoder_atrous_rates": self.rates,
        }


class UPerNetParams(DeepParams):
    """Params of `smp-upernet`."""

    arch = "upernet"
    channels: int = Field(256, ge=4, le=2048, description="Channels of the decoder.")
    norm: Norm = Field("batchnorm", description=NORM)

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return super().options() | {"decoder_channels": self.channels, "decoder_use_norm": self.norm}


class SegformerParams(DeepParams):
    """Params of `smp-segformer`."""

    arch = "segformer"
    channels: int = Field(256, ge=4, le=2048, description="Channels of the decoder.")

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return super().options() | {"decoder_segmentation_channels": self.channels}


class DptParams(SmpParams):
    """Params of `smp-dpt`."""

    arch = "dpt"
    encoder: str = Field(
        "tu-vit_small_patch16_224", min_length=1, description="Encoder: 'tu-' and a vision transformer of timm."
    )
    readout: Literal["cat", "add", "ignore"] = Field(
        "cat", description="What becomes of the class token; 'ignore' for an encoder that has none."
    )
    stages: tuple[Channels, ...] = Field(
        (256, 512, 1024, 1024), min_length=1, max_length=5, description="Channels of the stages taken from the encoder."
    )
    channels: int = Field(256, ge=4, le=2048, description="Channels of the fusion.")

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments by smp's names."""
        return {
            "encoder_depth": len(self.stages),
            "decoder_readout": self.readout,
            "decoder_intermediate_channels": self.stages,
            "decoder_fusion_channels": self.channels,
        }
