"""Calling a generator: outputs by name, the sizes it takes, its pictures as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolbox.errors import PluginError
from toolbox.imaging.color import keep_known

LARGEST_MULTIPLE = 128


def run_generator(network: Callable[..., Any], mode: str, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Call a generator and return its outputs by name, with `restored` after `keep`.

    `image` is (B, 3, H, W) in [0, 1], `mask` (B, 1, H, W); the outputs are of `image`'s dtype.
    """
    outcome = network(image, mask)
    restored, auxiliary = outcome if isinstance(outcome, tuple) else (outcome, {})
    outputs = {name: value.to(image.dtype) for name, value in auxiliary.items()}
    outputs["restored"] = keep_known(mode, restored.to(image.dtype), image, mask)
    return outputs


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
            result = run_generator(network, "none", image, torch.zeros_like(image[:, :1]))["restored"]
            if result.shape == image.shape:
                return multiple
            reason = f"it gives {list(result.shape)} for {list(image.shape)}"
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = " ".join(str(error).split())
        multiple *= 2
    raise PluginError(f"The generator takes no picture of up to {2 * LARGEST_MULTIPLE} pixels: {reason}")


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Return (B, 3, H, W) floats in [0, 1] as (B, H, W, 3) uint8, rounded."""
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
