"""BatchNorm with the statistics of the full batch, which several processes share.

torch's SyncBatchNorm has no second derivative, which a gradient penalty needs. It does not work on CPUs, and
`convert_sync_batchnorm` replaces layers that derive from BatchNorm (timm's layers with an activation inside).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.autograd import Function

from toolbox.distributed.torch_patches import Forward, batch_norm_layers, replaced_batch_norm, wrap_forward


def synchronize_batchnorm(network: nn.Module) -> None:
    """Make every BatchNorm of `network` use mean and variance over all processes in training mode.

    Weights, buffers and everything else that such a layer computes stay as they are.
    """
    for layer in batch_norm_layers(network):
        wrap_forward(layer, partial(_synchronized, layer))


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise `x` (B, C, ...) by the mean and the variance of each channel over all processes.

    The arguments are those of `torch.nn.functional.batch_norm`. The arithmetic is in float32 or better and can be
    differentiated twice. The running statistics move by `momentum`; their variance is the unbiased one.
    """
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    axes, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    sums = _AllReduceSum.apply(torch.cat([values.sum(axes), values.new_full((1,), x.numel() // x.shape[1])]))
    mean, count = sums[:-1] / sums[-1], sums[-1]
    # Two passes: the mean of squares minus the square of the mean would lose digits.
    centred = values - mean.view(shape)
    variance = _AllReduceSum.apply(centred.square().sum(axes)) / count
    scale = (variance + eps).rsqrt()
    result = centred * (scale if weight is None else scale * weight).view(shape)
    if bias is not None:
        result = result + bias.view(shape)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
    return result.to(x.dtype)


def _synchronized(layer: nn.Module, forward: Forward) -> Forward:
    def call(x: Tensor) -> Tensor:
        if not layer.training:
            return forward(x)
        with replaced_batch_norm(batch_norm):
            return forward(x)

    return call


class _AllReduceSum(Function):
    """The sum over all processes. Its derivative is the same sum: each rank's loss depends on every summand."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - torch's own signature
        result = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(result)
        return result

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - torch's own signature
        return _AllReduceSum.apply(gradient)
