"""Keep what is known of a photograph: its pixels, or its luma to the last level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from toolbox.color import INTEGER_LUMA_WEIGHTS, channels_luma, luma, with_luma

if TYPE_CHECKING:
    from torch import Tensor


def keep_known(mode: str, restored: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Return `restored` with the known pixels of the damaged image put back.

    Args:
        mode: "none" returns `restored` as it is; "luma" gives it the luma of the image outside the lost region;
            "rgb" gives it the pixels of the image there.
        restored: (B, 3, H, W) in [0, 1].
        image: the damaged image, (B, 3, H, W) in [0, 1]; three equal channels if it is gray.
        mask: (B, 1, H, W), 1 where the image is lost.

    Returns:
        (B, 3, H, W) in [0, 1], differentiable in `restored`. With "luma", a colour that would leave [0, 1] is
        moved towards the gray of its luma, so the luma is still that of the image.
    """
    if mode == "none":
        return restored
    known = image if mode == "rgb" else with_luma(restored, luma(image))
    return known + mask * (restored - known)


def exact_luma(candidate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the integer RGB nearest to `candidate` whose `toolbox.color.integer_luma` is `target` on every pixel.

    Args:
        candidate: (H, W, 3) integers or floats, in the units of `target`; values out of range are allowed.
        target: (H, W) uint8 or uint16.

    Returns:
        (H, W, 3) of the type of `target`. All three channels are shifted by the same amount, so the hue stays. A
        colour that would leave the range is moved towards the gray of its luma. A candidate that has the luma
        already is returned unchanged.
    """
    highest = int(np.iinfo(target.dtype).max)
    wide = np.int32 if target.dtype.itemsize == 1 else np.int64
    rounded = np.rint(candidate) if candidate.dtype.kind == "f" else candidate
    channels = [np.ascontiguousarray(rounded[..., index], dtype=wide) for index in range(3)]
    shift = target - channels_luma(channels)
    for channel in channels:
        np.add(channel, shift, out=channel)
    least, most = np.minimum(np.minimum(*channels[:2]), channels[2]), np.maximum(np.maximum(*channels[:2]), channels[2])
    outside = np.flatnonzero((least < 0) | (most > highest))
    if len(outside):
        colors = candidate.reshape(-1, 3)[outside].T.astype(np.float64)
        inside = _desaturate(colors, target.ravel()[outside], highest)
        for channel, values in zip(channels, inside, strict=True):
            channel.ravel()[outside] = values
    return cv2.merge([channel.astype(target.dtype) for channel in channels])


def _desaturate(rgb: np.ndarray, target: np.ndarray, highest: int) -> np.ndarray:
    """Return colours (3, N) at the luma `target` (N,), less saturated so that they stay within 0 and `highest`.

    Before rounding, the luma is the target. Rounding moves each channel, and so the luma, by half a level at most.
    Halves are rounded down, because `integer_luma` includes the lower half and excludes the upper one.
    """
    weights = np.array(INTEGER_LUMA_WEIGHTS)[:, None] / 65536
    differences = rgb - (weights * rgb).sum(0)
    most, least = differences.max(0).clip(1e-9), (-differences.min(0)).clip(1e-9)
    saturation = np.minimum(np.minimum((highest - target) / most, target / least), 1)
    # Slightly more than a half, so that the last bit of a float does not round a half upwards.
    return np.ceil(target + saturation * differences - (0.5 + 1e-6)).clip(0, highest)
