"""Colours over a photograph, computed at a small scale, and their weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolbox.imaging.chroma_upsampling import enlarge_rows


@dataclass(frozen=True, kw_only=True, eq=False)
class ColorLayer:
    """Colours over a photograph of (H, W) pixels, from strokes or from a palette.

    Attributes:
        luma: (H, W) uint8 or uint16.
        relation: how colour, times weight, and the weight depend on luma, see `linear_relation`.
    """

    luma: np.ndarray
    relation: np.ndarray

    def rows(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return R - Y and B - Y times the weight (h, W, 2), and the weight (h, W, 1) in [0, 1]."""
        values = enlarge_rows(self.relation, self.luma, rows)
        return values[..., :2], values[..., 2:].clip(0, 1)
