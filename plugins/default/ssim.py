"""Structural similarity: exact, differentiable and fast.

The value equals scikit-image's `structural_similarity` in float64 on the same values. The gradient is worked
out by hand in the same pass: the filters are their own transposes, so three more of them give what autograd
would keep dozens of full-size tensors for. Both are summed over strips of rows that stay in the CPU's cache.

Reference: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP,
2004. Gradient: Avanaki, "Exact Global Histogram Specification Optimized for Structural Similarity", 2009.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Values of one map that a CPU core works on at a time, so that the dozen maps in use stay in its cache.
STRIP = 1 << 16
# Values of one map at a time on a GPU: few launches, and 64 MiB a map at most.
LAUNCH = 1 << 23


@dataclass(frozen=True, kw_only=True)
class Window:
    """What the statistics are taken over: the weights of one axis, summing to 1, and the axes.

    `covariance` scales the weighted variances; `c1` and `c2` are the constants of the formula.
    """

    weights: tuple[float, ...]
    axes: tuple[int, ...]
    covariance: float
    c1: float
    c2: float


def smooth(x: Tensor, weights: tuple[float, ...], axes: tuple[int, ...]) -> Tensor:
    """Return the weighted mean of `x` over the window, only where it lies fully inside along `axes`."""
    for axis in axes:
        length = x.shape[axis] - len(weights) + 1
        out = x.narrow(axis, 0, length) * weights[0]
        for start, weight in enumerate(weights[1:], start=1):
            out.add_(x.narrow(axis, start, length), alpha=weight)
        x = out
    return x


def spread(x: Tensor, window: Window) -> Tensor:
    """Return the transpose of `smooth`: the weights are symmetric, so it is `smooth` of a padded `x`."""
    for axis in window.axes:
        margins = [0, 0] * (-1 - axis) + [len(window.weights) - 1] * 2
        x = smooth(F.pad(x, margins), window.weights, (axis,))
    return x


def strip(a: Tensor, b: Tensor, window: Window, graph: tuple[bool, bool]) -> tuple[Tensor, list[Tensor | None]]:
    """Return the sum of the SSIM map of each of N blocks and its gradient in `a` and `b`, where asked for.

    `a` and `b` are (N, D, H, W) in float64, the sums (N,), the gradients (N, D, H, W) or None.
    """
    weights, axes = window.weights, window.axes
    # A flat strip of white has variances of 0 and squares of 1: around its mean the squares are small too.
    centre_a, centre_b = (one.mean((1, 2, 3), keepdim=True) for one in (a, b))
    a, b = a - centre_a, b - centre_b
    part_a, part_b = smooth(a, weights, axes), smooth(b, weights, axes)
    mean_a, mean_b = part_a + centre_a, part_b + centre_b
    cross = smooth(a * b, weights, axes) - part_a * part_b
    # Only the sum of the two variances is needed: one filter for both.
    power = smooth(a * a + b * b, weights, axes) - part_a * part_a - part_b * part_b
    above_1, below_1 = 2 * mean_a * mean_b + window.c1, mean_a * mean_a + mean_b * mean_b + window.c1
    above_2, below_2 = 2 * window.covariance * cross + window.c2, window.covariance * power + window.c2
    below = below_1 * below_2
    value = above_1 * above_2 / below
    total = value.flatten(1).sum(1)
    if not any(graph):
        return total, [None, None]
    to_product, to_squares = 2 * above_2 / below, -2 * value / below_1
    to_cross, to_power = 2 * window.covariance * above_1 / below, -2 * window.covariance * value / below_2
    by_cross, by_power = spread(to_cross, window), spread(to_power, window)

    def gradient(
        this: Tensor, other: Tensor, mean_this: Tensor, mean_other: Tensor, part_this: Tensor, part_other: Tensor
    ) -> Tensor:
        to_mean = to_product * mean_other + to_squares * mean_this - to_cross * part_other - to_power * part_this
        return spread(to_mean, window) + by_cross * other + by_power * this

    return total, [
        gradient(a, b, mean_a, mean_b, part_a, part_b) if graph[0] else None,
        gradient(b, a, mean_b, mean_a, part_b, part_a) if graph[1] else None,
    ]


class Similarity(torch.autograd.Function):
    """Mean SSIM of blocks (N, D, H, W), (N,) in float64, with its gradient computed on the way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, window: Window, graph: tuple[bool, bool]) -> Tensor:  # noqa: ANN401
        """Return the means, and keep the gradients in those of `x` and `y` that `graph` asks for."""
        blocks, depth, height, width = x.shape
        reach = len(window.weights) - 1
        depth_out, rows_out = depth - reach * (len(window.axes) - 2), height - reach
        budget = STRIP * torch.get_num_threads() if x.device.type == "cpu" else LAUNCH
        rows = max(2 * reach, budget // (depth * width) - reach)
        many = max(1, rows // rows_out)
        # A gradient of a mean over a large picture is too small for half precision.
        kept = torch.promote_types(x.dtype, torch.float32)
        gradients = [torch.zeros(x.shape, dtype=kept, device=x.device) if one else None for one in graph]
        total = torch.zeros(blocks, dtype=torch.float64, device=x.device)
        for first in range(0, blocks, many):
            for top in range(0, rows_out, rows):
                part = (slice(first, first + many), slice(None), slice(top, top + rows + reach))
                sums, pieces = strip(x[part].double(), y[part].double(), window, graph)
                total[part[0]] += sums
                for gradient, piece in zip(gradients, pieces, strict=True):
                    if gradient is not None and piece is not None:
                        gradient[part] += piece
        ctx.count = depth_out * rows_out * (width - reach)
        ctx.dtypes = x.dtype, y.dtype
        ctx.save_for_backward(*gradients)
        return total / ctx.count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Return the kept gradients times what comes from `upstream`, (N,)."""
        share = (upstream / ctx.count).view(-1, 1, 1, 1)
        x, y = (
            None if gradient is None else (gradient * share.to(gradient)).to(dtype)
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return x, y, None, None


def ssim(
    x: Tensor,
    y: Tensor,
    *,
    side: int = 3,
    kernel: str = "uniform",
    sigma: float = 1.5,
    window: str = "per-channel",
    data_range: float = 1.0,
    sample_covariance: bool = True,
) -> Tensor:
    """Return the mean structural similarity of each of B pictures, (B,), at most 1.

    Computed in float64 whatever the inputs' dtype, for in flat areas the variances are differences of nearly
    equal numbers; returned in the inputs' dtype, float32 at least. Windows that reach over the border are
    left out, as scikit-image leaves them out.

    Args:
        x: pictures, (B, C, H, W), C any for "per-channel".
        y: pictures of the same shape.
        side: the window's odd side in pixels.
        kernel: "uniform", or "gaussian" of deviation `sigma` cut off at `side`.
        sigma: deviation of the Gaussian in pixels; scikit-image cuts 1.5 off at a side of 11.
        window: "per-channel" for a flat window and the mean over the channels; "volume" for a cube that
            takes the channels for a third dimension, as scikit-image does without `channel_axis`.
        data_range: distance of the least and the greatest possible value, above 0.
        sample_covariance: variances over n - 1 as scikit-image's default has it; over n otherwise.

    Raises:
        ValueError: shapes differ, or the window is even or larger than the pictures.
    """
    if x.shape != y.shape or x.ndim != 4:
        raise ValueError(f"ssim compares two (B, C, H, W) of one shape, not {tuple(x.shape)} and {tuple(y.shape)}")
    axes = {"per-channel": (-2, -1), "volume": (-3, -2, -1)}[window]
    if side % 2 == 0 or side > min(x.shape[axis] for axis in axes):
        raise ValueError(
            f"ssim's {window} window of side {side} has to be odd and no larger than pictures {tuple(x.shape)}"
        )
    bell = [math.exp(-0.5 * ((i - side // 2) / sigma) ** 2) for i in range(side)]
    weights = bell if kernel == "gaussian" else [1.0] * side
    number = side ** len(axes)
    what = Window(
        weights=tuple(weight / sum(weights) for weight in weights),
        axes=axes,
        covariance=number / (number - 1) if sample_covariance else 1.0,
        c1=(0.01 * data_range) ** 2,
        c2=(0.03 * data_range) ** 2,
    )
    shape = x.shape if window == "volume" else (-1, 1, *x.shape[-2:])
    # Apple's MPS has no float64.
    device = torch.device("cpu") if x.device.type == "mps" else x.device
    graph = tuple(torch.is_grad_enabled() and one.requires_grad for one in (x, y))
    blocks = Similarity.apply(x.reshape(shape).to(device), y.reshape(shape).to(device), what, graph)
    return blocks.view(len(x), -1).mean(1).to(x.device, torch.promote_types(x.dtype, torch.float32))
