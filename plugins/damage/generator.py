"""The network as a generator: it takes pictures and a mask, as the step `segmentation` calls it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from toolbox.color import luma

from .network import MULTIPLE, DamageNet
from .tracer import trace_half

# Initial logit of "no damage": five kinds then have a probability of a fifth together.
SOUND = 3.0


class DamageGenerator(DamageNet):
    """The network, which traces the lines of its pictures by itself. Its weights have the names of `DamageNet`'s."""

    def __init__(self, *, pretrained: bool = False, weights: str | None = None) -> None:
        """Build the layers; arguments and errors as of `DamageNet`. Most pixels begin as "no damage"."""
        super().__init__(pretrained=pretrained, weights=weights)
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.bias[0] = SOUND

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the logits of no damage and of each kind, (B, classes, ceil(H / 2), ceil(W / 2)).

        Args:
            image: (B, 3, H, W), 0 to 1; only its luma is used. Sides are extended to multiples of `MULTIPLE`.
            mask: not used.
        """
        gray = luma(image)
        height, width = gray.shape[-2:]
        gray = functional.pad(gray, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        levels = (gray.detach()[:, 0] * 255).round().clamp(0, 255).to("cpu", torch.uint8).numpy()
        traced = torch.from_numpy(np.stack([trace_half(picture) for picture in levels])).to(gray)
        logits = super().forward(gray, traced)
        return logits[..., : (height + 1) // 2, : (width + 1) // 2]
