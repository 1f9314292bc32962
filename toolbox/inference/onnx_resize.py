"""Sizes and resizing for `toolbox.inference.onnx_graph`: OpenCV's and NumPy's arithmetic as tensors of any size.

Sizes are tensors while a graph is traced. They are computed with whole numbers, so every runtime gets the same result.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from toolbox.imaging.area import PARTS
from toolbox.inference.modes import MAX_ASPECT
from toolbox.smooth_fill import ROUNDS, TRACED_LEVELS


def sides_of(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return height and width of a picture (..., H, W), as whole numbers in tensors."""
    height, width = values.shape[-2:]
    return torch.as_tensor(height), torch.as_tensor(width)


def numbers(*ends: Tensor) -> Tensor:
    """Return the whole numbers from the first end, or 0, to the last end, exclusive."""
    return torch.arange(*ends)  # type: ignore[call-overload]


def working_size(height: Tensor, width: Tensor, short_side: int) -> tuple[Tensor, Tensor]:
    """Return the height and width at which colours are predicted, as `modes.working_size`."""
    short, long = torch.minimum(height, width), torch.maximum(height, width)
    is_long = long > MAX_ASPECT * short
    divisor = torch.where(is_long, long, short)
    factor = torch.where(is_long, MAX_ASPECT * short_side, short_side).minimum(divisor)
    return scaled(height, factor, divisor), scaled(width, factor, divisor)


def scaled(side: Tensor, factor: Tensor, divisor: Tensor) -> Tensor:
    """Return side * factor / divisor, rounded with halves to even numbers, at least 1."""
    doubled = 2 * side * factor + divisor
    rounded = doubled // (2 * divisor)
    is_tie = (rounded * 2 * divisor == doubled) & (rounded % 2 == 1)
    return (rounded - is_tie.to(rounded.dtype)).clamp(min=1)


def context_size(height: Tensor, width: Tensor, working_side: Tensor) -> tuple[Tensor, Tensor]:
    """Return the size at which the network sees a context: at most the area of a square of `working_side` pixels."""
    limit = working_side * working_side
    fits = height * width <= limit
    small = (root(height * limit // width).clamp(min=1), root(width * limit // height).clamp(min=1))
    return torch.where(fits, height, small[0]), torch.where(fits, width, small[1])


def root(value: Tensor) -> Tensor:
    """Return the square root of a whole number, rounded down."""
    near = value.float().sqrt().to(torch.int64)
    near = near - (near * near > value).to(torch.int64)
    return near + ((near + 1) * (near + 1) <= value).to(torch.int64)


def area_weights(length: Tensor, target: Tensor) -> Tensor:
    """Return the weights (target, length) that sum pixels over the area of larger ones, as OpenCV's INTER_AREA.

    They are whole numbers in units of 1 / target of a pixel; divided by `length` they are the weights of a mean.
    """
    larger = numbers(target)[:, None] * length
    pixel = numbers(length)[None] * target
    overlap = (torch.minimum(larger + length, pixel + target) - torch.maximum(larger, pixel)).clamp(min=0)
    return torch.where(overlap * PARTS > target, overlap, 0 * overlap).float()


def shrink(values: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Return the means of (C, H, W) at a smaller size, (C, height, width), as OpenCV's INTER_AREA for floats."""
    old_height, old_width = sides_of(values)
    rows, columns = (area_weights(old_height, height) / old_height, area_weights(old_width, width) / old_width)
    return rows @ values @ columns.T


def shrink_levels(values: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Return whole numbers (C, H, W) at a smaller size, as `toolbox.imaging.area.shrink_levels` for 8 bits.

    The sums are whole numbers, exact in float32 over the rows and in float64 over the columns, so every runtime gets
    the same levels.
    """
    old_height, old_width = sides_of(values)
    sums = area_weights(old_height, height) @ values
    means = (sums.double() @ area_weights(old_width, width).double().T) / (old_height * old_width).double()
    is_half = (old_height == 2 * height) & (old_width == 2 * width)
    return torch.where(is_half, (means + 0.5).floor(), means.round()).float()


def pad_to_multiple(values: Tensor, multiple: int) -> Tensor:
    """Repeat the last column and row of (C, H, W) until the sides are multiples of `multiple`."""
    if multiple == 1:
        return values
    indices = []
    for side in values.shape[-2:]:
        length = torch.as_tensor(side)
        padded = (length + multiple - 1) // multiple * multiple
        indices.append(torch.minimum(numbers(padded), length - 1))
    return values[:, indices[0]][:, :, indices[1]]


def cubic_weights(length: Tensor, target: Tensor, indices: Tensor) -> Tensor:
    """Return the weights (N, length) of bicubic enlarging, for the pixels `indices` (N,) of `target` ones.

    As OpenCV's INTER_CUBIC (a = -0.75) with a repeated border.
    """
    # The position in the smaller picture, in units of 1 / (2 target) of its pixels.
    position = (2 * indices + 1) * length - target + 2 * target
    first = position // (2 * target) - 1
    fraction = (position % (2 * target)).float() / (2 * target).float()
    pixel, weights = numbers(length)[None], torch.zeros(1)
    for tap in range(-1, 3):
        distance = (fraction - tap).abs()
        near = (1.25 * distance - 2.25) * distance * distance + 1
        far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
        weight = near if tap in (0, 1) else far
        index = (first + tap).clamp(min=0).minimum(length - 1)
        weights = weights + weight[:, None] * (index[:, None] == pixel).float()
    return weights


def enlarge(values: Tensor, size: Sequence[int]) -> Tensor:
    """Return (C, h, w) enlarged to the size (H, W), linearly."""
    return interpolate(values[None], list(size), mode="bilinear", align_corners=False)[0]


def blur(values: Tensor) -> Tensor:
    """Return the means of (C, H, W) over 3x3 pixels; the border is repeated."""
    return avg_pool2d(pad(values[None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0]


def smooth_fill(values: Tensor, known: Tensor, levels: int = TRACED_LEVELS) -> Tensor:
    """Return (C, H, W) with the unknown pixels filled smoothly, as `toolbox.smooth_fill.fill_array`.

    Args:
        values: (C, H, W); unknown ones are ignored.
        known: (1, H, W), 1 or 0.
        levels: how often the picture is halved.
    """
    values = values * known
    if not levels:
        return values
    height, width = sides_of(values)
    half = [(side // 2).clamp(min=1) for side in (height, width)]
    fraction = shrink(known, half[0], half[1])
    small = smooth_fill(shrink(values, half[0], half[1]) / fraction.clamp(min=1e-6), (fraction > 0).float(), levels - 1)
    filled = values + (1 - known) * enlarge(small, values.shape[-2:])
    for _ in range(ROUNDS):
        filled = values + (1 - known) * blur(filled)
    return filled
