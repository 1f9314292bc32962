"""The cost of copying a lost pixel by an offset: differences at the hole's border, and seams between two offsets."""

from __future__ import annotations

import cv2
import numpy as np

from toolbox.smooth_fill import fill_array

from .patches import Scale

NEVER = np.float32(1e7)
UNMATCHED = np.float32(1e4)
WINDOW = 5
# Weight of a difference at the border; that of one along a seam is 1.
BORDER_WEIGHT = 2
# Added to the contrast by which differences are divided, in levels of 0 to 255.
MIN_CONTRAST = 6


def border_costs(scale: Scale, shifts: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return how much the known pixels around each lost one differ from those at each offset, (n, K)."""
    height, width = scale.height, scale.width
    image = scale.image.reshape(height, width, -1)
    known = ~scale.lost
    costs = np.empty((len(lost), len(shifts)), np.float32)
    known_neighbours, contrasts = _box(known), contrast(scale)
    for number, (down, across) in enumerate(shifts):
        rows = slice(max(0, -down), min(height, height - down))
        columns = slice(max(0, -across), min(width, width - across))
        shifted = slice(rows.start + down, rows.stop + down), slice(columns.start + across, columns.stop + across)
        comparable = np.zeros((height, width), bool)
        comparable[rows, columns] = known[rows, columns] & scale.usable[shifted]
        differences = np.zeros((height, width), np.float32)
        differences[rows, columns] = np.linalg.norm(image[rows, columns] - image[shifted], axis=2) / (
            contrasts[rows, columns] + contrasts[shifted] + 2 * MIN_CONTRAST
        )
        compared = _box(comparable)
        cost = _box(differences * comparable) / np.maximum(compared, 1) * known_neighbours * (BORDER_WEIGHT / WINDOW)
        cost[(compared == 0) & (known_neighbours > 0)] = UNMATCHED
        costs[:, number] = cost.ravel()[lost]
    return costs


def contrast(scale: Scale) -> np.ndarray:
    """Return the standard deviation of the known values around each pixel, averaged over the channels, (h, w)."""
    known = ~scale.lost
    image = scale.image.reshape(scale.height, scale.width, -1)
    known_count = np.maximum(_box(known), 1)[..., None]
    mean = _box(image * known[..., None]) / known_count
    variance = _box(image**2 * known[..., None]) / known_count - mean**2
    return np.sqrt(np.maximum(variance, 0)).mean(2)


def _box(values: np.ndarray) -> np.ndarray:
    window = (WINDOW, WINDOW)
    sums = cv2.boxFilter(values.astype(np.float32), -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return sums.reshape(values.shape)


def seam_costs(scale: Scale, sources: np.ndarray) -> np.ndarray:
    """Return how much the copies by each pair of offsets differ at each lost pixel, (n, K, K)."""
    image = scale.image.reshape(scale.height, scale.width, -1)
    filled = fill_array(image, ~scale.lost)
    across, down = np.zeros_like(filled), np.zeros_like(filled)
    across[:, 1:] = filled[:, 1:] - filled[:, :-1]
    down[1:] = filled[1:] - filled[:-1]
    copies = np.concatenate([filled, across, down], axis=2).reshape(scale.lost.size, -1)[sources]
    contrasts = contrast(scale).ravel()[sources]
    squares = np.square(copies).sum(2)
    seams = squares[:, :, None] + squares[:, None, :] - 2 * copies @ copies.transpose(0, 2, 1)
    np.sqrt(np.maximum(seams, 0, out=seams), out=seams)
    # Divided by the contrast of both copies: otherwise flat content would always be chosen, since its seams are the
    # faintest.
    seams /= contrasts[:, :, None] + contrasts[:, None, :] + 2 * MIN_CONTRAST
    return seams
