"""The colours a*, b* of CIELAB, for tensors with gradients."""

from __future__ import annotations

import torch
from torch import Tensor

# Linear sRGB (IEC 61966-2-1) to XYZ over the white point D65, each row summing to 1.
TO_XYZ = ((0.43395, 0.37621, 0.18984), (0.21267, 0.71516, 0.07217), (0.01776, 0.10947, 0.87277))
KNEE = (6 / 29) ** 3


def ab(picture: Tensor) -> Tensor:
    """Return a* and b* (CIE 15:2004, D65), (B, 2, H, W), of sRGB (B, 3, H, W) in [0, 1]."""
    linear = torch.where(picture <= 0.04045, picture / 12.92, ((picture.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("bchw,kc->bkhw", linear, linear.new_tensor(TO_XYZ))
    curve = torch.where(xyz > KNEE, xyz.clamp_min(KNEE) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = curve.unbind(1)
    return torch.stack([500 * (x - y), 200 * (y - z)], dim=1)
