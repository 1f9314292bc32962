"""Decide by the probabilities which pixels count as damaged: by connected groups, and by what else was found."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from .kinds import KINDS

# All limits are probabilities at the sensitivity 0.5, chosen on development, training and sample photographs; see
# docs/damage.md. A pixel over the threshold belongs to a group.
THRESHOLD = 0.5
# A group with a pixel over the peak of its kind is certain.
PEAKS = {"scratch": 0.84, "fold": 0.84, "dust": 0.8, "stain": 0.68, "tear": 0.985}
# Where a photograph has a certain group, it is an old print, and these lower peaks suffice for its other groups.
PEAKS_IN_DAMAGED = PEAKS | {"scratch": 0.35, "fold": 0.35, "dust": 0.35, "stain": 0.35}
# A group of dust pixels with a longer side, in pixels or relative to the shorter side of the photograph, is texture
# unless the mean probability of damage in it reaches `SOLID`.
MIN_FLECK, FLECK, SOLID = 8, 0.04, 0.7


def select(found: np.ndarray, kinds: Sequence[str], sensitivity: float) -> np.ndarray:
    """Return the pixels that count as damaged, (H, W) bool.

    The probabilities of the kinds are added. A connected group of pixels over the threshold counts if one of its pixels
    is over the peak of a kind too (hysteresis, as in Canny, A Computational Approach to Edge Detection, PAMI 1986). If
    one group counts, the photograph is a damaged print, and lower peaks hold for the other groups.

    Args:
        found: the probabilities (all kinds, H, W).
        kinds: the kinds that count.
        sensitivity: 0 to 1; 0.5 gives `THRESHOLD`, `PEAKS` and `PEAKS_IN_DAMAGED`.
    """
    total = np.zeros(found.shape[1:], np.float32)
    is_certain, is_likely = (np.zeros(found.shape[1:], bool) for _ in range(2))
    for kind in kinds:
        probability = found[KINDS.index(kind)]
        total += probability
        is_certain |= probability >= threshold_of(sensitivity, PEAKS[kind])
        is_likely |= probability >= threshold_of(sensitivity, PEAKS_IN_DAMAGED[kind])
    mask = total >= threshold_of(sensitivity, THRESHOLD)
    _, groups, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    can_count = ~_is_texture(found, kinds, groups, stats)
    can_count[0] = False
    is_kept = can_count & _with_pixel(groups, is_certain & mask, len(stats))
    if is_kept.any():
        is_kept |= can_count & _with_pixel(groups, is_likely & mask, len(stats))
    return np.asarray(is_kept[groups])


def threshold_of(sensitivity: float, middle: float) -> float:
    """Return the threshold for a sensitivity of 0 to 1; 0.5 gives `middle`. Both are probabilities."""
    logit = math.log(middle / (1 - middle)) + 8 * (0.5 - sensitivity)
    return 1 / (1 + math.exp(-logit))


def _with_pixel(groups: np.ndarray, pixels: np.ndarray, count: int) -> np.ndarray:
    """Return for each group whether it has one of the pixels, (count,) bool."""
    has_pixel: np.ndarray = np.zeros(count, bool)
    has_pixel[groups[pixels]] = True
    return has_pixel


def _is_texture(found: np.ndarray, kinds: Sequence[str], groups: np.ndarray, stats: np.ndarray) -> np.ndarray:
    """Return for each group whether it is large, mostly dust, and nowhere certain: leaves, gravel, fabric."""
    sides = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    marked = groups > 0
    labels = groups[marked]
    sums = np.stack([np.bincount(labels, found[KINDS.index(kind)][marked], len(stats)) for kind in kinds])
    is_dust = np.array([kind == "dust" for kind in kinds])[sums.argmax(0)]
    is_solid = sums.sum(0) >= SOLID * stats[:, cv2.CC_STAT_AREA]
    return np.asarray(is_dust & ~is_solid & (sides > max(MIN_FLECK, FLECK * min(groups.shape))))
