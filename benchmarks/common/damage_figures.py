"""The damage that was found, compared with the true damage: precision, recall and F1 of pixels, with a tolerance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.masks.sources import grow_mask

# A pixel counts as right if one of the other mask is this near, in pixels.
TOLERANCE = 2


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of pixels: found and right, found, damaged and found, damaged."""

    right: int = 0
    found: int = 0
    recalled: int = 0
    there: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return the sums."""
        return Counts(
            right=self.right + other.right,
            found=self.found + other.found,
            recalled=self.recalled + other.recalled,
            there=self.there + other.there,
        )

    def figures(self) -> dict[str, float]:
        """Return precision, recall and F1; 0 if nothing is right."""
        precision, recall = self.right / max(1, self.found), self.recalled / max(1, self.there)
        f1 = 2 * precision * recall / (precision + recall) if self.right else 0.0
        return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}


def compare(found: np.ndarray, there: np.ndarray, ignored: np.ndarray | None = None) -> Counts:
    """Compare two masks (H, W) bool; pixels of `ignored` count neither as found nor as there."""
    if ignored is not None:
        found, there = found & ~ignored, there & ~ignored
    return Counts(
        right=int((found & grow_mask(there, TOLERANCE)).sum()),
        found=int(found.sum()),
        recalled=int((there & grow_mask(found, TOLERANCE)).sum()),
        there=int(there.sum()),
    )


def draw_labels(size: tuple[int, int], labels: Iterable[Mapping[str, object]]) -> dict[str, np.ndarray]:
    """Return a mask (H, W) bool of each kind from labels by hand.

    A label has a kind and points [x, y]: of a line, with its width in pixels; of a disc, with its radius; or of an
    outline.
    """
    masks: dict[str, np.ndarray] = {}
    for entry in labels:
        points = np.array(entry["points"], np.int32)
        canvas = masks.setdefault(str(entry["kind"]), np.zeros(size, np.uint8))
        if "width" in entry:
            cv2.polylines(canvas, [points], False, 1, int(str(entry["width"])))
        elif "radius" in entry:
            cv2.circle(canvas, points[0].tolist(), int(str(entry["radius"])), 1, -1)
        else:
            cv2.fillPoly(canvas, [points], 1)
    return {kind: mask > 0 for kind, mask in masks.items()}


def alarms(fractions: Sequence[float]) -> dict[str, float]:
    """Return what is marked in sound photographs: the mean in percent, and how many of 100 have over 0.5 %."""
    return {
        "mean_percent": round(100 * float(np.mean(fractions)), 4),
        "over_half_percent_of_100": round(100 * float(np.mean(np.array(fractions) > 0.005)), 2),
        "photographs": len(fractions),
    }
