"""BatchNorm over the pictures of all processes, as one process would compute it.

torch's SyncBatchNorm will not do here: it has no second derivative, which a gradient penalty needs, does not work on
CPUs, and to convert a network replaces what derives from BatchNorm (timm's layers with their activation in them).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode


def synchronize_batchnorm(network: nn.Module) -> None:
    """Have every BatchNorm of `network` take its mean and variance over all processes while it trains.

    Weights, buffers and whatever else such a layer does stay its own.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.forward = _over_all(module, module.forward)  # type: ignore[assignment, method-assign]


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
    """Norm `x` (B, C, ...) by the mean and the variance of each channel over the rows of all processes.

    Written in operations that can be differentiated twice, in float32 at least. The arguments are those of
    `torch.nn.functional.batch_norm`; the running statistics, if given, move by `momentum`, with the unbiased variance.
    """
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    over, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    sums = _Sum.apply(torch.cat([values.sum(over), values.new_full((1,), x.numel() // x.shape[1])]))
    mean, count = sums[:-1] / sums[-1], sums[-1]
    # In two passes: the difference of a mean square and a squared mean would lose digits.
    centred = values - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(over)) / count
    scale = (variance + eps).rsqrt()
    result = centred * (scale if weight is None else scale * weight).view(shape)
    if bias is not None:
        result = result + bias.view(shape)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
    return result.to(x.dtype)


def _over_all(module: _BatchNorm, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor) -> Tensor:
        if not module.training:
            return forward(x)
        with _OverAll():
            return forward(x)

    return call


class _OverAll(TorchFunctionMode):
    """Puts `batch_norm` in the place of torch's, and leaves everything else alone."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        named = kwargs or {}
        if function is F.batch_norm and named.get("training"):
            return batch_norm(*args, **named)
        return function(*args, **named)


class _Sum(Function):
    """The sum over all processes; so is its derivative, since each process's loss depends on every summand."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - torch's own
        result = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(result)
        return result

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - torch's own
        return _Sum.apply(gradient)
