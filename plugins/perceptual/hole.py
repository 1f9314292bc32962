"""Any reconstruction loss, computed inside the lost region and along its border."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d


class Hole(nn.Module):
    """The loss excess(M) + border * excess(S), with the lost region M and the strip S along its border.

    excess(R) = (inner(x_R, y, R) - inner(y, y, R)) / |R|. Here y is the truth; x_R = y + R * (x - y) is the restored
    picture x inside R and the truth outside; |R| is the fraction of the batch's pixels that are in R. If the inner
    loss is a mean over pixels, excess(R) is its mean over the pixels of R. The inner loss of equal pictures is
    subtracted, so an empty R gives 0.

    S contains the pixels that have a lost and a known pixel in the square of side 2 `width` + 1 around them. The edge
    of the picture is not a border.
    """

    def __init__(self, inner: Callable[[Tensor, Tensor, Tensor], Tensor], *, border: float, width: int) -> None:
        """Wrap the `inner` loss; if it is a module, it becomes a submodule. `width` is in pixels."""
        super().__init__()
        self.inner = inner
        self.border = border
        self.width = width

    def forward(self, restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of `restored` and `truth` (B, C, H, W), a scalar; `mask` (B, 1, H, W) is 1 where lost."""
        total = self.excess(restored, truth, mask)
        if self.border:
            total = total + self.border * self.excess(restored, truth, border_strip(mask, self.width))
        return total

    def excess(self, restored: Tensor, truth: Tensor, region: Tensor) -> Tensor:
        """Return the term excess of the class docstring for `region` (B, 1, H, W), a scalar."""
        with torch.no_grad():
            baseline = self.inner(truth, truth, region)
        increase = self.inner(truth + region * (restored - truth), truth, region) - baseline
        return increase / region.mean().clamp_min(1 / region.numel())


def border_strip(mask: Tensor, width: int) -> Tensor:
    """Return (B, 1, H, W): 1 where lost and known pixels of `mask` are within `width` pixels, else 0."""
    side = 2 * width + 1
    near_lost, near_known = (max_pool2d(region, side, stride=1, padding=width) for region in (mask, 1 - mask))
    return near_lost * near_known
