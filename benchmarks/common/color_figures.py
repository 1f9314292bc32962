"""Figures that compare the colours of restored photographs with those of their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolbox.evaluation.colors import ab, colorfulness

# The middle hue of each of six sectors, in degrees of CIELAB: red, yellow, green, teal, blue (sky), violet.
SECTORS = (0, 60, 120, 180, 240, 300)
VIVID = 20.0  # least chroma of a vivid pixel of the truth
NEAR = 30.0  # largest difference of a correct hue, in degrees
SEEN = 8.0  # least chroma of a result with a correct hue
FALSE = 25.0  # least chroma of a wrongly vivid result
DULL = 8.0  # largest chroma of a dull pixel of the truth
TINY = 1e-9


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The counts and means of one photograph.

    Attributes:
        distance: mean distance in a*, b* to the truth.
        gray: mean distance of the gray photograph: the mean chroma of the truth.
        cast: mean of a*, b* of the result minus that of the truth, (2,).
        vivid: number of vivid pixels of the truth in each sector, (6,).
        correct: number of these whose hue is correct, (6,).
        dull: number of pixels of low chroma in the truth.
        falsely_vivid: number of these that are vivid in the result.
        colorfulness: of the result, after Hasler and Süsstrunk (2003).
        true_colorfulness: of the truth.
    """

    distance: float
    gray: float
    cast: np.ndarray
    vivid: np.ndarray
    correct: np.ndarray
    dull: int
    falsely_vivid: int
    colorfulness: float
    true_colorfulness: float


def compare(result: np.ndarray, truth: np.ndarray) -> Counts:
    """Return the counts of one photograph; result and truth are (H, W, 3) uint8 RGB."""
    result_ab, true_ab = ab(result), ab(truth)
    chroma, true_chroma = np.hypot(*np.moveaxis(result_ab, -1, 0)), np.hypot(*np.moveaxis(true_ab, -1, 0))
    hue, true_hue = (np.degrees(np.arctan2(each[..., 1], each[..., 0])) for each in (result_ab, true_ab))
    correct = (np.abs(wrap_angle(hue - true_hue)) <= NEAR) & (chroma >= SEEN)
    vivid = true_chroma > VIVID
    sector = np.round(true_hue / 60).astype(int) % 6
    dull = true_chroma < DULL
    return Counts(
        distance=float(np.hypot(*np.moveaxis(result_ab - true_ab, -1, 0)).mean()),
        gray=float(true_chroma.mean()),
        cast=(result_ab - true_ab).mean((0, 1)),
        vivid=np.bincount(sector[vivid], minlength=6),
        correct=np.bincount(sector[vivid & correct], minlength=6),
        dull=int(dull.sum()),
        falsely_vivid=int((dull & (chroma > FALSE)).sum()),
        colorfulness=colorfulness(result),
        true_colorfulness=colorfulness(truth),
    )


def wrap_angle(degrees: np.ndarray) -> np.ndarray:
    """Return equal angles from -180 to 180 degrees."""
    return (degrees + 180) % 360 - 180


def summarize(counts: Sequence[Counts], categories: Sequence[str]) -> dict[str, object]:
    """Return the figures of all photographs.

    ``distance_ratio`` is the mean distance divided by that of the gray photographs, also for each category.
    ``hue_recall`` is the share of the vivid pixels of each sector whose hue is correct, and the mean of the six.
    ``false_vivid`` is the share of the dull pixels that are vivid in the result. ``median_cast`` is the median of the
    photographs' casts; ``cast`` is the length of their mean.
    """
    vivid, correct = (sum(getattr(photo, name) for photo in counts) for name in ("vivid", "correct"))
    recall = correct / np.maximum(vivid, 1)
    casts = np.array([photo.cast for photo in counts])
    by_category = {
        name: ratio([photo for photo, category in zip(counts, categories, strict=True) if category == name])
        for name in sorted(set(categories))
    }
    return {
        "photographs": len(counts),
        "distance": float(np.mean([photo.distance for photo in counts])),
        "gray_distance": float(np.mean([photo.gray for photo in counts])),
        "distance_ratio": ratio(counts),
        "distance_ratio_by_category": by_category,
        "worst_category": max(by_category.values()),
        "hue_recall": {str(middle): float(value) for middle, value in zip(SECTORS, recall, strict=True)},
        "mean_hue_recall": float(recall.mean()),
        "false_vivid": sum(photo.falsely_vivid for photo in counts) / max(1, sum(photo.dull for photo in counts)),
        "median_cast": float(np.median(np.hypot(*casts.T))),
        "cast": float(np.hypot(*casts.mean(0))),
        "mean_b": float(casts[:, 1].mean()),
        "colorfulness": sum(photo.colorfulness for photo in counts)
        / max(TINY, sum(photo.true_colorfulness for photo in counts)),
    }


def ratio(counts: Sequence[Counts]) -> float:
    """Return the mean distance divided by that of the gray photographs."""
    return sum(photo.distance for photo in counts) / max(TINY, sum(photo.gray for photo in counts))
