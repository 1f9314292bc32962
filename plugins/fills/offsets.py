"""Find the offsets by which a hole may be copied from the rest of the image."""

from __future__ import annotations

import cv2
import numpy as np

from .costs import UNMATCHED, border_costs
from .patches import Scale

# How many offsets are looked at of the best matches at the hole's border, how many of them are taken, how many for each
# of so many places deep in the hole of those that reach it, and how many of the best matches among known patches.
LOOKED_AT = 160
BORDER = 18
PLACES = 4
ACROSS = 5
DOMINANT = 12
# Patches that are matched, at the border and among the known ones, and patches that they are matched with.
TARGETS = 400
SAMPLES = 1200
SOURCES = 16_000


def offsets(scale: Scale, lost: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the offsets (K, 2), rows and columns, that fit the border of the `lost` pixels or are frequent."""
    sources = np.flatnonzero(scale.valid)
    if len(sources) > SOURCES:
        sources = np.sort(random.choice(sources, SOURCES, replace=False))
    patches = scale.patches(sources)
    squares = np.square(patches)
    found = [_frequent(scale, sources, patches, squares, random)]
    known = ~scale.lost.ravel()[scale.targets[:, None] + scale.offsets]
    some = np.flatnonzero((known.mean(1) > 0.4) & (known.mean(1) < 0.95))
    some = some[:: -(-len(some) // TARGETS) or 1]
    if len(some):
        targets = scale.targets[some]
        seen = np.repeat(known[some].astype(np.float32), scale.image.shape[1], axis=1)
        apart = seen @ squares.T - 2 * (seen * scale.patches(targets)) @ patches.T
        found.append(_fitting(scale, _peaks(scale, targets, sources[apart.argmin(1)], LOOKED_AT), lost, BORDER))
        for place in _places(scale, lost):
            far = np.where(_reaching(scale, targets, sources, place), apart, np.inf)
            rows = np.isfinite(far).any(1)
            best = sources[far[rows].argmin(1)]
            found.append(_fitting(scale, _peaks(scale, targets[rows], best, LOOKED_AT // PLACES), lost, ACROSS))
    return np.unique(np.concatenate(found), axis=0)


def _places(scale: Scale, lost: np.ndarray) -> list[int]:
    """Return positions deep in the hole, far from each other."""
    depth = scale.depth().ravel()[lost]
    deep = lost[depth >= 0.6 * depth.max()]
    chosen = [int(lost[depth.argmax()])]
    y, x = np.divmod(deep, scale.width)
    away = np.full(len(deep), np.inf)
    while len(chosen) < min(PLACES, len(deep)):
        last = divmod(chosen[-1], scale.width)
        away = np.minimum(away, np.hypot(y - last[0], x - last[1]))
        chosen.append(int(deep[away.argmax()]))
    return chosen


def _reaching(scale: Scale, targets: np.ndarray, sources: np.ndarray, place: int) -> np.ndarray:
    """Return which offsets from targets to sources lead from `place` to a usable pixel, (n, m) bool."""
    usable = np.zeros((3 * scale.height, 3 * scale.width), bool)
    usable[scale.height : 2 * scale.height, scale.width : 2 * scale.width] = scale.usable
    y, x = divmod(place, scale.width)
    # Both terms of the sum lie within one image of the middle one.
    to = (sources // scale.width + y + scale.height) * 3 * scale.width + sources % scale.width + x + scale.width
    start = (targets // scale.width) * 3 * scale.width + targets % scale.width
    return usable.ravel().take(to - start[:, None])


def _frequent(
    scale: Scale, sources: np.ndarray, patches: np.ndarray, squares: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Return the offsets (K, 2) that are most frequent among the best matches of known patches not close by."""
    chosen = np.arange(len(sources))
    if len(chosen) > SAMPLES:
        chosen = random.choice(len(sources), SAMPLES, replace=False)
    apart = squares.sum(1) - 2 * patches[chosen] @ patches.T
    y, x = np.divmod(sources, scale.width)
    near = max(4, max(scale.height, scale.width) / 15)
    apart[(np.abs(y[chosen, None] - y) < near) & (np.abs(x[chosen, None] - x) < near)] = np.inf
    here, there = sources[chosen], sources[apart.argmin(1)]
    return _peaks(scale, np.concatenate([here, there]), np.concatenate([there, here]), DOMINANT)


def _fitting(scale: Scale, shifts: np.ndarray, lost: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of the offsets (K, 2): one by one, the one that most betters the fit along the border."""
    costs = border_costs(scale, shifts, lost)
    costs = np.minimum(costs[(costs > 0).any(1)], UNMATCHED)
    best = np.full(len(costs), UNMATCHED)
    chosen: list[int] = []
    while len(chosen) < min(most, len(shifts)):
        gain = (best[:, None] - np.minimum(costs, best[:, None])).sum(0)
        if gain.max(initial=0) <= 0:
            break
        chosen.append(int(gain.argmax()))
        best = np.minimum(best, costs[:, chosen[-1]])
    return shifts[chosen]


def _peaks(scale: Scale, targets: np.ndarray, sources: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` highest peaks (n, 2) of the offsets' histogram, slightly blurred."""
    down = sources // scale.width - targets // scale.width + scale.height
    across = sources % scale.width - targets % scale.width + scale.width
    histogram = np.zeros((2 * scale.height + 1, 2 * scale.width + 1), np.float32)
    np.add.at(histogram, (down, across), 1)
    blurred = cv2.GaussianBlur(histogram, (0, 0), 1.0)
    peak = (blurred == cv2.dilate(blurred, np.ones((3, 3), np.uint8))) & (histogram > 0)
    rows, columns = np.nonzero(peak)
    order = np.argsort(-blurred[rows, columns], kind="stable")[:count]
    return np.stack([rows[order] - scale.height, columns[order] - scale.width], axis=1)


def covering(
    scale: Scale, shifts: np.ndarray, y: np.ndarray, x: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return offsets (K, 2) by which every lost pixel at `y`, `x` can be copied, sources (n, K), which are allowed."""
    usable = np.flatnonzero(scale.usable.ravel())

    def reached(shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        down, across = y[:, None] + shifts[:, 0], x[:, None] + shifts[:, 1]
        inside = (down >= 0) & (down < scale.height) & (across >= 0) & (across < scale.width)
        places = np.where(inside, down * scale.width + across, 0)
        return places, inside & scale.usable.ravel()[places]

    places, allowed = reached(shifts)
    for attempt in range(200):
        few = np.flatnonzero(allowed.sum(1) < (3 if attempt < 40 else 1))
        if not len(few):
            break
        pixel = few[random.integers(len(few))]
        rows, columns = np.divmod(usable[random.integers(len(usable), size=200)], scale.width)
        near = np.argsort(np.hypot(rows - y[pixel], columns - x[pixel]), kind="stable")[random.integers(20)]
        more = np.array([[rows[near] - y[pixel], columns[near] - x[pixel]]])
        one, other = reached(more)
        shifts = np.concatenate([shifts, more])
        places, allowed = np.concatenate([places, one], axis=1), np.concatenate([allowed, other], axis=1)
    return shifts, places, allowed
