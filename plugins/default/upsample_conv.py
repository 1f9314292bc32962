"""Bilinear upsampling followed by a 3x3 convolution, with less memory and, for small pictures, less arithmetic."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# In pixels. For larger inputs the products with dense matrices cost more than the plain convolution.
LARGEST_SIDE = 32


def is_faster_before_upsampling(x: Tensor) -> bool:
    """Return whether `conv_before_upsampling` is faster for `x` (B, C, h, w): on a CPU, small, without autocast.

    A traced graph has the plain order, because it takes any size and has no custom function.
    """
    if torch.jit.is_tracing():
        return False
    side = max(x.shape[-2:])
    return (
        x.device.type == "cpu"
        and side <= LARGEST_SIDE
        and not (torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling())
    )


def conv_before_upsampling(x: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample `x` to `size` and apply a padded 3x3 convolution; multiply by the weights before the upsampling.

    The upsampling is bilinear with align_corners=True. It is linear and acts on each channel separately, so the
    weights can be applied first, at the small size, as nine 1x1 convolutions. For twice the side this takes a quarter
    of the multiplications, and no tensor of the large size is stored for the backward pass. Then each of the nine
    results is upsampled, shifted by its offset in the 3x3 window, and added. That is one product with a matrix along
    each axis.

    Args:
        x: the input, (B, C, h, w).
        weight: the convolution's weight, (K, C, 3, 3).
        size: height and width of the result, (H, W).

    Returns:
        The result, (B, K, H, W).
    """
    batch, channels, height, width = x.shape
    taps = weight.permute(2, 3, 0, 1).reshape(-1, channels)
    small = (x.permute(0, 2, 3, 1).reshape(-1, channels) @ taps.T).view(batch, height, width, 3, 3, len(weight))
    return _UpsampleAndAdd.apply(small, size).permute(0, 3, 1, 2)


def conv_after_upsampling(x: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the same as `conv_before_upsampling`, computed in the plain order; any device, dtype and autocast.

    The upsampled tensor is the largest one of a level. It is not stored for the backward pass but computed again.
    """
    large = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
    small, shape = x.detach(), large.shape
    if not torch.is_grad_enabled() or torch.compiler.is_compiling() or shape == weight.shape:
        return F.conv2d(large, weight, padding=1)

    def pack(saved: Tensor) -> Tensor | torch.dtype:
        # Autocast saves a copy of the upsampled tensor in another dtype, so compare shapes, not objects.
        return saved.dtype if saved.shape == shape else saved

    def unpack(packed: Tensor | torch.dtype) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        return F.interpolate(small, size=size, mode="bilinear", align_corners=True).to(packed)

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        return F.conv2d(large, weight, padding=1)


class _UpsampleAndAdd(torch.autograd.Function):
    """Upsample the nine products (B, h, w, 3, 3, K), shift each by its offset and add them: (B, H, W, K)."""

    @staticmethod
    def forward(context: Any, small: Tensor, size: tuple[int, int]) -> Tensor:  # noqa: ANN401 - torch's type
        batch, height, width, _, _, channels = context.shape = small.shape
        context.size = size
        x_matrices = upsampling_matrices(width, size[1], small.dtype)
        y_matrices = upsampling_matrices(height, size[0], small.dtype)
        rows = small.view(batch * height, width, 3, 3, channels)
        wide = small.new_zeros(batch * height, 3, size[1], channels)
        for y in range(3):
            for x in range(3):
                wide[:, y].baddbmm_(x_matrices[x].expand(len(rows), -1, -1), rows[:, :, y, x])
        wide = wide.view(batch, height, 3, size[1] * channels)
        large = small.new_zeros(batch, size[0], size[1] * channels)
        for y in range(3):
            large.baddbmm_(y_matrices[y].expand(batch, -1, -1), wide[:, :, y])
        return large.view(batch, *size, channels)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's type
        batch, height, width, _, _, channels = context.shape
        size = context.size
        x_matrices = upsampling_matrices(width, size[1], gradient.dtype)
        y_matrices = upsampling_matrices(height, size[0], gradient.dtype)
        large = gradient.contiguous().view(batch, size[0], size[1] * channels)
        wide = gradient.new_empty(batch, height, 3, size[1] * channels)
        for y in range(3):
            wide[:, :, y] = torch.bmm(y_matrices[y].T.expand(batch, -1, -1), large)
        wide = wide.view(batch * height, 3, size[1], channels)
        small = gradient.new_empty(batch * height, width, 3, 3, channels)
        for y in range(3):
            for x in range(3):
                small[:, :, y, x] = torch.bmm(x_matrices[x].T.expand(batch * height, -1, -1), wide[:, y])
        return small.view(context.shape), None


@lru_cache(maxsize=64)
def upsampling_matrices(small: int, large: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return three (large, small) matrices: bilinear upsampling along one axis, shifted by -1, 0 and 1 pixel."""
    unit = torch.eye(small, dtype=torch.float64)[None, None]
    centre = F.interpolate(unit, size=(large, small), mode="bilinear", align_corners=True)[0, 0]
    before, after = torch.zeros_like(centre), torch.zeros_like(centre)
    before[1:], after[:-1] = centre[:-1], centre[1:]
    return tuple(matrix.to(dtype) for matrix in (before, centre, after))
