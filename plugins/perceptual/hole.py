"""Any reconstruction loss, looked at inside the lost region and across its border."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d


class Hole(nn.Module):
    """excess(M) + border * excess(S), for the lost region M and the strip S of pixels near its border.

    excess(R) = (inner(x_R, y, R) - inner(y, y, R)) / |R|, with the truth y, x_R = y + R * (x - y) the restored
    x inside R and the truth outside, and |R| the share of R in the batch. For an inner loss that is a mean over
    pixels this is the mean over those of R. What the inner loss gives for equal pictures is taken off, so that
    an R without a pixel gives 0.

    S has the pixels with a lost and a kept one within `width` pixels (in a square): at most so far inside or
    outside. The edge of the picture is not a border.
    """

    def __init__(self, inner: Callable[[Tensor, Tensor, Tensor], Tensor], *, border: float, width: int) -> None:
        """Take the `inner` loss; a module that it is moves and is saved with this one."""
        super().__init__()
        self.inner = inner
        self.border = border
        self.width = width

    def forward(self, restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        """Compare `restored` and `truth` (B, C, H, W) where `mask` (B, 1, H, W) is 1 and around; a scalar."""
        total = self.excess(restored, truth, mask)
        if self.border:
            total = total + self.border * self.excess(restored, truth, strip(mask, self.width))
        return total

    def excess(self, restored: Tensor, truth: Tensor, region: Tensor) -> Tensor:
        """Return what the inner loss adds for the differences inside `region`, over the region's share."""
        with torch.no_grad():
            least = self.inner(truth, truth, region)
        added = self.inner(truth + region * (restored - truth), truth, region) - least
        return added / region.mean().clamp_min(1 / region.numel())


def strip(mask: Tensor, width: int) -> Tensor:
    """Return 1 where within `width` pixels of `mask` (B, 1, H, W) both lost and kept ones lie, else 0."""
    side = 2 * width + 1
    lost, kept = (max_pool2d(one, side, stride=1, padding=width) for one in (mask, 1 - mask))
    return lost * kept
