"""A convolution of a picture made larger, computed before it is made larger."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Up to this many pixels a side the products with dense matrices cost less than the convolution at the larger size.
LARGEST_SIDE = 32


def pays(x: Tensor) -> bool:
    """Return whether `conv_of_upsampled` is faster for `x` (B, C, h, w): small, in full precision, on a CPU."""
    side = max(x.shape[-2:])
    return (
        x.device.type == "cpu"
        and side <= LARGEST_SIDE
        and not (torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling())
    )


def conv_of_upsampled(x: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the 3x3 convolution, padded by 1, of `x` (B, C, h, w) made `size` = (H, W) large, (B, K, H, W).

    The upsampling is bilinear with align_corners=True. It is linear and acts on each channel alone, so the weights
    can be applied first, at the small size, as nine 1x1 convolutions: a quarter of the multiplications for twice
    the side, and nothing of the large size is kept for the backward pass. What is left, to enlarge each of the
    nine and to add them up, each moved by its place in the window, is a product with a matrix along either side.

    Args:
        x: what is made larger.
        weight: (K, C, 3, 3).
        size: the larger height and width.
    """
    batch, channels, height, width = x.shape
    taps = weight.permute(2, 3, 0, 1).reshape(-1, channels)
    small = (x.permute(0, 2, 3, 1).reshape(-1, channels) @ taps.T).view(batch, height, width, 3, 3, len(weight))
    return _Spread.apply(small, size).permute(0, 3, 1, 2)


def conv_at_the_large_size(x: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the same, upsampled first and convolved then; any device and dtype, autocast included.

    What is made larger is the largest tensor of a level. It is not kept for the backward pass, but made again there.
    """
    large = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
    small, shape = x.detach(), large.shape
    if not torch.is_grad_enabled() or torch.compiler.is_compiling() or shape == weight.shape:
        return F.conv2d(large, weight, padding=1)

    def pack(kept: Tensor) -> Tensor | torch.dtype:
        # Under autocast it is a copy in another dtype that would be kept.
        return kept.dtype if kept.shape == shape else kept

    def unpack(packed: Tensor | torch.dtype) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        return F.interpolate(small, size=size, mode="bilinear", align_corners=True).to(packed)

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        return F.conv2d(large, weight, padding=1)


class _Spread(torch.autograd.Function):
    """Enlarges the nine taps (B, h, w, 3, 3, K) and adds them up, each moved by its place: (B, H, W, K)."""

    @staticmethod
    def forward(context: Any, small: Tensor, size: tuple[int, int]) -> Tensor:  # noqa: ANN401 - torch's own
        batch, height, width, _, _, channels = context.shape = small.shape
        context.size = size
        across, down = _matrices(width, size[1], small), _matrices(height, size[0], small)
        rows = small.view(batch * height, width, 3, 3, channels)
        wide = small.new_zeros(batch * height, 3, size[1], channels)
        for y in range(3):
            for x in range(3):
                wide[:, y].baddbmm_(across[x].expand(len(rows), -1, -1), rows[:, :, y, x])
        wide = wide.view(batch, height, 3, size[1] * channels)
        large = small.new_zeros(batch, size[0], size[1] * channels)
        for y in range(3):
            large.baddbmm_(down[y].expand(batch, -1, -1), wide[:, :, y])
        return large.view(batch, *size, channels)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's own
        batch, height, width, _, _, channels = context.shape
        size = context.size
        across, down = _matrices(width, size[1], gradient), _matrices(height, size[0], gradient)
        large = gradient.contiguous().view(batch, size[0], size[1] * channels)
        wide = gradient.new_empty(batch, height, 3, size[1] * channels)
        for y in range(3):
            wide[:, :, y] = torch.bmm(down[y].T.expand(batch, -1, -1), large)
        wide = wide.view(batch * height, 3, size[1], channels)
        small = gradient.new_empty(batch * height, width, 3, 3, channels)
        for y in range(3):
            for x in range(3):
                small[:, :, y, x] = torch.bmm(across[x].T.expand(batch * height, -1, -1), wide[:, y])
        return small.view(context.shape), None


def _matrices(small: int, large: int, like: Tensor) -> tuple[Tensor, ...]:
    return _of(small, large, like.dtype)


@lru_cache(maxsize=64)
def _of(small: int, large: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return, for the taps before, at and after a pixel, the (large, small) matrix of the upsampling moved by one."""
    unit = torch.eye(small, dtype=torch.float64)[None, None]
    at = F.interpolate(unit, size=(large, small), mode="bilinear", align_corners=True)[0, 0]
    before, after = torch.zeros_like(at), torch.zeros_like(at)
    before[1:], after[:-1] = at[:-1], at[1:]
    return tuple(matrix.to(dtype) for matrix in (before, at, after))
