"""Several plausible colourings of one photograph, from the classes of colours that the network predicts.

A variant assumes that the whole photograph is warmer, greener or more vivid than expected, and shifts the distribution
of the colours at each pixel in that direction. Where the network is certain, the colour changes little; where two
colours are about equally likely, the other one is chosen. So a variant is coherent over the photograph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from toolbox.color import add_differences, color_differences, luma
from toolbox.inference.color_classes import compand
from toolbox.inference.remembering import RememberingNetwork, remembering_filler
from toolbox.models.component_calls import call_generator
from toolbox.models.component_watch import share_watch
from toolbox.utils.arguments import is_whole
from toolbox.utils.limits import MAX_VARIANTS, MIN_VARIANTS

if TYPE_CHECKING:
    from toolbox.inference.restorer import Restorer


@dataclass(frozen=True, kw_only=True)
class Tilt:
    """How a variant differs from the expected colouring.

    Attributes:
        cb: added to the logits of the classes for each unit of Cb on the plane of `compand`.
        cr: the same for Cr.
        vivid: the same for the chroma.
        saturation: factor of the resulting colours.
    """

    cb: float
    cr: float
    vivid: float
    saturation: float


# The variants after the first. They were chosen from 420 random ones on the 300 development photographs of
# benchmarks/photo_split.csv, so that the nearest of them is near to the truth and none is far from it on the average:
# the first three together, then the other four one after the other.
TILTS = (
    Tilt(cb=-0.01, cr=0.93, vivid=0.21, saturation=0.94),
    Tilt(cb=0.39, cr=-0.26, vivid=0.43, saturation=0.57),
    Tilt(cb=-1.07, cr=-0.29, vivid=-0.23, saturation=0.76),
    Tilt(cb=-0.87, cr=0.06, vivid=0.25, saturation=1.13),
    Tilt(cb=0.76, cr=-0.28, vivid=0.17, saturation=0.83),
    Tilt(cb=0.39, cr=0.71, vivid=0.3, saturation=0.53),
    Tilt(cb=-0.23, cr=-0.55, vivid=-0.23, saturation=0.94),
)


class TiltedNetwork(nn.Module):
    """A generator with the colours of a variant.

    The generator gives ``classes`` and has ``centres``; see `toolbox.inference.color_classes`. Its method ``colors``,
    if it has one, returns Cb and Cr (B, 2, h, w) of logits (B, K, h, w); else they are the mean of the classes.
    """

    offset: Tensor

    def __init__(self, network: nn.Module, tilt: Tilt) -> None:
        """Wrap a generator in eval mode."""
        super().__init__()
        self.network = network
        self.saturation = tilt.saturation
        centres = compand(network.centres.float().cpu().numpy())  # type: ignore[operator, union-attr]
        offset = centres @ np.array([tilt.cb, tilt.cr], np.float32) + tilt.vivid * np.linalg.norm(centres, axis=1)
        self.register_buffer("offset", torch.from_numpy(offset).float().view(1, -1, 1, 1))
        share_watch(self, network)
        self.train(network.training)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the pictures (B, 3, H, W) with other colours, and the classes of the wrapped generator."""
        restored, auxiliary = call_generator(self.network, image, mask)
        logits = auxiliary["classes"].float()
        chroma = self.saturation * self._colors(logits + self.offset.to(logits))
        chroma = interpolate(chroma, restored.shape[-2:], mode="bilinear", align_corners=False).to(restored)
        differences = torch.cat(color_differences(*chroma.split(1, dim=1)), dim=1)
        return add_differences(luma(restored), differences).clamp(0, 1), {"classes": auxiliary["classes"]}

    @property
    def centres(self) -> Tensor:
        """The colours of the classes."""
        return cast(Tensor, self.network.centres)

    def _colors(self, logits: Tensor) -> Tensor:
        colors: Callable[[Tensor], Tensor] | None = getattr(self.network, "colors", None)
        if colors is not None:
            return colors(logits)
        centres: Any = self.network.centres
        return torch.einsum("bkhw,kc->bchw", logits.softmax(1), centres.to(logits))


def vary(restorer: Restorer, count: int) -> list[Restorer]:
    """Return restorers for `count` variants of one photograph; the first gives the expected colouring.

    They share the results of the network and of the filler, so call them with the same photograph only.

    Raises:
        ValueError: the count is not 2 to 8, keep is not "luma", or the network predicts no classes of colours.
    """
    if not is_whole(count, MIN_VARIANTS, MAX_VARIANTS):
        raise ValueError(f"{count!r} variants are not possible; use {MIN_VARIANTS} to {MAX_VARIANTS}.")
    if restorer.keep != "luma":
        raise ValueError(f'Variants need keep = "luma", which gives new colours; it is "{restorer.keep}".')
    if not restorer.predicts_classes:
        raise ValueError("Variants need weights that predict classes of colours, as luma does; these have none.")
    network = RememberingNetwork(restorer.network)
    filler = None if restorer.filler is None else remembering_filler(restorer.filler)
    first = replace(restorer, network=network, filler=filler)
    tilted = [TiltedNetwork(network, tilt).to(restorer.device) for tilt in TILTS[: count - 1]]
    return [first, *(replace(first, network=one) for one in tilted)]
