"""The distance of the two colour coordinates, independent of brightness."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from toolbox.color import cbcr

from .pixel import DISTANCES

# Linear sRGB to XYZ (IEC 61966-2-1). `ab` divides each row by its sum, so that white (D65) becomes (1, 1, 1).
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))


def chroma(space: str, distance: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the mean distance over the two colour coordinates of all pixels.

    Args:
        space: the coordinates: "ycbcr" for those of `toolbox.color.cbcr`, "lab" for those of `ab`.
        distance: "l1" for the absolute, "mse" for the squared difference.

    For pictures with one channel, which have no colour, the loss is 0.
    """
    coordinates, measure = SPACES[space], DISTANCES[distance]

    def loss(restored: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        return measure(coordinates(restored.expand(-1, 3, -1, -1)), coordinates(truth.expand(-1, 3, -1, -1)))

    return loss


def ab(picture: Tensor) -> Tensor:
    """Return a* / 100 and b* / 100 of CIELAB, (B, 2, H, W) in about [-1.1, 1], of sRGB (B, 3, H, W) in [0, 1].

    a* = 500 (f(X) - f(Y)) and b* = 200 (f(Y) - f(Z)), with X, Y, Z relative to white D65. f(t) is 7.787 t + 16/116
    up to t = 0.008856, and the cube root of t above.

    Reference: CIE 15:2004; sRGB of IEC 61966-2-1.
    """
    picture = picture.clamp(0, 1)
    # Clamped where the linear branch is used: otherwise the unused power would add a NaN to the gradient at 0.
    power = ((picture.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    linear = torch.where(picture > 0.04045, power, picture / 12.92)
    matrix = picture.new_tensor(XYZ)
    values = torch.einsum("ij,bjhw->bihw", matrix / matrix.sum(1, keepdim=True), linear)
    cube_root = values.clamp_min(0.008856) ** (1 / 3)
    x, y, z = torch.where(values > 0.008856, cube_root, 7.787 * values + 16 / 116).unbind(1)
    return torch.stack([5 * (x - y), 2 * (y - z)], dim=1)


SPACES: dict[str, Callable[[Tensor], Tensor]] = {"ycbcr": cbcr, "lab": ab}
