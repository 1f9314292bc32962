"""What it costs to copy a lost pixel by an offset: misfits at the hole's border, and seams between two offsets."""

from __future__ import annotations

import cv2
import numpy as np

from toolbox.smooth_fill import fill_array

from .patches import Scale

NEVER = np.float32(1e7)
UNMATCHED = np.float32(1e4)
WINDOW = 5
# A misfit at the border costs so many times as much as one along a seam.
WEIGHT = 2
# What is added to the contrast that differences are compared with, in levels.
LEAST_CONTRAST = 6


def border_costs(scale: Scale, shifts: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return how badly the known pixels around each lost one fit those at each offset, (n, K)."""
    height, width = scale.height, scale.width
    image = scale.image.reshape(height, width, -1)
    known = ~scale.lost
    costs = np.empty((len(lost), len(shifts)), np.float32)
    around, rough = _box(known), contrast(scale)
    for number, (down, across) in enumerate(shifts):
        rows = slice(max(0, -down), min(height, height - down))
        columns = slice(max(0, -across), min(width, width - across))
        there = slice(rows.start + down, rows.stop + down), slice(columns.start + across, columns.stop + across)
        seen = np.zeros((height, width), bool)
        seen[rows, columns] = known[rows, columns] & scale.usable[there]
        apart = np.zeros((height, width), np.float32)
        apart[rows, columns] = np.linalg.norm(image[rows, columns] - image[there], axis=2) / (
            rough[rows, columns] + rough[there] + 2 * LEAST_CONTRAST
        )
        compared = _box(seen)
        cost = _box(apart * seen) / np.maximum(compared, 1) * around * (WEIGHT / WINDOW)
        cost[(compared == 0) & (around > 0)] = UNMATCHED
        costs[:, number] = cost.ravel()[lost]
    return costs


def contrast(scale: Scale) -> np.ndarray:
    """Return the deviation of the known values around each pixel, the mean of the channels, (h, w)."""
    known = ~scale.lost
    image = scale.image.reshape(scale.height, scale.width, -1)
    share = np.maximum(_box(known), 1)[..., None]
    mean = _box(image * known[..., None]) / share
    variance = _box(image**2 * known[..., None]) / share - mean**2
    return np.sqrt(np.maximum(variance, 0)).mean(2)


def _box(values: np.ndarray) -> np.ndarray:
    window = (WINDOW, WINDOW)
    sums = cv2.boxFilter(values.astype(np.float32), -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return sums.reshape(values.shape)


def seam_costs(scale: Scale, sources: np.ndarray) -> np.ndarray:
    """Return how much the copies by each two offsets differ at each lost pixel, (n, K, K)."""
    image = scale.image.reshape(scale.height, scale.width, -1)
    even = fill_array(image, ~scale.lost)
    across, down = np.zeros_like(even), np.zeros_like(even)
    across[:, 1:] = even[:, 1:] - even[:, :-1]
    down[1:] = even[1:] - even[:-1]
    copies = np.concatenate([even, across, down], axis=2).reshape(scale.lost.size, -1)[sources]
    rough = contrast(scale).ravel()[sources]
    squares = np.square(copies).sum(2)
    seams = squares[:, :, None] + squares[:, None, :] - 2 * copies @ copies.transpose(0, 2, 1)
    np.sqrt(np.maximum(seams, 0, out=seams), out=seams)
    # Against the contrast of both, since else what is flat wins everywhere: its seams are the faintest.
    seams /= rough[:, :, None] + rough[:, None, :] + 2 * LEAST_CONTRAST
    return seams
