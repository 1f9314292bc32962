"""Which kind of damage each pixel of a detection has, in numbers, in words and in colours."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from toolbox.hooks.protocols import Detection

# Colours (R, G, B) of the kinds in a preview, in the order of a detection's probabilities; they repeat after the last.
COLORS = ((255, 60, 60), (255, 210, 0), (0, 170, 255), (60, 220, 60), (255, 0, 255), (255, 140, 0), (0, 220, 220))


def label(detection: Detection) -> np.ndarray:
    """Return the most probable kind of each pixel of the mask, (H, W) uint8: 0 outside, else its number from 1."""
    best = np.full(detection.mask.shape, -1, np.float32)
    labels = np.zeros(detection.mask.shape, np.uint8)
    for number, probability in enumerate(detection.probabilities.values(), 1):
        labels[probability > best] = number
        np.maximum(best, probability, out=best)
    labels[~detection.mask] = 0
    return labels


def label_groups(detection: Detection) -> np.ndarray:
    """Return the kind of each pixel, (H, W) uint8 as `label`, but that of most pixels of its connected group."""
    return group_labels(label(detection))[0]


def group_labels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the kind of each group's pixels, the number of each pixel's group, and the pixels of each group by kind.

    Args:
        labels: (H, W) uint8, the number of the kind of each pixel, 0 where there is no damage.

    Returns:
        (H, W) uint8; (H, W) int32, from 1, 0 where there is no damage; (groups + 1, kinds + 1) int64.
    """
    damaged = labels > 0
    count, components = cv2.connectedComponents(damaged.astype(np.uint8), connectivity=8)
    groups = np.asarray(components)
    tally = np.zeros((count, int(labels.max()) + 1), np.int64)
    np.add.at(tally, (groups[damaged].astype(np.int64), labels[damaged]), 1)
    kinds = tally.argmax(1).astype(np.uint8)
    return kinds[groups], groups, tally


def shares(detection: Detection) -> dict[str, float]:
    """Return the fraction of the photograph that each kind covers; kinds that are not found are left out."""
    counts = np.bincount(label(detection).ravel(), minlength=len(detection.probabilities) + 1)[1:]
    return {
        kind: float(count) / detection.mask.size
        for kind, count in zip(detection.probabilities, counts, strict=True)
        if count
    }


def describe(fractions: Mapping[str, float]) -> str:
    """Return the shares in words, the largest first, such as "damage: scratch 0.82 %, dust 0.05 %"."""
    ordered = sorted(fractions.items(), key=lambda item: -item[1])
    return "damage: " + (", ".join(f"{kind} {100 * share:.2f} %" for kind, share in ordered) or "none found")


def paint(rgb: np.ndarray, detection: Detection) -> np.ndarray:
    """Return the photograph (H, W, 3) uint8 in gray, with each kind in its colour of `COLORS`."""
    gray = rgb.mean(axis=2).astype(np.uint8)
    labels = label(detection)
    painted = np.repeat(gray[..., None], 3, axis=2)
    for number in range(1, len(detection.probabilities) + 1):
        painted[labels == number] = COLORS[(number - 1) % len(COLORS)]
    return painted
