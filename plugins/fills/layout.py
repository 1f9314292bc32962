"""Lay out a hole at a coarse scale: by which of a few offsets each lost pixel is copied."""

from __future__ import annotations

import cv2
import numpy as np

from .costs import NEVER, UNMATCHED, border_costs, seam_costs
from .offsets import covering, offsets
from .patches import Scale, nearest_valid
from .propagation import MOVES, propagated

# What an offset as long as the image costs, as a share of the median cost at the border.
FAR = 0.02


def lay_out(scale: Scale, random: np.random.Generator) -> np.ndarray | None:
    """Return a source for each target of `scale`, or None where nothing can be copied.

    Every lost pixel gets one of the offsets that are frequent among the best matches. The cost is a sum over pixels
    of how badly the known pixels around fit those at the offset, and over neighbours with different offsets of how
    much the two copies differ on both sides of the seam, in value and gradient. Belief propagation lowers it.

    References: He and Sun, "Statistics of Patch Offsets for Image Completion", ECCV 2012; Pritch et al., "Shift-Map
    Image Editing", ICCV 2009.
    """
    if not scale.valid.any() or not len(scale.targets):
        return None
    lost = np.flatnonzero(scale.lost.ravel())
    y, x = np.divmod(lost, scale.width)
    shifts, sources, allowed = covering(scale, offsets(scale, lost, random), y, x, random)
    costs = border_costs(scale, shifts, lost)
    typical = costs[costs < UNMATCHED]
    if len(typical):
        lengths = np.hypot(shifts[:, 0], shifts[:, 1]) / max(scale.height, scale.width)
        costs += (FAR * np.median(typical) * lengths).astype(np.float32)
    costs[~allowed] = NEVER
    seams = seam_costs(scale, sources)
    neighbours = _neighbours(scale, lost, y, x)
    chosen = propagated(costs, seams, neighbours, (y + x) % 2)
    return _spread_out(scale, lost, shifts[chosen])


def _neighbours(scale: Scale, lost: np.ndarray, y: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    """Return the numbers of the lost pixels beside each, by direction; as many as there are stands for none."""
    number = np.full((scale.height + 2, scale.width + 2), len(lost))
    number[y + 1, x + 1] = np.arange(len(lost))
    return [number[y + 1 + down, x + 1 + across] for down, across in MOVES]


def _spread_out(scale: Scale, lost: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return a source for each target: by the offset of the lost pixel nearest to it."""
    _, names = cv2.distanceTransformWithLabels(
        (~scale.lost).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(names.max()) + 1, np.int64)
    table[names.ravel()[lost]] = np.arange(len(lost))
    nearest = table[names.ravel()[scale.targets]]
    y, x = np.divmod(scale.targets, scale.width)
    return nearest_valid(scale, y + shifts[nearest, 0], x + shifts[nearest, 1])
