"""Patches of an image with holes at one scale: their comparison, the search for similar ones, and voting."""

from __future__ import annotations

import cv2
import numpy as np

from toolbox import check_cancelled

RADIUS = 3
SIDE = 2 * RADIUS + 1
# The weight of a known pixel when patches are compared; that of a lost one is 1.
KNOWN = 2.0
# The weight of a patch is divided by this factor for each pixel that it lies deeper in the hole.
CONFIDENCE = 1.3
CHUNK = 32768


class Scale:
    """An image at one scale, with its lost pixels, and the positions from which patches may be copied.

    Positions are indices of the patches' middles in the flattened image.

    Attributes:
        image: (h * w, C) float32; lost pixels hold their estimates.
        lost: (h, w) bool.
        usable: (h, w) bool, whether a pixel may be copied.
        targets: (n,) positions of all patches that contain a lost pixel.
        valid: (h * w,) bool, whether the patch at a position may be copied.
        offsets: (49,) offsets in the flattened image from a middle to the pixels of its patch.
    """

    def __init__(self, values: np.ndarray, lost: np.ndarray, forbidden: np.ndarray) -> None:
        """Take `values` (h, w, C) float32, which of them are `lost`, and which are `forbidden` to copy."""
        self.height, self.width = lost.shape
        self.image = np.ascontiguousarray(values, np.float32).reshape(lost.size, -1)
        self.lost = lost
        self.usable = ~(lost | forbidden)
        kernel = np.ones((SIDE, SIDE), np.uint8)
        inner = np.zeros(lost.shape, bool)
        inner[RADIUS : self.height - RADIUS, RADIUS : self.width - RADIUS] = True
        near = cv2.dilate(lost.view(np.uint8), kernel).view(bool)
        self.targets = np.flatnonzero(near & inner)
        fully_usable = cv2.erode(self.usable.view(np.uint8), kernel).view(bool)
        self.valid = (fully_usable & inner).ravel()
        axis = np.arange(-RADIUS, RADIUS + 1)
        self.offsets = (axis[:, None] * self.width + axis).ravel()

    def depth(self) -> np.ndarray:
        """Return the distance of each pixel from the nearest known one in pixels, (h, w)."""
        return cv2.distanceTransform(self.lost.view(np.uint8), cv2.DIST_L2, 3)

    def patches(self, middles: np.ndarray) -> np.ndarray:
        """Return the patches (n, 49 * C) around `middles`."""
        return self.image.take(middles[:, None] + self.offsets, axis=0).reshape(len(middles), -1)

    def weights(self, middles: np.ndarray) -> np.ndarray:
        """Return the square roots of the pixels' weights (n, 49 * C); their squares sum to C in each patch."""
        lost = self.lost.ravel().take(middles[:, None] + self.offsets)
        weight = np.where(lost, np.float32(1), np.float32(KNOWN))
        weight = np.sqrt(weight / weight.sum(1, keepdims=True))
        return np.repeat(weight, self.image.shape[1], axis=1)

    def cost(self, sources: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the weighted mean square difference, (n,), of targets (all, or `rows`) from their source patches."""
        targets = self.targets if rows is None else self.targets[rows]
        costs = np.empty(len(targets), np.float32)
        for start in range(0, len(targets), CHUNK):
            check_cancelled()
            part = slice(start, start + CHUNK)
            differences = self.patches(targets[part])
            differences -= self.patches(sources[part])
            differences *= self.weights(targets[part])
            costs[part] = np.einsum("nk,nk->n", differences, differences)
        return costs

    def search(self, sources: np.ndarray, random: np.random.Generator, radius: int) -> np.ndarray:
        """Return better sources (n,) for the targets: those of neighbours and random ones within `radius` pixels.

        Reference: Barnes et al., "PatchMatch", SIGGRAPH 2009; neighbours at 4, 2 and 1 pixels replace its scan.
        """
        sources, best = sources.copy(), self.cost(sources)
        size = self.lost.size
        number = np.full(size, -1)
        number[self.targets] = np.arange(len(self.targets))
        for step in (4, 2, 1):
            for move in (step, -step, step * self.width, -step * self.width):
                beside = self.targets + move
                neighbour_rows = np.where((beside >= 0) & (beside < size), number[beside.clip(0, size - 1)], -1)
                self._try(sources, best, np.where(neighbour_rows >= 0, sources[neighbour_rows] - move, -1))
        while radius >= 1:
            moves = random.integers(-radius, radius + 1, (2, len(sources)))
            y = (sources // self.width + moves[0]).clip(0, self.height - 1)
            x = (sources % self.width + moves[1]).clip(0, self.width - 1)
            self._try(sources, best, y * self.width + x)
            radius //= 2
        return sources

    def _try(self, sources: np.ndarray, best: np.ndarray, candidates: np.ndarray) -> None:
        inside = (candidates >= 0) & (candidates < self.lost.size) & (candidates != sources)
        rows = np.flatnonzero(inside & self.valid[candidates.clip(0, self.lost.size - 1)])
        if len(rows):
            cost = self.cost(candidates[rows], rows)
            better = cost < best[rows]
            sources[rows[better]], best[rows[better]] = candidates[rows[better]], cost[better]

    def vote(self, sources: np.ndarray, best: np.ndarray | None = None) -> None:
        """Set each lost pixel to the weighted mean of the patches over it; similar and outer patches count more.

        Reference: Wexler et al., "Space-Time Completion of Video", PAMI 2007.
        """
        trust = CONFIDENCE ** -self.depth().ravel()[self.targets].clip(0, 20)
        if best is not None:
            trust = trust * np.exp(-best / max(float(np.percentile(best, 75)), 1e-3)) + 1e-8
        size = self.lost.size
        total, sums = np.zeros(size), np.zeros((self.image.shape[1], size))
        flat = self.lost.ravel()
        for start in range(0, len(sources), CHUNK):
            targets, part = self.targets[start : start + CHUNK], slice(start, start + CHUNK)
            pixels = targets[:, None] + self.offsets
            rows, columns = np.nonzero(flat[pixels])
            voted_pixels, weight = pixels[rows, columns], trust[part][rows]
            votes = self.image[sources[part][rows] + self.offsets[columns]]
            total += np.bincount(voted_pixels, weight, size)
            for channel in range(len(sums)):
                sums[channel] += np.bincount(voted_pixels, weight * votes[:, channel], size)
        voted = flat & (total > 0)
        self.image[voted] = (sums[:, voted] / total[voted]).T


def upsample_sources(coarse: Scale, sources: np.ndarray, fine: Scale) -> np.ndarray:
    """Return sources for the targets of a scale of twice the size, by the same offsets."""
    table = np.full(coarse.lost.size, -1)
    table[coarse.targets] = sources
    y, x = np.divmod(fine.targets, fine.width)
    coarse_y = (y // 2).clip(RADIUS, coarse.height - RADIUS - 1)
    coarse_x = (x // 2).clip(RADIUS, coarse.width - RADIUS - 1)
    source_y, source_x = np.divmod(table[coarse_y * coarse.width + coarse_x], coarse.width)
    return nearest_valid_patches(fine, 2 * source_y + y - 2 * coarse_y, 2 * source_x + x - 2 * coarse_x)


def nearest_valid_patches(scale: Scale, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the positions (n,) of the valid patches nearest to rows `y` and columns `x`."""
    indices = y.clip(0, scale.height - 1) * scale.width + x.clip(0, scale.width - 1)
    invalid = ~scale.valid[indices]
    if invalid.any():
        blocked = (~scale.valid).astype(np.uint8).reshape(scale.lost.shape)
        _, nearest_labels = cv2.distanceTransformWithLabels(blocked, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
        valid = np.flatnonzero(scale.valid)
        table = np.zeros(int(nearest_labels.max()) + 1, np.int64)
        table[nearest_labels.ravel()[valid]] = valid
        indices[invalid] = table[nearest_labels.ravel()[indices[invalid]]]
    return indices
