"""Structural similarity (SSIM): exact, differentiable and fast.

In float64, the value equals that of scikit-image's `structural_similarity` for the same arrays. The gradient is
computed in the same pass, without autograd. The filters are symmetric, so their transposes are the same filters:
three more filter calls replace the dozens of full-size tensors that autograd would store. Value and gradient are
summed block by block; the blocks of rows are small enough to stay in the CPU's cache.

References: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP, 2004.
Gradient: Avanaki, "Exact Global Histogram Specification Optimized for Structural Similarity", 2009.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Values of one map that a CPU core processes at a time, so that the dozen maps in use stay in its cache.
CPU_BLOCK = 1 << 16
# Values of one map that a GPU processes at a time: few kernel launches, and at most 64 MiB a map.
GPU_BLOCK = 1 << 23


@dataclass(frozen=True, kw_only=True)
class Window:
    """The sliding window, and the constants of the SSIM formula.

    Attributes:
        weights: the weights along one axis; they sum to 1 and are symmetric.
        axes: the axes that the window covers, as negative numbers.
        covariance: the factor of the weighted variances: n / (n - 1) for a sample variance, 1 otherwise.
        c1: the constant of the luminance term, (0.01 data_range)^2.
        c2: the constant of the contrast and structure term, (0.03 data_range)^2.
    """

    weights: tuple[float, ...]
    axes: tuple[int, ...]
    covariance: float
    c1: float
    c2: float


def window_mean(x: Tensor, weights: tuple[float, ...], axes: tuple[int, ...]) -> Tensor:
    """Return the weighted mean of `x` over each window that lies completely inside `x` along `axes`."""
    for axis in axes:
        length = x.shape[axis] - len(weights) + 1
        out = x.narrow(axis, 0, length) * weights[0]
        for start, weight in enumerate(weights[1:], start=1):
            out.add_(x.narrow(axis, start, length), alpha=weight)
        x = out
    return x


def window_mean_transposed(x: Tensor, window: Window) -> Tensor:
    """Apply the transpose of `window_mean`. The weights are symmetric, so this is `window_mean` of a padded `x`."""
    for axis in window.axes:
        margins = [0, 0] * (-1 - axis) + [len(window.weights) - 1] * 2
        x = window_mean(F.pad(x, margins), window.weights, (axis,))
    return x


def ssim_sum_and_gradients(
    a: Tensor, b: Tensor, window: Window, needs_grad: tuple[bool, bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """Return the sum of the SSIM map of each block, and the gradients of the sum in `a` and `b`.

    Args:
        a: blocks, (N, D, H, W) in float64.
        b: blocks of the same shape and dtype.
        window: the sliding window.
        needs_grad: whether to compute the gradients in `a` and in `b`.

    Returns:
        The sums (N,), and the two gradients (N, D, H, W); None for a gradient that is not needed.
    """
    weights, axes = window.weights, window.axes
    # In a flat white block the variances are differences of large, nearly equal squares. Around the block's mean
    # the squares are small, so less precision is lost.
    centre_a, centre_b = (block.mean((1, 2, 3), keepdim=True) for block in (a, b))
    a, b = a - centre_a, b - centre_b
    offset_a, offset_b = window_mean(a, weights, axes), window_mean(b, weights, axes)
    mean_a, mean_b = offset_a + centre_a, offset_b + centre_b
    cross = window_mean(a * b, weights, axes) - offset_a * offset_b
    # Only the sum of the two variances is needed, so one filter call is enough for both.
    power = window_mean(a * a + b * b, weights, axes) - offset_a * offset_a - offset_b * offset_b
    numerator_1, denominator_1 = 2 * mean_a * mean_b + window.c1, mean_a * mean_a + mean_b * mean_b + window.c1
    numerator_2, denominator_2 = 2 * window.covariance * cross + window.c2, window.covariance * power + window.c2
    denominator = denominator_1 * denominator_2
    value = numerator_1 * numerator_2 / denominator
    total = value.flatten(1).sum(1)
    if not any(needs_grad):
        return total, [None, None]
    # Derivatives of `value` in mean_a * mean_b, in the squared means, in `cross` and in `power`.
    d_product, d_squares = 2 * numerator_2 / denominator, -2 * value / denominator_1
    d_cross = 2 * window.covariance * numerator_1 / denominator
    d_power = -2 * window.covariance * value / denominator_2
    spread_cross, spread_power = window_mean_transposed(d_cross, window), window_mean_transposed(d_power, window)

    def gradient(x: Tensor, y: Tensor, mean_x: Tensor, mean_y: Tensor, offset_x: Tensor, offset_y: Tensor) -> Tensor:
        d_mean = d_product * mean_y + d_squares * mean_x - d_cross * offset_y - d_power * offset_x
        return window_mean_transposed(d_mean, window) + spread_cross * y + spread_power * x

    return total, [
        gradient(a, b, mean_a, mean_b, offset_a, offset_b) if needs_grad[0] else None,
        gradient(b, a, mean_b, mean_a, offset_b, offset_a) if needs_grad[1] else None,
    ]


class MeanSsim(torch.autograd.Function):
    """Mean SSIM of each block (N, D, H, W), (N,) in float64; the forward pass computes the gradients too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, window: Window, needs_grad: tuple[bool, bool]) -> Tensor:  # noqa: ANN401
        """Return the means; save the gradients in `x` and `y` where `needs_grad` is True."""
        count, depth, height, width = x.shape
        margin = len(window.weights) - 1
        depth_out, rows_out = depth - margin * (len(window.axes) - 2), height - margin
        budget = CPU_BLOCK * torch.get_num_threads() if x.device.type == "cpu" else GPU_BLOCK
        rows = max(2 * margin, budget // (depth * width) - margin)
        blocks_at_once = max(1, rows // rows_out)
        # The gradient of a mean over a large picture is too small for half precision.
        grad_dtype = torch.promote_types(x.dtype, torch.float32)
        gradients = [
            torch.zeros(x.shape, dtype=grad_dtype, device=x.device) if needed else None for needed in needs_grad
        ]
        total = torch.zeros(count, dtype=torch.float64, device=x.device)
        for first in range(0, count, blocks_at_once):
            for top in range(0, rows_out, rows):
                index = (slice(first, first + blocks_at_once), slice(None), slice(top, top + rows + margin))
                sums, parts = ssim_sum_and_gradients(x[index].double(), y[index].double(), window, needs_grad)
                total[index[0]] += sums
                for gradient, part in zip(gradients, parts, strict=True):
                    if gradient is not None and part is not None:
                        gradient[index] += part
        ctx.count = depth_out * rows_out * (width - margin)
        ctx.dtypes = x.dtype, y.dtype
        ctx.save_for_backward(*gradients)
        return total / ctx.count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Return the saved gradients, scaled by `upstream` (N,)."""
        scale = (upstream / ctx.count).view(-1, 1, 1, 1)
        x, y = (
            None if gradient is None else (gradient * scale.to(gradient)).to(dtype)
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
    """Return the mean structural similarity of each of B pairs of pictures, (B,), at most 1.

    It is computed in float64 for every input dtype, because in flat areas the variances are differences of nearly
    equal numbers. The result has the dtype of the inputs, but at least float32. Only windows that lie completely
    inside the picture count, as in scikit-image.

    Args:
        x: pictures, (B, C, H, W); any C for "per-channel".
        y: pictures of the same shape.
        side: the side of the window in pixels, odd.
        kernel: "uniform", or "gaussian" with standard deviation `sigma`, truncated to `side`.
        sigma: standard deviation of the Gaussian in pixels; scikit-image truncates 1.5 to a side of 11.
        window: "per-channel" for a flat window and the mean over the channels; "volume" for a cube whose third
            axis is the channels, as in scikit-image without `channel_axis`.
        data_range: the difference between the largest and the smallest possible value, above 0.
        sample_covariance: divide variances by n - 1, scikit-image's default; by n otherwise.

    Raises:
        ValueError: the shapes differ, or the window is even or larger than the pictures.
    """
    if x.shape != y.shape or x.ndim != 4:
        raise ValueError(f"ssim needs two tensors (B, C, H, W) of one shape, not {tuple(x.shape)} and {tuple(y.shape)}")
    axes = {"per-channel": (-2, -1), "volume": (-3, -2, -1)}[window]
    if side % 2 == 0 or side > min(x.shape[axis] for axis in axes):
        raise ValueError(
            f"ssim's {window} window of side {side} must be odd and no larger than the pictures, {tuple(x.shape)}"
        )
    gaussian = [math.exp(-0.5 * ((i - side // 2) / sigma) ** 2) for i in range(side)]
    weights = gaussian if kernel == "gaussian" else [1.0] * side
    number = side ** len(axes)
    sliding_window = Window(
        weights=tuple(weight / sum(weights) for weight in weights),
        axes=axes,
        covariance=number / (number - 1) if sample_covariance else 1.0,
        c1=(0.01 * data_range) ** 2,
        c2=(0.03 * data_range) ** 2,
    )
    shape = x.shape if window == "volume" else (-1, 1, *x.shape[-2:])
    # Apple's MPS has no float64.
    device = torch.device("cpu") if x.device.type == "mps" else x.device
    needs_grad = (torch.is_grad_enabled() and x.requires_grad, torch.is_grad_enabled() and y.requires_grad)
    means = MeanSsim.apply(x.reshape(shape).to(device), y.reshape(shape).to(device), sliding_window, needs_grad)
    return means.view(len(x), -1).mean(1).to(x.device, torch.promote_types(x.dtype, torch.float32))
