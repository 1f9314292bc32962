"""Luma, and `keep`: what a restoration may not change.

Luma is that of ITU-R BT.601 on the stored (gamma-encoded) values, the one of Pillow's ``convert("L")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = (0.299, 0.587, 0.114)


def luma(picture: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of RGB (B, 3, H, W): 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."""
    return picture.mul(picture.new_tensor(WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)


def keep(mode: str, restored: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Put what is known of the damaged image back into what was restored.

    Args:
        mode: "none" leaves `restored` as it is; "luma" gives it the image's luma outside the lost region;
            "rgb" gives it the image there.
        restored: (B, 3, H, W) in [0, 1].
        image: the damaged image of the same shape, three equal channels if it is gray.
        mask: (B, 1, H, W), 1 where the picture is lost.

    Returns:
        (B, 3, H, W) in [0, 1], differentiable in `restored`. With "luma", colours that would leave [0, 1] are
        brought in towards the gray of the same luma, so that the luma is still the image's.
    """
    if mode == "none":
        return restored
    known = image if mode == "rgb" else with_luma(restored, luma(image))
    return known + mask * (restored - known)


def with_luma(picture: Tensor, target: Tensor) -> Tensor:
    """Return `picture` (B, 3, H, W) shifted to the luma `target` (B, 1, H, W), saturation cut to stay in [0, 1]."""
    chroma = picture - luma(picture)
    top = chroma.amax(1, keepdim=True).clamp_min(1e-6)
    bottom = (-chroma.amin(1, keepdim=True)).clamp_min(1e-6)
    share = ((1 - target) / top).minimum(target / bottom).clamp(0, 1)
    return target + share * chroma
