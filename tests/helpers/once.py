"""A function without a second derivative."""

from __future__ import annotations

import torch


class Once(torch.autograd.Function):
    """Twice a value, differentiable only once."""

    @staticmethod
    def forward(ctx, value):
        return 2 * value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        return 2 * upstream
