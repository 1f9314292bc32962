"""A generator and a photograph to a restored photograph, at the photograph's own size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from toolbox.errors import PluginError
from toolbox.parts import restore

LARGEST_MULTIPLE = 128


@dataclass(frozen=True, kw_only=True)
class Restorer:
    """What restoring needs.

    Attributes:
        network: the generator, in eval mode.
        keep: what of the input comes out unchanged; see `toolbox.color.keep`.
        device: where the network is.
        multiple: what height and width must be multiples of, probed.
    """

    network: nn.Module
    keep: str
    device: torch.device
    multiple: int


def restorer(network: nn.Module, keep: str, device: torch.device) -> Restorer:
    """Put `network` in eval mode, find out which sizes it takes, and return a restorer."""
    network.eval()
    return Restorer(network=network, keep=keep, device=device, multiple=probe_multiple(network, device))


@torch.inference_mode()
def probe_multiple(network: Callable[..., Any], device: torch.device) -> int:
    """Return the least power of two whose multiples the generator takes and gives back at the same size.

    It is tried, not believed: a picture of 64 pixels and that multiple more, for 1, 2, 4 and so on.

    Raises:
        PluginError: no multiple up to 128 works; the message has the generator's own error.
    """
    multiple, reason = 1, ""
    dtype = next((p.dtype for p in getattr(network, "parameters", list)()), torch.float32)
    while multiple <= LARGEST_MULTIPLE:
        side = LARGEST_MULTIPLE + multiple
        image = torch.full((1, 3, side, side), 0.5, device=device, dtype=dtype)
        try:
            result = restore(network, "none", image, torch.zeros_like(image[:, :1]))["restored"]
            if result.shape == image.shape:
                return multiple
            reason = f"it gives {list(result.shape)} for {list(image.shape)}"
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = " ".join(str(error).split())
        multiple *= 2
    raise PluginError(f"The generator takes no picture of up to {2 * LARGEST_MULTIPLE} pixels: {reason}")


@torch.inference_mode()
def restore_array(restorer: Restorer, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Restore one photograph.

    Args:
        restorer: the network with what it needs.
        image: (H, W, 3) uint8 RGB, any size.
        mask: (H, W) bool, True where it is lost.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    dtype = next(restorer.network.parameters()).dtype
    picture = torch.from_numpy(np.ascontiguousarray(image)).to(restorer.device).permute(2, 0, 1)[None].to(dtype) / 255
    lost = torch.from_numpy(np.ascontiguousarray(mask)).to(restorer.device)[None, None].to(dtype)
    height, width = image.shape[:2]
    right, below = -width % restorer.multiple, -height % restorer.multiple
    padded = [pad(value, (0, right, 0, below), mode="replicate") for value in (picture, lost)]
    restored = restore(restorer.network, restorer.keep, *padded)["restored"][..., :height, :width]
    return to_uint8(restored)[0]


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Return (B, 3, H, W) floats in [0, 1] as (B, H, W, 3) uint8, rounded."""
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
