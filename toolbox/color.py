"""Luma and colour differences of ITU-R BT.601, for tensors and for arrays; plugins may import it.

The formulas apply to the stored (gamma-encoded) values in full range, as in JPEG (ITU-T T.871). Tensors have their
channels in dimension 1, arrays in the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

# Y = 0.299 R + 0.587 G + 0.114 B
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
# Pillow's integer weights, in 65536ths. They sum to 65536: one level more in every channel is one level more of luma.
INTEGER_LUMA_WEIGHTS = (19595, 38470, 7471)
# Cb = (B - Y) / 1.772 and Cr = (R - Y) / 1.402: both are in [-0.5, 0.5] for RGB in [0, 1].
CB_RANGE, CR_RANGE = 1.772, 1.402

_STRIP_ROWS = 64


def luma(picture: Tensor) -> Tensor:
    """Return the luma Y, (B, 1, H, W), of RGB (B, 3, H, W): 0.299 R + 0.587 G + 0.114 B."""
    return _weighted_sum(*picture.split(1, dim=1))


def cbcr(picture: Tensor) -> Tensor:
    """Return Cb and Cr, (B, 2, H, W) in [-0.5, 0.5], of RGB (B, 3, H, W) in [0, 1]."""
    import torch

    red, green, blue = picture.unbind(1)
    y = _weighted_sum(red, green, blue)
    return torch.stack([(blue - y) / CB_RANGE, (red - y) / CR_RANGE], dim=1)


def color_differences(cb: Any, cr: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401 - tensors, arrays or numbers
    """Return R - Y, G - Y and B - Y of Cb and Cr: what to add to the luma to get RGB."""
    red, blue = CR_RANGE * cr, CB_RANGE * cb
    return red, -(LUMA_WEIGHTS[0] * red + LUMA_WEIGHTS[2] * blue) / LUMA_WEIGHTS[1], blue


def add_differences(y: Tensor, differences: Tensor) -> Tensor:
    """Return RGB (B, 3, H, W) in [0, 1] of the luma `y` (B, 1, H, W) and of R - Y, G - Y, B - Y (B, 3, H, W).

    A colour outside [0, 1] is moved towards the gray of its luma until it is inside, so the luma does not change.
    """
    highest = differences.amax(1, keepdim=True).clamp_min(1e-6)
    lowest = (-differences.amin(1, keepdim=True)).clamp_min(1e-6)
    saturation = ((1 - y) / highest).minimum(y / lowest).clamp(0, 1)
    return y + saturation * differences


def with_luma(picture: Tensor, target: Tensor) -> Tensor:
    """Return `picture` (B, 3, H, W) with the luma `target` (B, 1, H, W), by `add_differences`."""
    return add_differences(target, picture - luma(picture))


def array_luma(rgb: np.ndarray) -> np.ndarray:
    """Return the luma (...) of float32 RGB (..., 3)."""
    return rgb @ np.array(LUMA_WEIGHTS, np.float32)


def array_cbcr(rgb: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Cb and Cr, (..., 2), of RGB (..., 3) and its luma `y` (...)."""
    return np.stack([(rgb[..., 2] - y) / CB_RANGE, (rgb[..., 0] - y) / CR_RANGE], axis=-1)


def is_gray(image: np.ndarray) -> bool:
    """Return whether an image, (H, W) or RGB (H, W, 3), has one channel or three equal ones."""
    return image.ndim == 2 or all(np.array_equal(image[..., 0], image[..., index]) for index in (1, 2))


def integer_luma(rgb: np.ndarray) -> np.ndarray:
    """Return the luma (H, W) of uint8 or uint16 RGB (H, W, 3), of the same type.

    It is (19595 R + 38470 G + 7471 B + 32768) >> 16. On uint8 that is Pillow's ``convert("L")`` to the last bit.
    """
    y = np.empty(rgb.shape[:2], rgb.dtype)
    # In strips, because both computations need several times the memory of the picture.
    for start in range(0, len(rgb), _STRIP_ROWS):
        rows = slice(start, start + _STRIP_ROWS)
        if rgb.dtype == np.uint8:
            y[rows] = Image.fromarray(rgb[rows]).convert("L")
        else:
            y[rows] = channels_luma([channel.astype(np.int64) for channel in cv2.split(rgb[rows])])
    return y


def channels_luma(channels: Sequence[np.ndarray]) -> np.ndarray:
    """Return the integer luma of three arrays: int32 for values of 8 bits, int64 for 16 bits."""
    y, green, blue = (weight * channel for weight, channel in zip(INTEGER_LUMA_WEIGHTS, channels, strict=True))
    y += green
    y += blue
    y += 32768
    y >>= 16
    return y


def _weighted_sum(red: Tensor, green: Tensor, blue: Tensor) -> Tensor:
    return LUMA_WEIGHTS[0] * red + LUMA_WEIGHTS[1] * green + LUMA_WEIGHTS[2] * blue
