"""Luma and colours as tensors: the arithmetic of `toolbox.color` and `toolbox.imaging` in an exported graph."""

from __future__ import annotations

import torch
from torch import Tensor

from toolbox.color import INTEGER_LUMA_WEIGHTS
from toolbox.imaging.chroma_upsampling import MIN_VARIANCE
from toolbox.inference import onnx_resize as resize

# Added before integers are divided, and subtracted after it: division rounds towards zero in one runtime and downwards
# in another, and they agree for positive numbers.
_OFFSET = 4096


def integer_luma(rgb: Tensor) -> Tensor:
    """Return the luma (1, ...) of int32 RGB (3, ...), as `toolbox.color.integer_luma`."""
    red, green, blue = (weight * rgb[index : index + 1] for index, weight in enumerate(INTEGER_LUMA_WEIGHTS))
    return (red + green + blue + 32768 + (_OFFSET << 16)) // 65536 - _OFFSET


def luma_of(rgb: Tensor) -> Tensor:
    """Return the luma (1, H, W) of RGB (3, H, W), with the weights of `integer_luma`."""
    red, green, blue = (weight / 65536 * rgb[index : index + 1] for index, weight in enumerate(INTEGER_LUMA_WEIGHTS))
    return red + green + blue


def most_frequent(pixels: Tensor, lost: Tensor) -> Tensor:
    """Return the most frequent value of the lost pixels, (C,) float32, of (C, H, W) 0 to 255; 127 if none is lost."""
    counts = torch.stack(
        [
            torch.zeros(256).scatter_add(0, channel.reshape(-1).to(torch.int64), lost.reshape(-1))
            for channel in pixels.unbind(0)
        ]
    )
    return torch.where(lost.amax() > 0, counts.argmax(1).float(), torch.tensor(127.0))


def linear_relation(small: Tensor, guide: Tensor) -> Tensor:
    """Return slope and offset of values (C, h, w) as functions of the luma (1, h, w), (2 C, h, w).

    As `toolbox.imaging.chroma_upsampling.linear_relation`.
    """
    mean_luma, mean_color = resize.blur(guide), resize.blur(small)
    variance = resize.blur(guide * guide) - mean_luma * mean_luma
    slope = (resize.blur(small * guide) - mean_color * mean_luma) / (variance + MIN_VARIANCE)
    return resize.blur(torch.cat([slope, mean_color - slope * mean_luma]))


def compose(luma: Tensor, differences: Tensor) -> Tensor:
    """Return RGB (3, H, W) int32 with exactly the luma (1, H, W), and with R - Y and B - Y (2, H, W) in [-1, 1].

    As `compose_rgb` and `exact_luma` of `toolbox.imaging`.
    """
    red_weight, green_weight, blue_weight = INTEGER_LUMA_WEIGHTS
    red, blue = differences[0:1] * 255, differences[1:2] * 255
    green = (red_weight * red + blue_weight * blue) / green_weight
    y = luma.float()
    candidate = torch.cat([y + red, y - green, y + blue])
    rounded = candidate.round().to(torch.int32)
    shifted = rounded + luma - integer_luma(rounded)
    outside = ((shifted.amin(0) < 0) | (shifted.amax(0) > 255)).reshape(-1)
    where = outside.nonzero()[:, 0]
    colors = candidate.reshape(3, -1)[:, where].to(torch.float64)
    inside = desaturate(colors, luma.reshape(1, -1)[:, where].to(torch.float64))
    flat = shifted.reshape(3, -1)
    flat = flat.scatter(1, where[None].expand(3, -1), inside.to(torch.int32))
    return flat.reshape(shifted.shape)


def desaturate(rgb: Tensor, target: Tensor) -> Tensor:
    """Return float64 colours (3, N) at the luma `target` (1, N), less saturated so that they are within 0 and 255."""
    difference = rgb - luma_of(rgb)
    most, least = difference.amax(0).clamp(min=1e-9), (-difference.amin(0)).clamp(min=1e-9)
    saturation = torch.minimum((255 - target) / most, target / least).clamp(max=1)
    return (target + saturation * difference - (0.5 + 1e-6)).ceil().clamp(0, 255)
