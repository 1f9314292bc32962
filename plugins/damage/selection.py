"""Decide which pixels count as damaged, by the probabilities in each connected group and in the whole photograph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .kinds import KINDS

# All limits are probabilities at the sensitivity 0.5, chosen on development and sample photographs; see docs/damage.md.
# A pixel over the threshold belongs to a group.
THRESHOLD = 0.45


@dataclass(frozen=True)
class Certainty:
    """A group is certain if the sum of these kinds reaches the peak in a pixel, and its mean of all kinds the mean.

    `length` is the least diagonal of its box, and `width` the greatest mean width along that diagonal; both are
    relative to the shorter side of the photograph. At least `number` groups of a photograph must be so.
    """

    kinds: tuple[str, ...]
    peak: float
    mean: float
    length: float = 0.0
    width: float = math.inf
    number: int = 1


# The network often divides its probability between a scratch and a fold, and between a fleck and a stain. A sum of such
# kinds that is high, in a group that is high in the mean, is hardly ever wrong; a single kind over 0.85 often is.
# A long line may be less certain than a short one: few things in a photograph look like a faint crease for so long.
# So may several lines: a sound photograph rarely has several things like a scratch.
CERTAIN = (
    Certainty(("scratch", "fold"), peak=0.9, mean=0.67),
    Certainty(("scratch", "fold"), peak=0.85, mean=0.54, length=0.3, width=0.05),
    Certainty(("scratch", "fold"), peak=0.81, mean=0.6, length=0.25, width=0.05),
    Certainty(("scratch", "fold"), peak=0.8, mean=THRESHOLD, number=2),
    Certainty(("scratch", "fold"), peak=0.75, mean=THRESHOLD, number=3),
    Certainty(("dust", "stain"), peak=0.92, mean=0.67),
    Certainty(("stain",), peak=0.63, mean=THRESHOLD),
    Certainty(("tear",), peak=0.985, mean=THRESHOLD),
)
# A photograph with a certain group is taken to be an old print, and these peaks are enough for its other groups.
LIKELY = {"scratch": 0.27, "fold": 0.27, "dust": 0.27, "stain": 0.27, "tear": 0.985}
# A group of dust pixels with a longer side, in pixels or relative to the shorter side of the photograph, is texture
# unless the mean probability of damage in it reaches `SOLID`.
MIN_FLECK, FLECK, SOLID = 8, 0.04, 0.63


def select(probabilities: np.ndarray, kinds: Sequence[str], sensitivity: float) -> np.ndarray:
    """Return the pixels that count as damaged, (H, W) bool.

    The probabilities of the kinds are added. A connected group of pixels over the threshold counts if it is certain
    (hysteresis, as in Canny, A Computational Approach to Edge Detection, PAMI 1986). If one group counts, the
    photograph is a damaged print, and the other groups count if they are likely. All kinds decide about this; then the
    groups remain that most pixels say are of one of `kinds`.

    Args:
        probabilities: that of each pixel, (all kinds, H, W).
        kinds: the kinds to return.
        sensitivity: 0 to 1; 0.5 gives `THRESHOLD`, `CERTAIN` and `LIKELY`.
    """
    maps = dict(zip(KINDS, probabilities, strict=True))
    mask = _total(maps) >= threshold_of(sensitivity, THRESHOLD)
    _, groups, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    labels, count = groups[mask], len(stats)
    stats[0] = np.maximum(stats[0], 1)  # the background, which counts nowhere, has no pixels if all of them are damaged
    area = stats[:, cv2.CC_STAT_AREA]
    inside = {kind: probability[mask] for kind, probability in maps.items()}
    sums = {kind: np.bincount(labels, values, count) for kind, values in inside.items()}
    mean = _total(sums) / area
    can_count = ~_is_texture(sums, mean, stats, min(mask.shape))
    can_count[0] = False
    is_certain, is_likely = (np.zeros(count, bool) for _ in range(2))
    diagonal, shorter = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]), min(mask.shape)
    length, width = diagonal / shorter, area / (diagonal * shorter)
    for rule in CERTAIN:
        together = {kind: inside[kind] for kind in rule.kinds}
        has_peak = _has_pixel(labels, _total(together) >= threshold_of(sensitivity, rule.peak), count)
        has_shape = (length >= rule.length) & (width <= rule.width)
        fits = can_count & has_peak & has_shape & (mean >= threshold_of(sensitivity, rule.mean))
        if fits.sum() >= rule.number:
            is_certain |= fits
    for kind, values in inside.items():
        is_likely |= _has_pixel(labels, values >= threshold_of(sensitivity, LIKELY[kind]), count)
    if is_certain.any():
        is_certain |= can_count & is_likely
    is_wanted = np.isin(_main_kinds(labels, probabilities[:, mask], count), [KINDS.index(kind) for kind in kinds])
    return np.asarray((is_certain & is_wanted)[groups])


def _main_kinds(labels: np.ndarray, inside: np.ndarray, count: int) -> np.ndarray:
    """Return the number in `KINDS` of the kind that most pixels of each of `count` groups have.

    Args:
        labels: (pixels,) the group of each pixel.
        inside: (all kinds, pixels) the probabilities.
        count: the number of groups.
    """
    tally = np.zeros((count, len(KINDS)), np.int64)
    np.add.at(tally, (labels, inside.argmax(0)), 1)
    return np.asarray(tally.argmax(1))


def threshold_of(sensitivity: float, middle: float) -> float:
    """Return the threshold for a sensitivity of 0 to 1; 0.5 gives `middle`. Both are probabilities."""
    logit = math.log(middle / (1 - middle)) + 8 * (0.5 - sensitivity)
    return 1 / (1 + math.exp(-logit))


def _total(maps: dict[str, np.ndarray]) -> np.ndarray:
    """Return the sum of arrays of one shape."""
    return np.asarray(sum(maps.values()))


def _has_pixel(labels: np.ndarray, pixels: np.ndarray, count: int) -> np.ndarray:
    """Return for each of `count` groups whether it has one of the pixels; `labels` are the groups of the pixels."""
    has_pixel: np.ndarray = np.zeros(count, bool)
    has_pixel[labels[pixels]] = True
    return has_pixel


def _is_texture(sums: dict[str, np.ndarray], mean: np.ndarray, stats: np.ndarray, shorter: int) -> np.ndarray:
    """Return for each group whether it is large, mostly dust, and uncertain in the mean: leaves, gravel, fabric."""
    sides = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    most = np.stack(list(sums.values())).argmax(0)
    is_dust = np.array([kind == "dust" for kind in sums])[most]
    return np.asarray(is_dust & (mean < SOLID) & (sides > max(MIN_FLECK, FLECK * shorter)))
