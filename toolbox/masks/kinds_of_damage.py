"""Which kind of damage each pixel of a detection has, in numbers, in words and in colours."""

from __future__ import annotations

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


def shares(detection: Detection) -> dict[str, float]:
    """Return the fraction of the photograph that each kind covers; kinds that are not found are left out."""
    counts = np.bincount(label(detection).ravel(), minlength=len(detection.probabilities) + 1)[1:]
    return {
        kind: float(count) / detection.mask.size
        for kind, count in zip(detection.probabilities, counts, strict=True)
        if count
    }


def describe(fractions: dict[str, float]) -> str:
    """Return the shares in words, the largest first, as "damage: scratch 0.82 %, dust 0.05 %"."""
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
