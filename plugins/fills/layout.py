"""Lay out a hole at a coarse scale: which of a few offsets each lost pixel is copied by, so that the seams cost least."""

from __future__ import annotations

import cv2
import numpy as np

from .frequency import extrapolated
from .patches import Scale, nearest_valid
from .smooth import spread

# How many offsets are looked at of the best matches at the hole's border, how many of them are taken, how many
# of those that reach across the hole, and how many of the best matches among known patches.
LOOKED_AT = 160
BORDER = 20
ACROSS = 16
DOMINANT = 14
SAMPLES = 1200
# Rounds of messages with all offsets, how many offsets a pixel keeps, rounds with those, and descents at the end.
FIRST = 8
KEPT = 16
ROUNDS = 80
DESCENTS = 5
NEVER = np.float32(1e7)
UNMATCHED = np.float32(1e4)
WINDOW = 5
# What an offset as long as the image costs, as a share of the median cost at the border.
FAR = 0.02
# What a level of difference from the expected mean and contrast costs, against one along a seam.
GUIDE = 0.3
MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))
OPPOSITE = (1, 0, 3, 2)


def lay_out(scale: Scale, random: np.random.Generator) -> np.ndarray | None:
    """Return a source for each target of `scale`, or None where nothing can be copied.

    Every lost pixel gets one of the offsets that are frequent among the best matches. The cost is a sum over pixels
    of how badly the known pixels around fit those at the offset, and over neighbours with different offsets of how
    much the two copies differ on both sides of the seam, in value and gradient. Belief propagation lowers it.

    References: He and Sun, "Statistics of Patch Offsets for Image Completion", ECCV 2012; Pritch et al., "Shift-Map
    Image Editing", ICCV 2009.
    """
    if not scale.valid.any() or not len(scale.targets):
        return None
    lost = np.flatnonzero(scale.lost.ravel())
    y, x = np.divmod(lost, scale.width)
    border, across, dominant = _candidates(scale, random)
    fitting = _fitting(scale, border, lost, BORDER), _fitting(scale, across, lost, ACROSS)
    shifts = np.unique(np.concatenate([*fitting, dominant]), axis=0)
    shifts, sources, allowed = _covering(scale, shifts, y, x, random)
    costs = _border_costs(scale, shifts, lost)
    typical = costs[costs < UNMATCHED]
    if len(typical):
        lengths = np.hypot(shifts[:, 0], shifts[:, 1]) / max(scale.height, scale.width)
        costs += (FAR * np.median(typical) * lengths).astype(np.float32)
    costs += _guide_costs(scale, sources, lost)
    costs[~allowed] = NEVER
    seams = _seam_costs(scale, sources)
    neighbours = _neighbours(scale, lost, y, x)
    chosen = _propagate(costs, seams, neighbours, (y + x) % 2)
    return _spread_out(scale, lost, shifts[chosen])


def _fitting(scale: Scale, shifts: np.ndarray, lost: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of the offsets (K, 2): one by one, the one that most betters the fit along the border."""
    costs = _border_costs(scale, shifts, lost)
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


def _candidates(scale: Scale, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the offsets (K, 2) that most matches have: at the border, there across the hole, and among known patches."""
    sources = np.flatnonzero(scale.valid)
    patches = scale.patches(sources)
    squares = np.square(patches)
    known = ~scale.lost.ravel()[scale.targets[:, None] + scale.offsets]
    some = (known.mean(1) > 0.4) & (known.mean(1) < 0.95)
    border = across = np.zeros((0, 2), np.int64)
    if some.any():
        targets = scale.targets[some]
        seen = np.repeat(known[some].astype(np.float32), scale.image.shape[1], axis=1)
        apart = seen @ squares.T - 2 * (seen * scale.patches(targets)) @ patches.T
        border = _peaks(scale, targets, sources[apart.argmin(1)], LOOKED_AT)
        apart[_closer(scale, targets, sources, 2 * float(scale.depth().max()))] = np.inf
        far = np.isfinite(apart).any(1)
        across = _peaks(scale, targets[far], sources[apart[far].argmin(1)], LOOKED_AT)
    chosen = sources if len(sources) <= SAMPLES else random.choice(sources, SAMPLES, replace=False)
    apart = squares.sum(1) - 2 * scale.patches(chosen) @ patches.T
    apart[_closer(scale, chosen, sources, max(4, max(scale.height, scale.width) / 15))] = np.inf
    best = sources[apart.argmin(1)]
    both = np.concatenate([chosen, best]), np.concatenate([best, chosen])
    return border, across, _peaks(scale, *both, DOMINANT)


def _closer(scale: Scale, targets: np.ndarray, sources: np.ndarray, distance: float) -> np.ndarray:
    """Return which sources are closer to which targets than `distance` on both axes, (n, m) bool."""
    close = np.abs(targets[:, None] // scale.width - sources // scale.width) < distance
    close &= np.abs(targets[:, None] % scale.width - sources % scale.width) < distance
    return close


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


def _covering(
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


def _border_costs(scale: Scale, shifts: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return how badly the known pixels around each lost one fit those at each offset, (n, K)."""
    height, width = scale.height, scale.width
    image = scale.image.reshape(height, width, -1)
    known = ~scale.lost
    costs = np.empty((len(lost), len(shifts)), np.float32)
    around = _box(known)
    for number, (down, across) in enumerate(shifts):
        rows = slice(max(0, -down), min(height, height - down))
        columns = slice(max(0, -across), min(width, width - across))
        there = slice(rows.start + down, rows.stop + down), slice(columns.start + across, columns.stop + across)
        seen = np.zeros((height, width), bool)
        seen[rows, columns] = known[rows, columns] & scale.usable[there]
        apart = np.zeros((height, width), np.float32)
        apart[rows, columns] = np.linalg.norm(image[rows, columns] - image[there], axis=2)
        compared = _box(seen)
        cost = _box(apart * seen) / np.maximum(compared, 1) * around / WINDOW
        cost[(compared == 0) & (around > 0)] = UNMATCHED
        costs[:, number] = cost.ravel()[lost]
    return costs


def _guide_costs(scale: Scale, sources: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return how far the local mean and contrast at each source are from those expected at each lost pixel, (n, K).

    The mean goes on into the hole by its frequencies, the contrast smoothly. Without this what is flat wins
    everywhere, since a seam between something and a flat area is fainter than one between two textures.
    """
    known = ~scale.lost
    image = scale.image.reshape(scale.height, scale.width, -1)
    share = np.maximum(_box(known), 1)[..., None]
    mean = _box(image * known[..., None]) / share
    contrast = np.sqrt(np.maximum(_box(image**2 * known[..., None]) / share - mean**2, 0))
    whole = _box(known) == WINDOW**2
    guide = extrapolated(image, scale.lost, window=32, rounds=30)
    expected = cv2.GaussianBlur(guide, (0, 0), WINDOW / 3).reshape(image.shape)
    usual = spread(contrast, whole)
    there = np.concatenate([mean, contrast], axis=2).reshape(scale.lost.size, -1)
    wanted = np.concatenate([expected, usual], axis=2).reshape(scale.lost.size, -1)[lost]
    apart = np.abs(there[sources] - wanted[:, None]).mean(2) * 2
    return (GUIDE * apart).astype(np.float32)


def _box(values: np.ndarray) -> np.ndarray:
    window = (WINDOW, WINDOW)
    sums = cv2.boxFilter(values.astype(np.float32), -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return sums.reshape(values.shape)


def _seam_costs(scale: Scale, sources: np.ndarray) -> np.ndarray:
    """Return how much the copies by each two offsets differ at each lost pixel, (n, K, K)."""
    image = scale.image.reshape(scale.height, scale.width, -1)
    even = spread(image, ~scale.lost)
    across, down = np.zeros_like(even), np.zeros_like(even)
    across[:, 1:] = even[:, 1:] - even[:, :-1]
    down[1:] = even[1:] - even[:-1]
    copies = np.concatenate([even, across, down], axis=2).reshape(scale.lost.size, -1)[sources]
    squares = np.square(copies).sum(2)
    seams = squares[:, :, None] + squares[:, None, :] - 2 * copies @ copies.transpose(0, 2, 1)
    # Not squared: a seam along a strong edge, which blending can't hide, is better short than faint.
    return np.sqrt(np.maximum(seams, 0, out=seams), out=seams)


def _neighbours(scale: Scale, lost: np.ndarray, y: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    """Return the numbers of the lost pixels beside each, by direction; as many as there are stands for none."""
    number = np.full((scale.height + 2, scale.width + 2), len(lost))
    number[y + 1, x + 1] = np.arange(len(lost))
    return [number[y + 1 + down, x + 1 + across] for down, across in MOVES]


def _propagate(costs: np.ndarray, seams: np.ndarray, neighbours: list[np.ndarray], colour: np.ndarray) -> np.ndarray:
    """Return the offset's number of each pixel (n,), by min-sum belief propagation.

    A few rounds with all offsets choose the KEPT most likely ones of each pixel; many rounds follow with those alone.
    """
    count, labels = costs.shape
    every = np.broadcast_to(np.arange(labels), (count, labels))
    beliefs, _ = _rounds(costs, seams, neighbours, colour, every, FIRST)
    kept = np.sort(np.argsort(beliefs, axis=1, kind="stable")[:, :KEPT], axis=1)
    beliefs, edges = _rounds(np.take_along_axis(costs, kept, 1), seams, neighbours, colour, kept, ROUNDS)
    chosen = beliefs.argmin(1)
    few = np.take_along_axis(costs, kept, 1)
    for now in (0, 1) * DESCENTS:
        energy = few.copy()
        for to, sender, cost in edges:
            energy[to] += cost[np.arange(len(to)), :, chosen[sender]]
        active = colour == now
        chosen[active] = energy.argmin(1)[active]
    return kept[np.arange(count), chosen]


def _rounds(
    costs: np.ndarray,
    seams: np.ndarray,
    neighbours: list[np.ndarray],
    colour: np.ndarray,
    kept: np.ndarray,
    rounds: int,
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Return the beliefs (n, k) after so many rounds, and by direction the edges: to, from, and cost (m, k, k).

    Messages go to the two colours of a chessboard in turn, and are averaged with the last ones.
    """
    count, labels = kept.shape
    edges = []
    for beside in neighbours:
        to = np.flatnonzero(beside < count)
        sender = beside[to]
        own, other = kept[to][:, :, None], kept[sender][:, None, :]
        cost = seams[to[:, None, None], own, other] + seams[sender[:, None, None], own, other]
        edges.append((to, sender, cost))
    messages = np.zeros((4, count + 1, labels), np.float32)
    for number in range(2 * rounds):
        for direction, (to, sender, cost) in enumerate(edges):
            active = np.flatnonzero(colour[to] == number % 2)
            senders, receivers = sender[active], to[active]
            belief = costs[senders] + sum(messages[k][senders] for k in range(4) if k != OPPOSITE[direction])
            new = np.empty((len(active), labels), np.float32)
            for start in range(0, len(active), 128):
                part = slice(start, start + 128)
                new[part] = (belief[part, None, :] + cost[active[part]]).min(2)
            new -= new.min(1, keepdims=True)
            np.minimum(new, NEVER / 10, out=new)
            messages[direction][receivers] = new if number < 2 else (messages[direction][receivers] + new) / 2
    return costs + messages[:, :count].sum(0), edges


def _spread_out(scale: Scale, lost: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return a source for each target: by the offset of the lost pixel nearest to it."""
    _, names = cv2.distanceTransformWithLabels(
        (~scale.lost).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(names.max()) + 1, np.int64)
    table[names.ravel()[lost]] = np.arange(len(lost))
    nearest = table[names.ravel()[scale.targets]]
    y, x = np.divmod(scale.targets, scale.width)
    return nearest_valid(scale, y + shifts[nearest, 0], x + shifts[nearest, 1])
