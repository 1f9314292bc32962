"""Luma, and `keep`: what a restoration may not change.

Luma is that of ITU-R BT.601 on the stored (gamma-encoded) values, the one of Pillow's ``convert("L")``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = (0.299, 0.587, 0.114)

# Pillow's, in 65536ths: their sum is 65536, so that one level more in every channel is one level more of luma.
SHARES = (19595, 38470, 7471)

ROWS = 64


def luma(picture: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of RGB (B, 3, H, W): 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."""
    return picture.mul(picture.new_tensor(WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)


def keep_known(mode: str, restored: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Put what is known of the damaged image back into what was restored.

    Args:
        mode: "none" leaves `restored` as it is; "luma" gives it the image's luma outside the lost region;
            "rgb" gives it the image there.
        restored: (B, 3, H, W) in [0, 1].
        image: the damaged image of the same shape, three equal channels if it is gray.
        mask: (B, 1, H, W), 1 where the picture is lost.

    Returns:
        (B, 3, H, W) in [0, 1], differentiable in `restored`. With "luma", colours that would leave [0, 1] are
        brought in towards the gray of the same luma, so that the luma is still the image's.
    """
    if mode == "none":
        return restored
    known = image if mode == "rgb" else with_luma(restored, luma(image))
    return known + mask * (restored - known)


def with_luma(picture: Tensor, target: Tensor) -> Tensor:
    """Return `picture` (B, 3, H, W) shifted to the luma `target` (B, 1, H, W), saturation cut to stay in [0, 1]."""
    chroma = picture - luma(picture)
    top = chroma.amax(1, keepdim=True).clamp_min(1e-6)
    bottom = (-chroma.amin(1, keepdim=True)).clamp_min(1e-6)
    share = ((1 - target) / top).minimum(target / bottom).clamp(0, 1)
    return target + share * chroma


def integer_luma(rgb: np.ndarray) -> np.ndarray:
    """Return the luma (H, W) of integers (H, W, 3): (19595 R + 38470 G + 7471 B + 32768) >> 16.

    On uint8 that is Pillow's ``convert("L")`` to the last bit; on uint16 the same formula in wider integers. It goes by
    strips, since those take several times the memory of the picture.
    """
    gray = np.empty(rgb.shape[:2], rgb.dtype)
    for start in range(0, len(rgb), ROWS):
        rows = slice(start, start + ROWS)
        gray[rows] = _integer_luma([channel.astype(_wide(rgb.dtype)) for channel in cv2.split(rgb[rows])])
    return gray


def exact_luma(candidate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return integer RGB whose `integer_luma` is `target` on every pixel, as near to `candidate` as that allows.

    Args:
        candidate: (H, W, 3) integers or floats, in the units of `target`; values out of range are fine.
        target: (H, W) uint8 or uint16.

    Returns:
        (H, W, 3) of the type of `target`. The three channels are moved alike, so that the hue stays; colours that
        would leave the range are brought in towards the gray of the same luma, as in `with_luma`. A candidate that
        has the luma already comes back as it is.
    """
    top, wide = int(np.iinfo(target.dtype).max), _wide(target.dtype)
    whole = np.rint(candidate) if candidate.dtype.kind == "f" else candidate
    channels = [np.ascontiguousarray(whole[..., index], dtype=wide) for index in range(3)]
    shift = target - _integer_luma(channels)
    for channel in channels:
        channel += shift
    least, most = np.minimum(np.minimum(*channels[:2]), channels[2]), np.maximum(np.maximum(*channels[:2]), channels[2])
    outside = np.flatnonzero((least < 0) | (most > top))
    if len(outside):
        inside = _brought_in(candidate.reshape(-1, 3)[outside].T.astype(np.float64), target.ravel()[outside], top)
        for channel, values in zip(channels, inside, strict=True):
            channel.ravel()[outside] = values
    return cv2.merge([channel.astype(target.dtype) for channel in channels])


def _brought_in(rgb: np.ndarray, target: np.ndarray, top: int) -> np.ndarray:
    """Return colours (3, N) at the luma `target` (N,), their saturation cut to stay within 0 and `top`.

    Before rounding the luma is the target's, and rounding moves each channel by half a level at most: so their luma
    moves by half a level at most. Halves go down, as `integer_luma` takes the lower half with it and the upper not.
    """
    shares = np.array(SHARES)[:, None] / 65536
    away = rgb - (shares * rgb).sum(0)
    most, least = away.max(0).clip(1e-9), (-away.min(0)).clip(1e-9)
    share = np.minimum(np.minimum((top - target) / most, target / least), 1)
    # A hair more than a half, so that the last bit of a float does not turn a half upwards.
    return np.ceil(target + share * away - (0.5 + 1e-6)).clip(0, top)


def _integer_luma(channels: Sequence[np.ndarray]) -> np.ndarray:
    red, green, blue = (share * channel for share, channel in zip(SHARES, channels, strict=True))
    red += green
    red += blue
    red += 32768
    red >>= 16
    return red


def _wide(dtype: np.dtype) -> type[np.signedinteger]:
    return np.int32 if dtype.itemsize == 1 else np.int64
