"""Draw again the polygon that fits a flat part of a photo: unsorted corners, even-odd, in pieces, thin tips.

The way: straight lines along the part's outline, the round trip along them that the outline covers best,
then corners moved pixel by pixel until what ImageDraw draws matches. Points, corners and lines are (N, 2)
or (N, 3) with x first, in pixels.
"""

from __future__ import annotations

import functools
import itertools

import cv2
import numpy as np

from toolbox.masks.shape_fitting import SQUARE, drawn, outline

MOST_LINES = 9
MOST_CORNERS = 8
MOST_STARTS = 6
# A dotted tip's widest gap, and the largest piece that may have the fill's value by chance, in pixels.
MOST_GAP = 6
CHANCE = 2
# Pixels drawn in one search, which bounds its time on large photos.
MOST_DRAWN = 1e8
AROUND = [step for step in itertools.product((-1, 0, 1), repeat=2) if step != (0, 0)]


def _line(points: np.ndarray) -> np.ndarray:
    """Return the line a x + b y = c nearest to the points, as (a, b, c) with (a, b) of length one."""
    middle = points.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((points - middle).T))
    return np.array([*vectors[:, 0], vectors[:, 0] @ middle])


def _off(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    return np.abs(points @ line[:2] - line[2])


def _lines(part: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the (K, 3) lines, at most MOST_LINES, that run along most of the outline's points."""
    contours, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    ends = []
    for contour in contours:
        bends = cv2.approxPolyDP(contour, 1.5, True)[:, 0].astype(float)
        ends.append(np.hstack([bends, np.roll(bends, -1, axis=0)]))
    sides = np.concatenate(ends)
    length = np.hypot(*(sides[:, 2:] - sides[:, :2]).T)
    guesses = []
    for k in np.argsort(-length, kind="stable")[: 5 * MOST_LINES]:
        start, along = sides[k, :2], (sides[k, 2:] - sides[k, :2]) / max(length[k], 1)
        reach = (points - start) @ along
        near = points[(np.abs((points - start) @ (-along[1], along[0])) < 1.6) & (0 < reach) & (reach < length[k])]
        ahead = (reach > -0.2 * length[k]) & (reach < 1.2 * length[k])
        for tolerance in (1.6, 1.0, 0.8):
            if len(near) >= 4:
                near = points[(_off(points, _line(near)) < tolerance) & ahead]
        if length[k] >= 4 and len(near) >= 4:
            guesses.append(_line(near))
    chosen: list[np.ndarray] = []
    left = points
    while guesses and len(chosen) < MOST_LINES:
        gains = [np.count_nonzero(_off(left, line) < 1.0) for line in guesses]
        best = guesses[int(np.argmax(gains))]
        if max(gains) < max(4, 0.005 * len(points)):
            break
        chosen.append(best)
        left = left[_off(left, best) >= 1.2]
    return np.array(chosen).reshape(-1, 3)


@functools.cache
def _rounds(lines: int) -> list[np.ndarray]:
    """Return every way to go round along some of the lines, an (N, corners) array a number of corners."""
    return [
        np.array(
            [
                (first, *rest)
                for first, *others in itertools.combinations(range(lines), corners)
                for rest in itertools.permutations(others)
                if rest[0] < rest[-1]
            ]
        )
        for corners in range(3, min(lines, MOST_CORNERS) + 1)
    ]


def _polygons(lines: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """Return the corners (N, 2) of the polygons along the lines that the outline covers best, best first."""
    count = len(lines)
    a, b, c = lines.T
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = a[:, None] * b - b[:, None] * a
        x, y = (c[:, None] * b - c * b[:, None]) / cross, (c * a[:, None] - c[:, None] * a) / cross
    gain = np.full((count, count, count), -np.inf)
    for k in range(count):
        reach = points @ (-b[k], a[k])
        base, size = float(reach.min()), int(np.ptp(reach)) + 2
        covered = np.zeros(size, bool)
        covered[(reach[_off(points, lines[k]) < 1.2] - base).astype(int)] = True
        covered[1:-1] |= covered[:-2] & covered[2:]
        # The integral along the line of +1 where the outline runs on it and -1 where it does not.
        sums = np.concatenate([[0.0], np.cumsum(2.0 * covered - 1.0)])
        place = -b[k] * x[k] + a[k] * y[k] - base
        known = np.isfinite(place) & (np.abs(place) < 5 * size)
        place = np.where(known, place, 0.0)
        worth = np.interp(place, np.arange(size + 1), sums) + np.maximum(0, -place) - np.maximum(0, place - size)
        between = np.sign(place - place[:, None]) * (worth - worth[:, None])
        gain[k] = np.where(known & known[:, None], between, -np.inf)
    found = []
    for ways in _rounds(count):
        total = gain[ways, np.roll(ways, 1, axis=1), np.roll(ways, -1, axis=1)].sum(axis=1)
        for best in np.argsort(-total, kind="stable")[:MOST_STARTS]:
            if total[best] > 0:
                way, after = ways[best], np.roll(ways[best], -1)
                found.append((float(total[best]), np.column_stack([x[way, after], y[way, after]])))
    found.sort(key=lambda pair: -pair[0])
    return [corners for _, corners in found[:MOST_STARTS]]


def _moved(corners: np.ndarray, k: int) -> list[np.ndarray]:
    """Return the polygon with a corner moved by a pixel, or along its two sides, where a tip is thin."""
    steps = list(AROUND)
    for other in (k - 1, (k + 1) % len(corners)):
        side = corners[k] - corners[other]
        for reach in (2, -2, 4, -4, 8, -8, 24, -24):
            steps.append(tuple(np.rint(side * reach / max(1.0, float(np.hypot(*side)))).astype(int)))
    moved = np.repeat(corners[None], len(steps), axis=0)
    moved[:, k] += steps
    return list(moved)


def _with_more(corners: np.ndarray, mismatch: np.ndarray) -> list[np.ndarray]:
    """Return the polygon with a corner more, at the ends of the two largest pieces that do not match."""
    if len(corners) >= MOST_CORNERS:
        return []
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mismatch.astype(np.uint8), connectivity=8)
    ends = []
    for piece in 1 + np.argsort(-stats[1:, 4], kind="stable")[:2]:
        y, x = np.nonzero(labels == piece)
        for way in (x, y, x + y, x - y):
            ends += [(x[end], y[end]) for end in (way.argmin(), way.argmax())]
    return [np.insert(corners, k, end, axis=0) for end in dict.fromkeys(ends) for k in range(len(corners))]


def _searched(same: np.ndarray, part: np.ndarray, starts: list[np.ndarray]) -> np.ndarray:
    """Return the corners, moved and added pixel by pixel until the drawn polygon matches best."""
    stray = same & ~part

    def attempt(corners: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        painted = drawn(same.shape, lambda draw: draw.polygon(corners.ravel().tolist(), fill=1))
        wrong = np.count_nonzero(painted & ~same) + np.count_nonzero(part & ~painted)
        # Tips too thin to hang together are painted outside of the part: to meet one is a gain.
        return int(wrong - np.count_nonzero(painted & stray)), painted, corners

    best = min((attempt(np.rint(start).astype(int)) for start in starts), key=lambda result: result[0])
    tries = int(np.clip(MOST_DRAWN / same.size, 40, 600))
    idle = k = 0
    while tries > 0:
        stuck = idle == len(best[2])
        found = best
        for guess in _with_more(best[2], best[1] ^ part) if stuck else _moved(best[2], k):
            tries -= 1
            found = min(found, attempt(guess), key=lambda result: result[0])
            if found is not best and not stuck:
                break
        if found is best and stuck:
            break
        idle, k = (0, k % len(found[2])) if found is not best else (idle + 1, (k + 1) % len(best[2]))
        best = found
    return best[2]


def _dots(same: np.ndarray, corners: np.ndarray, least: int) -> np.ndarray:
    """Return the dotted ends of thin tips: pixels of the value in line with a side, beyond its corner."""
    mask = np.zeros_like(same)
    height, width = same.shape
    for k, other in itertools.product(range(len(corners)), (-1, 1)):
        side = corners[k] - corners[(k + other) % len(corners)]
        if not side.any():
            continue
        reach = np.arange(1, height + width)[:, None]
        x, y = np.rint(corners[k] + reach * side / np.abs(side).max()).astype(int).T
        inside = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
        end = len(x) if inside.all() else int(np.argmin(inside))
        across = np.array([[-1, 0, 1]])
        steep = abs(side[1]) > abs(side[0])
        x, y = x[:end, None] + across * steep, y[:end, None] + across * (not steep)
        hits = np.flatnonzero(same[y, x].any(axis=1))
        gaps = np.flatnonzero(np.diff(hits, prepend=-1) > MOST_GAP)
        hits = hits[: gaps[0]] if len(gaps) else hits
        if len(hits) >= least:
            mask[y[hits], x[hits]] = True
    return mask & same


def polygon(same: np.ndarray, part: np.ndarray, *, margin: int, few: int) -> tuple[np.ndarray, bool] | None:
    """Fit a polygon to a flat part of a photo.

    Args:
        same: (H, W) bool, the pixels that have the part's value.
        part: (H, W) bool, the connected pixels to be explained, in one or more pieces.
        margin: how far from the part a corner is looked for, in pixels; tips are looked for everywhere.
        few: pixels of the part outside of the polygon that are not worth trimming.

    Returns:
        (H, W) bool, a part of `same`, and whether it is what was drawn, to the pixel; None where no polygon
        fits. Where it is not exact, neighbours along the sides that have the value are taken along.
    """
    steps = outline(part)
    # ImageDraw paints every pixel whose middle is within half a pixel of a side: the outermost lie on it.
    points = steps[:, 1::-1].astype(float)
    if len(points) < 8:
        return None
    lines = _lines(part, points)
    starts = _polygons(lines, points) if len(lines) >= 3 else []
    starts = [start for start in starts if np.abs(start).max() < 4 * max(same.shape)]
    if not starts:
        return None
    rows, columns = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
    corner = np.array([max(0, columns[0] - margin), max(0, rows[0] - margin)])
    view = slice(corner[1], rows[-1] + 1 + margin), slice(corner[0], columns[-1] + 1 + margin)
    corners = _searched(same[view], part[view], [start - corner for start in starts]) + corner
    painted = drawn(same.shape, lambda draw: draw.polygon(corners.ravel().tolist(), fill=1))
    over, left = np.count_nonzero(painted & ~same), part & ~painted
    if over > 0.2 * len(steps):
        return None
    near = cv2.dilate(painted.astype(np.uint8), SQUARE).view(bool)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(left.astype(np.uint8), connectivity=8)
    kept = stats[:, 4] > CHANCE
    if np.count_nonzero(left) > few:
        # A piece that runs along the lines all the same belongs to a side that the search has missed.
        owner = pieces[steps[:, 0], steps[:, 1]]
        straight = np.min([_off(points, line) for line in lines], axis=0) < 1.2
        kept &= np.bincount(owner, straight, count) > 0.75 * np.bincount(owner, minlength=count)
    kept[0] = False
    mask = painted | kept[pieces] | _dots(same, corners, 1 if left.any() else 3)
    if over == 0 and np.count_nonzero(left & near & ~mask) <= 0.003 * len(steps):
        return mask, True
    return same & (near | mask), False
