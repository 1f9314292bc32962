"""Choose at a coarse scale by which of a few offsets each lost pixel is copied."""

from __future__ import annotations

import cv2
import numpy as np

from .costs import NEVER, UNMATCHED, border_costs, seam_costs
from .offsets import cover_all_pixels, offsets
from .patches import Scale, nearest_valid_patches
from .propagation import MOVES, choose_labels

# Cost of an offset as long as the image, relative to the median cost at the border.
LENGTH_COST = 0.02


def lay_out(scale: Scale, random: np.random.Generator) -> np.ndarray | None:
    """Return a source for each target of `scale`, (n,), or None if nothing can be copied.

    Each lost pixel gets one of the candidate offsets. The cost has two terms. For each pixel: how much the known pixels
    around it differ from those at the offset. For each pair of neighbours with different offsets: how much the two
    copies differ on both sides of the seam, in value and gradient. Belief propagation lowers the sum.

    References: He and Sun, "Statistics of Patch Offsets for Image Completion", ECCV 2012; Pritch et al., "Shift-Map
    Image Editing", ICCV 2009.
    """
    if not scale.valid.any() or not len(scale.targets):
        return None
    lost = np.flatnonzero(scale.lost.ravel())
    y, x = np.divmod(lost, scale.width)
    shifts, sources, allowed = cover_all_pixels(scale, offsets(scale, lost, random), y, x, random)
    costs = border_costs(scale, shifts, lost)
    matched_costs = costs[costs < UNMATCHED]
    if len(matched_costs):
        lengths = np.hypot(shifts[:, 0], shifts[:, 1]) / max(scale.height, scale.width)
        costs += (LENGTH_COST * np.median(matched_costs) * lengths).astype(np.float32)
    costs[~allowed] = NEVER
    seams = seam_costs(scale, sources)
    neighbours = _neighbours(scale, lost, y, x)
    label_of_pixel = choose_labels(costs, seams, neighbours, (y + x) % 2)
    return _extend_to_targets(scale, lost, shifts[label_of_pixel])


def _neighbours(scale: Scale, lost: np.ndarray, y: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    """Return the index of the lost neighbour of each lost pixel, by direction; len(lost) where there is none."""
    index_of = np.full((scale.height + 2, scale.width + 2), len(lost))
    index_of[y + 1, x + 1] = np.arange(len(lost))
    return [index_of[y + 1 + down, x + 1 + across] for down, across in MOVES]


def _extend_to_targets(scale: Scale, lost: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return a source for each target, by the offset of the nearest lost pixel."""
    _, nearest_labels = cv2.distanceTransformWithLabels(
        (~scale.lost).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(nearest_labels.max()) + 1, np.int64)
    table[nearest_labels.ravel()[lost]] = np.arange(len(lost))
    nearest = table[nearest_labels.ravel()[scale.targets]]
    y, x = np.divmod(scale.targets, scale.width)
    return nearest_valid_patches(scale, y + shifts[nearest, 0], x + shifts[nearest, 1])
