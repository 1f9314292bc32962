"""The params of the nine decoders, and their names in smp."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from toolbox import Field, Params

Channels = Annotated[int, Field(ge=4, le=2048)]
Norm = Literal["batchnorm", "instancenorm", "identity"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

UPSAMPLING = "Upsampling of the decoder's feature maps."
NORM = "Normalization of the decoder; 'identity' is none. The encoder has its own."


class SmpParams(Params):
    """Params of every decoder: its encoder and its inputs."""

    arch: ClassVar[str]

    encoder: str = Field(
        "resnet34",
        min_length=1,
        description="The encoder: one of smp's ('resnet34', 'mit_b0'), or 'tu-' followed by a timm model.",
    )
    weights: str = Field(
        "none",
        min_length=1,
        description="Initial weights of the encoder: 'none' for random weights; 'imagenet' or another tag that smp "
        "publishes, downloaded from its hub; or the path of a .safetensors file.",
    )
    mask_input: bool = Field(
        False, description="Use the mask as a fourth input channel, whose weights start at 0 in a pretrained encoder."
    )

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return {}


class DepthParams(SmpParams):
    """Params of a decoder with a configurable encoder depth."""

    depth: int = Field(5, ge=3, le=5, description="Number of encoder stages; each halves the resolution.")

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return {"encoder_depth": self.depth}


class FullResolutionParams(SmpParams):
    """Params of a decoder that returns to the full resolution, stage by stage."""

    channels: tuple[Channels, ...] = Field(
        (256, 128, 64, 32, 16),
        min_length=3,
        max_length=5,
        description="Channels of the decoder stages, from the coarsest; the encoder has as many stages.",
    )
    norm: Norm = Field("batchnorm", description=NORM)
    upsampling: Interpolation = Field("nearest", description=UPSAMPLING)

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return {
            "encoder_depth": len(self.channels),
            "decoder_channels": self.channels,
            "decoder_use_norm": self.norm,
            "decoder_interpolation": self.upsampling,
        }


class UnetParams(FullResolutionParams):
    """Params of `smp-unet`."""

    arch = "unet"
    attention: Literal["none", "scse"] = Field(
        "none", description="'scse' adds channel and pixel attention to every stage (Roy et al., MICCAI 2018)."
    )

    @model_validator(mode="after")
    def _check_channels(self) -> UnetParams:
        # The squeeze layer of scSE has a sixteenth of the channels.
        if self.attention == "scse" and min(self.channels) < 16:
            raise ValueError(f"attention = 'scse' needs 16 channels or more in every stage, not {min(self.channels)}")
        return self

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        attention = None if self.attention == "none" else self.attention
        return super().options() | {"decoder_attention_type": attention}


class UnetPlusPlusParams(UnetParams):
    """Params of `smp-unetplusplus`."""

    arch = "unetplusplus"


class MAnetParams(FullResolutionParams):
    """Params of `smp-manet`."""

    arch = "manet"
    attention_channels: int = Field(64, ge=4, le=1024, description="Channels of the position attention.")

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return super().options() | {"decoder_pab_channels": self.attention_channels}


class LinknetParams(DepthParams):
    """Params of `smp-linknet`."""

    arch = "linknet"
    norm: Norm = Field("batchnorm", description=NORM)

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return super().options() | {"decoder_use_norm": self.norm}


class FpnParams(DepthParams):
    """Params of `smp-fpn`."""

    arch = "fpn"
    pyramid_channels: int = Field(256, ge=4, le=2048, description="Channels of the pyramid's lateral feature maps.")
    channels: int = Field(128, ge=4, le=2048, description="Channels of the feature maps that are merged.")
    merge: Literal["add", "cat"] = Field("add", description="How to merge the levels: add or concatenate.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout probability of the merged feature maps.")
    upsampling: Interpolation = Field("nearest", description=UPSAMPLING)

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return super().options() | {
            "decoder_pyramid_channels": self.pyramid_channels,
            "decoder_segmentation_channels": self.channels,
            "decoder_merge_policy": self.merge,
            "decoder_dropout": self.dropout,
            "decoder_interpolation": self.upsampling,
        }


class DeepLabParams(DepthParams):
    """Params of `smp-deeplabv3plus`."""

    arch = "deeplabv3plus"
    stride: Literal[8, 16] = Field(
        16, description="Total stride of the encoder. Its last stages are dilated, which some encoders don't support."
    )
    channels: int = Field(256, ge=4, le=2048, description="Channels of the decoder.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout probability of the pyramid's feature maps.")
    rates: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (12, 24, 36), min_length=3, max_length=3, description="Dilation rates of the pyramid's three convolutions."
    )

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return super().options() | {
            "encoder_output_stride": self.stride,
            "decoder_channels": self.channels,
            "decoder_aspp_dropout": self.dropout,
            "decoder_atrous_rates": self.rates,
        }


class UPerNetParams(DepthParams):
    """Params of `smp-upernet`."""

    arch = "upernet"
    channels: int = Field(256, ge=4, le=2048, description="Channels of the decoder.")
    norm: Norm = Field("batchnorm", description=NORM)

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return super().options() | {"decoder_channels": self.channels, "decoder_use_norm": self.norm}


class SegformerParams(DepthParams):
    """Params of `smp-segformer`."""

    arch = "segformer"
    channels: int = Field(256, ge=4, le=2048, description="Channels of the decoder.")

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return super().options() | {"decoder_segmentation_channels": self.channels}


class DptParams(SmpParams):
    """Params of `smp-dpt`."""

    arch = "dpt"
    encoder: str = Field(
        "tu-vit_small_patch16_224",
        min_length=1,
        description="The encoder: 'tu-' followed by a vision transformer of timm.",
    )
    readout: Literal["cat", "add", "ignore"] = Field(
        "cat", description="Use of the class token: concatenate, add, or ignore; use 'ignore' if the encoder has none."
    )
    stages: tuple[Channels, ...] = Field(
        (256, 512, 1024, 1024),
        min_length=1,
        max_length=5,
        description="Channels of the feature maps taken from the encoder, one for each stage.",
    )
    channels: int = Field(256, ge=4, le=2048, description="Channels of the fusion blocks.")

    def options(self) -> dict[str, Any]:
        """Return the decoder's arguments under smp's names."""
        return {
            "encoder_depth": len(self.stages),
            "decoder_readout": self.readout,
            "decoder_intermediate_channels": self.stages,
            "decoder_fusion_channels": self.channels,
        }
