"""The colour network for training: built, regularised, and called in the precision of its device."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from toolbox_plugins.luma.plugin import LumaUNetParams, build_luma_unet
from torch import Tensor, nn
from torch.nn.functional import dropout2d


def build(
    backbone: str, width: int, encoder: Path | None, *, frozen: int = 0, drop_path: float = 0.0, dropout: float = 0.0
) -> nn.Module:
    """Build a network that predicts colour classes.

    Args:
        backbone: an EfficientNet of timm.
        width: of the decoder.
        encoder: initial weights of the encoder, a safetensors file; None for random weights.
        frozen: number of the encoder's stages, from the stem, that are not trained.
        drop_path: share of the photographs for which the last block's residual is 0; earlier blocks have less, in
            proportion (Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016). EfficientNet-Lite only.
        dropout: share of the channels of the bottleneck that are 0.
    """
    params = LumaUNetParams(backbone=backbone, width=width, fills=False, weights=encoder and str(encoder))
    network = build_luma_unet(params)
    blocks = [module for module in network.encoder.modules() if hasattr(module, "has_shortcut")]
    for number, block in enumerate(blocks):
        if block.has_shortcut and drop_path:
            block.bn3.register_forward_hook(partial(_drop_path, drop_path * number / (len(blocks) - 1)))
    if dropout:
        network.bottom.register_forward_hook(partial(_dropout, dropout))
    for stage in stages(network.encoder, frozen):
        stage.requires_grad_(False)
    return network


def _drop_path(share: float, module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    if not module.training:
        return output
    kept = torch.rand(len(output), 1, 1, 1, device=output.device) >= share
    return output * (kept.to(output.dtype) / (1 - share))


def _dropout(share: float, module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return dropout2d(output, share, module.training)


def stages(encoder: nn.Module, count: int) -> list[nn.Module]:
    """Return the stem, its norm and the first `count` - 1 stages of an EfficientNet of timm; nothing for 0."""
    return [encoder.conv_stem, encoder.bn1, *encoder.blocks[: count - 1]] if count else []


def train_mode(network: nn.Module, frozen: int) -> None:
    """Set training mode; frozen stages keep their running statistics."""
    network.train()
    for stage in stages(network.encoder, frozen):
        stage.eval()


def logits(network: nn.Module, gray: Tensor) -> Tensor:
    """Return the logits of the classes, float32, for gray pictures (B, 1, S, S), 0 to 255; bf16 inside on a GPU."""
    luma = (gray / 255).contiguous(memory_format=torch.channels_last)
    with torch.autocast(gray.device.type, torch.bfloat16, enabled=gray.device.type == "cuda"):
        classes: Tensor = network.decode(luma, torch.zeros_like(luma))[0]
    return classes.float()
