"""Losses of single pixels."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def l1(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return mean |restored - truth| over all values of (B, C, H, W), a scalar; `mask` is not used."""
    return F.l1_loss(restored, truth)


def charbonnier(epsilon: float) -> Loss:
    """Return the loss mean sqrt((restored - truth)^2 + epsilon^2), which is `epsilon` for equal pictures.

    It is |restored - truth| that is smooth within about `epsilon` of 0.

    Reference: Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed
    imaging", ICIP 1994; for pictures Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017.
    """

    def loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        return ((restored - truth).square() + epsilon**2).sqrt().mean()

    return loss
