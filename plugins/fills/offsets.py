"""Find the offsets by which a hole may be copied from the rest of the image."""

from __future__ import annotations

import cv2
import numpy as np

from .costs import UNMATCHED, border_costs
from .patches import Scale

# Number of offsets: candidates from the best matches at the hole's border, and those chosen of them; positions deep in
# the hole, and offsets chosen for each, which lead from it to a usable pixel; offsets from matches of known patches.
CANDIDATES = 160
BORDER_OFFSETS = 18
DEEP_POSITIONS = 4
DEEP_OFFSETS = 5
DOMINANT_OFFSETS = 12
# Number of patches that are matched, at the border and among the known ones, and of those that they are compared with.
TARGETS = 400
SAMPLES = 1200
SOURCES = 16_000


def offsets(scale: Scale, lost: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the offsets (K, 2), (rows, columns), that fit the border of the hole or are frequent in the image."""
    sources = np.flatnonzero(scale.valid)
    if len(sources) > SOURCES:
        sources = np.sort(random.choice(sources, SOURCES, replace=False))
    patches = scale.patches(sources)
    squares = np.square(patches)
    candidates = [_dominant_offsets(scale, sources, patches, squares, random)]
    known = ~scale.lost.ravel()[scale.targets[:, None] + scale.offsets]
    border_targets = np.flatnonzero((known.mean(1) > 0.4) & (known.mean(1) < 0.95))
    border_targets = border_targets[:: -(-len(border_targets) // TARGETS) or 1]
    if len(border_targets):
        targets = scale.targets[border_targets]
        known_values = np.repeat(known[border_targets].astype(np.float32), scale.image.shape[1], axis=1)
        distances = known_values @ squares.T - 2 * (known_values * scale.patches(targets)) @ patches.T
        candidates.append(
            _select_offsets(
                scale, _histogram_peaks(scale, targets, sources[distances.argmin(1)], CANDIDATES), lost, BORDER_OFFSETS
            )
        )
        for position in _deep_positions(scale, lost):
            reaching_distances = np.where(_reaches(scale, targets, sources, position), distances, np.inf)
            rows = np.isfinite(reaching_distances).any(1)
            best = sources[reaching_distances[rows].argmin(1)]
            candidates.append(
                _select_offsets(
                    scale,
                    _histogram_peaks(scale, targets[rows], best, CANDIDATES // DEEP_POSITIONS),
                    lost,
                    DEEP_OFFSETS,
                )
            )
    return np.unique(np.concatenate(candidates), axis=0)


def _deep_positions(scale: Scale, lost: np.ndarray) -> list[int]:
    """Return positions deep in the hole, far from each other."""
    depth = scale.depth().ravel()[lost]
    deep_pixels = lost[depth >= 0.6 * depth.max()]
    chosen = [int(lost[depth.argmax()])]
    y, x = np.divmod(deep_pixels, scale.width)
    distance_to_chosen = np.full(len(deep_pixels), np.inf)
    while len(chosen) < min(DEEP_POSITIONS, len(deep_pixels)):
        latest = divmod(chosen[-1], scale.width)
        distance_to_chosen = np.minimum(distance_to_chosen, np.hypot(y - latest[0], x - latest[1]))
        chosen.append(int(deep_pixels[distance_to_chosen.argmax()]))
    return chosen


def _reaches(scale: Scale, targets: np.ndarray, sources: np.ndarray, position: int) -> np.ndarray:
    """Return whether each offset from target to source leads from `position` to a usable pixel, (n, m)."""
    usable = np.zeros((3 * scale.height, 3 * scale.width), bool)
    usable[scale.height : 2 * scale.height, scale.width : 2 * scale.width] = scale.usable
    y, x = divmod(position, scale.width)
    # Both terms of the sum lie within one image of the middle one.
    to = (sources // scale.width + y + scale.height) * 3 * scale.width + sources % scale.width + x + scale.width
    start = (targets // scale.width) * 3 * scale.width + targets % scale.width
    return usable.ravel().take(to - start[:, None])


def _dominant_offsets(
    scale: Scale, sources: np.ndarray, patches: np.ndarray, squares: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Return the offsets (K, 2) longer than a limit that are most frequent among the best matches of known patches."""
    chosen = np.arange(len(sources))
    if len(chosen) > SAMPLES:
        chosen = random.choice(len(sources), SAMPLES, replace=False)
    distances = squares.sum(1) - 2 * patches[chosen] @ patches.T
    y, x = np.divmod(sources, scale.width)
    min_length = max(4, max(scale.height, scale.width) / 15)
    distances[(np.abs(y[chosen, None] - y) < min_length) & (np.abs(x[chosen, None] - x) < min_length)] = np.inf
    targets, matches = sources[chosen], sources[distances.argmin(1)]
    return _histogram_peaks(
        scale, np.concatenate([targets, matches]), np.concatenate([matches, targets]), DOMINANT_OFFSETS
    )


def _select_offsets(scale: Scale, shifts: np.ndarray, lost: np.ndarray, max_count: int) -> np.ndarray:
    """Return at most `max_count` of the offsets (K, 2): greedily those that most improve the fit along the border."""
    costs = border_costs(scale, shifts, lost)
    costs = np.minimum(costs[(costs > 0).any(1)], UNMATCHED)
    best = np.full(len(costs), UNMATCHED)
    chosen: list[int] = []
    while len(chosen) < min(max_count, len(shifts)):
        gain = (best[:, None] - np.minimum(costs, best[:, None])).sum(0)
        if gain.max(initial=0) <= 0:
            break
        chosen.append(int(gain.argmax()))
        best = np.minimum(best, costs[:, chosen[-1]])
    return shifts[chosen]


def _histogram_peaks(scale: Scale, targets: np.ndarray, sources: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` highest peaks (n, 2) of the slightly blurred histogram of offsets."""
    down = sources // scale.width - targets // scale.width + scale.height
    across = sources % scale.width - targets % scale.width + scale.width
    histogram = np.zeros((2 * scale.height + 1, 2 * scale.width + 1), np.float32)
    np.add.at(histogram, (down, across), 1)
    blurred = cv2.GaussianBlur(histogram, (0, 0), 1.0)
    peak = (blurred == cv2.dilate(blurred, np.ones((3, 3), np.uint8))) & (histogram > 0)
    rows, columns = np.nonzero(peak)
    order = np.argsort(-blurred[rows, columns], kind="stable")[:count]
    return np.stack([rows[order] - scale.height, columns[order] - scale.width], axis=1)


def cover_all_pixels(
    scale: Scale, shifts: np.ndarray, y: np.ndarray, x: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return offsets (K, 2) that copy every lost pixel at `y`, `x`, their sources (n, K), and which are allowed."""
    usable = np.flatnonzero(scale.usable.ravel())

    def sources_by(shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        down, across = y[:, None] + shifts[:, 0], x[:, None] + shifts[:, 1]
        inside = (down >= 0) & (down < scale.height) & (across >= 0) & (across < scale.width)
        indices = np.where(inside, down * scale.width + across, 0)
        return indices, inside & scale.usable.ravel()[indices]

    indices, allowed = sources_by(shifts)
    for attempt in range(200):
        uncovered = np.flatnonzero(allowed.sum(1) < (3 if attempt < 40 else 1))
        if not len(uncovered):
            break
        pixel = uncovered[random.integers(len(uncovered))]
        rows, columns = np.divmod(usable[random.integers(len(usable), size=200)], scale.width)
        nearby = np.argsort(np.hypot(rows - y[pixel], columns - x[pixel]), kind="stable")[random.integers(20)]
        new_offset = np.array([[rows[nearby] - y[pixel], columns[nearby] - x[pixel]]])
        new_indices, new_allowed = sources_by(new_offset)
        shifts = np.concatenate([shifts, new_offset])
        indices, allowed = (
            np.concatenate([indices, new_indices], axis=1),
            np.concatenate([allowed, new_allowed], axis=1),
        )
    return shifts, indices, allowed
