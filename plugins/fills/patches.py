"""Patches of an image with holes at one scale: which resemble each other, and what they say of the lost pixels."""

from __future__ import annotations

import cv2
import numpy as np

RADIUS = 3
SIDE = 2 * RADIUS + 1
# A known pixel counts so many times as much as a lost one when patches are compared.
KNOWN = 2.0
# A patch deeper in the hole by a pixel is trusted less by this factor.
CONFIDENCE = 1.3
CHUNK = 32768


class Scale:
    """An image at one scale, with what is lost in it and where patches may be copied from.

    Positions are indices of patches' middles in the flattened image.

    Attributes:
        image: (h * w, C) float32; the lost pixels hold what is thought of them.
        lost: (h, w) bool.
        usable: (h, w) bool, the pixels that may be copied.
        targets: (n,) positions of all patches with a lost pixel in them.
        valid: (h * w,) bool, the positions of patches that may be copied.
        offsets: (49,) from a middle to its patch's pixels.
    """

    def __init__(self, values: np.ndarray, lost: np.ndarray, barred: np.ndarray) -> None:
        """Take `values` (h, w, C) float32, where they are `lost`, and where they are `barred` from being copied."""
        self.height, self.width = lost.shape
        self.image = np.ascontiguousarray(values, np.float32).reshape(lost.size, -1)
        self.lost = lost
        self.usable = ~(lost | barred)
        kernel = np.ones((SIDE, SIDE), np.uint8)
        inner = np.zeros(lost.shape, bool)
        inner[RADIUS : self.height - RADIUS, RADIUS : self.width - RADIUS] = True
        near = cv2.dilate(lost.view(np.uint8), kernel).view(bool)
        self.targets = np.flatnonzero(near & inner)
        whole = cv2.erode(self.usable.view(np.uint8), kernel).view(bool)
        self.valid = (whole & inner).ravel()
        axis = np.arange(-RADIUS, RADIUS + 1)
        self.offsets = (axis[:, None] * self.width + axis).ravel()

    def depth(self) -> np.ndarray:
        """Return how far each pixel is from a known one, (h, w)."""
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

    def cost(self, sources: np.ndarray, which: np.ndarray | None = None) -> np.ndarray:
        """Return the weighted mean square difference of each target, or of `which`, from the patch at its source."""
        targets = self.targets if which is None else self.targets[which]
        found = np.empty(len(targets), np.float32)
        for start in range(0, len(targets), CHUNK):
            part = slice(start, start + CHUNK)
            apart = self.patches(targets[part])
            apart -= self.patches(sources[part])
            apart *= self.weights(targets[part])
            found[part] = np.einsum("nk,nk->n", apart, apart)
        return found

    def search(self, sources: np.ndarray, random: np.random.Generator, radius: int) -> np.ndarray:
        """Return better sources (n,) for the targets: those of neighbours, and random ones within `radius` pixels.

        Reference: Barnes et al., "PatchMatch", SIGGRAPH 2009; neighbours 4, 2 and 1 pixels away stand for its scan.
        """
        sources, best = sources.copy(), self.cost(sources)
        size = self.lost.size
        number = np.full(size, -1)
        number[self.targets] = np.arange(len(self.targets))
        for step in (4, 2, 1):
            for move in (step, -step, step * self.width, -step * self.width):
                beside = self.targets + move
                there = np.where((beside >= 0) & (beside < size), number[beside.clip(0, size - 1)], -1)
                self._try(sources, best, np.where(there >= 0, sources[there] - move, -1))
        while radius >= 1:
            moves = random.integers(-radius, radius + 1, (2, len(sources)))
            y = (sources // self.width + moves[0]).clip(0, self.height - 1)
            x = (sources % self.width + moves[1]).clip(0, self.width - 1)
            self._try(sources, best, y * self.width + x)
            radius //= 2
        return sources

    def _try(self, sources: np.ndarray, best: np.ndarray, others: np.ndarray) -> None:
        inside = (others >= 0) & (others < self.lost.size) & (others != sources)
        which = np.flatnonzero(inside & self.valid[others.clip(0, self.lost.size - 1)])
        if len(which):
            cost = self.cost(others[which], which)
            better = cost < best[which]
            sources[which[better]], best[which[better]] = others[which[better]], cost[better]

    def vote(self, sources: np.ndarray, best: np.ndarray | None = None) -> None:
        """Set each lost pixel to the mean of what the patches over it say; good and outer ones count more.

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
            here, weight = pixels[rows, columns], trust[part][rows]
            said = self.image[sources[part][rows] + self.offsets[columns]]
            total += np.bincount(here, weight, size)
            for channel in range(len(sums)):
                sums[channel] += np.bincount(here, weight * said[:, channel], size)
        told = flat & (total > 0)
        self.image[told] = (sums[:, told] / total[told]).T


def carried(coarse: Scale, sources: np.ndarray, fine: Scale) -> np.ndarray:
    """Return sources for the targets of a scale of twice the size: the same places, and what lies beside them."""
    table = np.full(coarse.lost.size, -1)
    table[coarse.targets] = sources
    y, x = np.divmod(fine.targets, fine.width)
    up = (y // 2).clip(RADIUS, coarse.height - RADIUS - 1)
    across = (x // 2).clip(RADIUS, coarse.width - RADIUS - 1)
    source_y, source_x = np.divmod(table[up * coarse.width + across], coarse.width)
    found = 2 * source_y + (y - 2 * up), 2 * source_x + (x - 2 * across)
    return nearest_valid(fine, found[0], found[1])


def nearest_valid(scale: Scale, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the positions (n,) of the valid patches nearest to rows `y` and columns `x`."""
    places = y.clip(0, scale.height - 1) * scale.width + x.clip(0, scale.width - 1)
    wrong = ~scale.valid[places]
    if wrong.any():
        blocked = (~scale.valid).astype(np.uint8).reshape(scale.lost.shape)
        _, names = cv2.distanceTransformWithLabels(blocked, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
        valid = np.flatnonzero(scale.valid)
        table = np.zeros(int(names.max()) + 1, np.int64)
        table[names.ravel()[valid]] = valid
        places[wrong] = table[names.ravel()[places[wrong]]]
    return places
