"""Call a generator: its outputs by name, the sizes that it takes, its pictures as uint8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolbox.errors import brief
from toolbox.hooks import blame
from toolbox.hooks.blame import WrongResultError
from toolbox.imaging.color import keep_known
from toolbox.models.component_calls import call_generator
from toolbox.models.component_watch import watch_of

MAX_MULTIPLE = 128


def run_generator(network: Callable[..., Any], keep: str, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Call a generator and return its outputs by name.

    Args:
        network: the generator.
        keep: what of the image is not changed; see `keep_known`.
        image: (B, 3, H, W) in [0, 1].
        mask: (B, 1, H, W), 1 where the image is lost.

    Returns:
        ``restored`` (B, 3, H, W), with the known pixels put back, and the auxiliary outputs; all of the image's dtype.

    Raises:
        WrongResultError: see `call_generator`. The generator's own errors are raised as they are.
    """
    restored, auxiliary = call_generator(network, image, mask)
    outputs = {name: value.to(image.dtype) for name, value in auxiliary.items()}
    outputs["restored"] = keep_known(keep, restored.to(image.dtype), image, mask)
    return outputs


@torch.no_grad()
def probe_multiple(network: Callable[..., Any], device: torch.device) -> int:
    """Return the smallest power of two of which a generator takes all multiples as height and width.

    It is measured: pictures of 128 pixels plus 1, 2, 4 and so on, until the result has the size of the picture.

    Raises:
        WrongResultError: no multiple up to 128 works; the message has the generator's name and its own error. Or what
            it does wrong does not depend on the size.
    """
    multiple, reason = 1, ""
    dtype = next((p.dtype for p in getattr(network, "parameters", list)()), torch.float32)
    while multiple <= MAX_MULTIPLE:
        side = MAX_MULTIPLE + multiple
        image = torch.full((1, 3, side, side), 0.5, device=device, dtype=dtype)
        try:
            run_generator(network, "none", image, torch.zeros_like(image[:, :1]))
            return multiple
        except torch.OutOfMemoryError:
            raise
        except WrongResultError as error:
            if error.fault == reason:
                raise
            reason = error.fault
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = brief(error)
        multiple *= 2
    fault = (
        f"takes no picture of {MAX_MULTIPLE + 1} to {2 * MAX_MULTIPLE} pixels, so it can't restore photographs "
        f"({reason}); make it take every size that is a multiple of some number up to {MAX_MULTIPLE}"
    )
    raise blame.wrong_result(watch_of(network).entry, network, fault)


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Return (B, 3, H, W) floats in [0, 1] as (B, H, W, 3) uint8, rounded."""
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
