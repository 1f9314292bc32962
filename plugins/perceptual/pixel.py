"""Losses on single pixels, and the distances that other losses use."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

# Distances of two tensors by their names in recipes: the mean absolute and the mean squared difference.
DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "mse": F.mse_loss}


def l1(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return mean |restored - truth| over all values of (B, C, H, W), a scalar; `mask` is not used."""
    return F.l1_loss(restored, truth)


def charbonnier(epsilon: float) -> Loss:
    """Return the loss mean sqrt((restored - truth)^2 + epsilon^2).

    It is |restored - truth|, smoothed within about `epsilon` of 0. For equal pictures it is `epsilon`.

    Reference: Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed
    imaging", ICIP 1994; for pictures, Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017.
    """

    def loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        return ((restored - truth).square() + epsilon**2).sqrt().mean()

    return loss
