"""Fit a polygon, as Pillow's ImageDraw draws it, to a flat area of a photograph.

Its corners may be unsorted, its sides may cross (even-odd fill), it may be in pieces and have thin tips. First straight
lines along the outline of the area are found; then the closed path along these lines that the outline covers best; then
corners are moved pixel by pixel until the drawn polygon matches. Points, corners (N, 2) and lines (N, 3) have x first,
in pixels.
"""

from __future__ import annotations

import functools
import itertools

import cv2
import numpy as np

from toolbox.masks.shape_fitting import SQUARE, draw_mask, outline

MAX_LINES = 9
MAX_CORNERS = 8
MAX_STARTS = 6
# In pixels: the widest gap in a dotted tip, and the largest piece that has the level of the area by chance.
MAX_GAP = 6
MAX_CHANCE_PIECE = 2
# The pixels that are drawn in one search, which limits its time on large photographs.
MAX_DRAWN_PIXELS = 1e8
NEIGHBOURS = [step for step in itertools.product((-1, 0, 1), repeat=2) if step != (0, 0)]


def fit_polygon(same: np.ndarray, area: np.ndarray, *, margin: int, stray: int) -> tuple[np.ndarray, bool] | None:
    """Fit a polygon to a flat area of a photograph.

    Args:
        same: (H, W) bool, the pixels that have the level of the area.
        area: (H, W) bool, the connected pixels to explain, in one or more pieces.
        margin: how far from the area corners are searched, in pixels; tips are searched everywhere.
        stray: how many pixels of the area may be outside the polygon before missed sides are looked for there.

    Returns:
        (H, W) bool, a subset of `same`, and whether it is the drawn polygon to the pixel; None if no polygon fits. If
        it is not exact, neighbours along the sides that have the level are included.
    """
    steps = outline(area)
    # ImageDraw paints every pixel whose centre is within half a pixel of a side, so the outermost pixels are on it.
    points = steps[:, 1::-1].astype(float)
    if len(points) < 8:
        return None
    lines = _find_lines(area, points)
    starts = _find_paths(lines, points) if len(lines) >= 3 else []
    starts = [start for start in starts if np.abs(start).max() < 4 * max(same.shape)]
    if not starts:
        return None
    rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
    corner = np.array([max(0, columns[0] - margin), max(0, rows[0] - margin)])
    box = slice(corner[1], rows[-1] + 1 + margin), slice(corner[0], columns[-1] + 1 + margin)
    corners = _improve_corners(same[box], area[box], [start - corner for start in starts]) + corner
    painted = _draw_polygon(same.shape, corners)
    excess, rest = np.count_nonzero(painted & ~same), area & ~painted
    if excess > 0.2 * len(steps):
        return None
    mask = painted | _missed_pieces(rest, steps, points, lines, stray)
    mask |= _find_tips(same, corners, 1 if rest.any() else 3)
    near = cv2.dilate(painted.astype(np.uint8), SQUARE).view(bool)
    if excess == 0 and np.count_nonzero(rest & near & ~mask) <= 0.003 * len(steps):
        return mask, True
    return same & (near | mask), False


def _missed_pieces(
    rest: np.ndarray, steps: np.ndarray, points: np.ndarray, lines: np.ndarray, stray: int
) -> np.ndarray:
    """Return the pieces of `rest` (H, W), the area outside the polygon, that nevertheless belong to it."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(rest.astype(np.uint8), connectivity=8)
    belongs = stats[:, 4] > MAX_CHANCE_PIECE
    if np.count_nonzero(rest) > stray:
        # A piece that runs along the lines belongs to a side that the search has missed.
        owner = pieces[steps[:, 0], steps[:, 1]]
        on_line = np.min([_distance(points, line) for line in lines], axis=0) < 1.2
        belongs &= np.bincount(owner, on_line, count) > 0.75 * np.bincount(owner, minlength=count)
    belongs[0] = False
    return belongs[pieces]


def _fit_line(points: np.ndarray) -> np.ndarray:
    """Return the line a x + b y = c nearest to the points, as (a, b, c) with (a, b) of length one."""
    centre = points.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((points - centre).T))
    return np.array([*vectors[:, 0], vectors[:, 0] @ centre])


def _distance(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    return np.abs(points @ line[:2] - line[2])


def _find_lines(area: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the lines (K, 3), at most MAX_LINES, that run along most of the points of the outline."""
    candidates = _candidate_lines(area, points)
    chosen: list[np.ndarray] = []
    unexplained = points
    while candidates and len(chosen) < MAX_LINES:
        gains = [np.count_nonzero(_distance(unexplained, line) < 1.0) for line in candidates]
        best = candidates[int(np.argmax(gains))]
        if max(gains) < max(4, 0.005 * len(points)):
            break
        chosen.append(best)
        unexplained = unexplained[_distance(unexplained, best) >= 1.2]
    return np.array(chosen).reshape(-1, 3)


def _candidate_lines(area: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """Return lines through the longest straight parts of the outline, fitted to the points near them."""
    contours, _ = cv2.findContours(area.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    ends = []
    for contour in contours:
        bends = cv2.approxPolyDP(contour, 1.5, True)[:, 0].astype(float)
        ends.append(np.hstack([bends, np.roll(bends, -1, axis=0)]))
    sides = np.concatenate(ends)
    length = np.hypot(*(sides[:, 2:] - sides[:, :2]).T)
    lines = []
    for k in np.argsort(-length, kind="stable")[: 5 * MAX_LINES]:
        start, along = sides[k, :2], (sides[k, 2:] - sides[k, :2]) / max(length[k], 1)
        position = (points - start) @ along
        across = np.abs((points - start) @ (-along[1], along[0]))
        near = points[(across < 1.6) & (0 < position) & (position < length[k])]
        in_extension = (position > -0.2 * length[k]) & (position < 1.2 * length[k])
        for tolerance in (1.6, 1.0, 0.8):
            if len(near) >= 4:
                near = points[(_distance(points, _fit_line(near)) < tolerance) & in_extension]
        if length[k] >= 4 and len(near) >= 4:
            lines.append(_fit_line(near))
    return lines


@functools.cache
def _closed_paths(lines: int) -> list[np.ndarray]:
    """Return every closed path along some of the lines: for each number of corners an array (N, corners) of lines."""
    return [
        np.array(
            [
                (first, *rest)
                for first, *others in itertools.combinations(range(lines), corners)
                for rest in itertools.permutations(others)
                if rest[0] < rest[-1]
            ]
        )
        for corners in range(3, min(lines, MAX_CORNERS) + 1)
    ]


def _find_paths(lines: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """Return the corners (N, 2) of the polygons along the lines that the outline covers best, best first."""
    count = len(lines)
    a, b, c = lines.T
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = a[:, None] * b - b[:, None] * a
        x, y = (c[:, None] * b - c * b[:, None]) / cross, (c * a[:, None] - c[:, None] * a) / cross
    gain = np.stack([_side_gains(lines[k], x[k], y[k], points) for k in range(count)])
    paths = []
    for candidates in _closed_paths(count):
        total = gain[candidates, np.roll(candidates, 1, axis=1), np.roll(candidates, -1, axis=1)].sum(axis=1)
        for best in np.argsort(-total, kind="stable")[:MAX_STARTS]:
            if total[best] > 0:
                path, following = candidates[best], np.roll(candidates[best], -1)
                paths.append((float(total[best]), np.column_stack([x[path, following], y[path, following]])))
    paths.sort(key=lambda pair: -pair[0])
    return [corners for _, corners in paths[:MAX_STARTS]]


def _side_gains(line: np.ndarray, x: np.ndarray, y: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the gain (N, N) of a side on `line` between its crossings, at `x` and `y` (N,), with the other lines.

    The gain is the integral along the side of +1 where the outline runs on it, and -1 where it does not.
    """
    a, b = line[:2]
    position = points @ (-b, a)
    base, size = float(position.min()), int(np.ptp(position)) + 2
    covered = np.zeros(size, bool)
    covered[(position[_distance(points, line) < 1.2] - base).astype(int)] = True
    covered[1:-1] |= covered[:-2] & covered[2:]
    sums = np.concatenate([[0.0], np.cumsum(2.0 * covered - 1.0)])
    crossing = -b * x + a * y - base
    is_known = np.isfinite(crossing) & (np.abs(crossing) < 5 * size)
    crossing = np.where(is_known, crossing, 0.0)
    integral = np.interp(crossing, np.arange(size + 1), sums)
    integral = integral + np.maximum(0, -crossing) - np.maximum(0, crossing - size)
    gain = np.sign(crossing - crossing[:, None]) * (integral - integral[:, None])
    return np.where(is_known & is_known[:, None], gain, -np.inf)


def _move_corner(corners: np.ndarray, k: int) -> list[np.ndarray]:
    """Return the polygons with corner `k` moved by a pixel, or along its two sides, where a tip is thin."""
    steps = list(NEIGHBOURS)
    for neighbour in (k - 1, (k + 1) % len(corners)):
        side = corners[k] - corners[neighbour]
        for length in (2, -2, 4, -4, 8, -8, 24, -24):
            steps.append(tuple(np.rint(side * length / max(1.0, float(np.hypot(*side)))).astype(int)))
    moved = np.repeat(corners[None], len(steps), axis=0)
    moved[:, k] += steps
    return list(moved)


def _insert_corner(corners: np.ndarray, mismatch: np.ndarray) -> list[np.ndarray]:
    """Return the polygons with one more corner, at an end of one of the two largest pieces that do not match."""
    if len(corners) >= MAX_CORNERS:
        return []
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mismatch.astype(np.uint8), connectivity=8)
    ends = []
    for piece in 1 + np.argsort(-stats[1:, 4], kind="stable")[:2]:
        y, x = np.nonzero(labels == piece)
        for direction in (x, y, x + y, x - y):
            ends += [(x[end], y[end]) for end in (direction.argmin(), direction.argmax())]
    return [np.insert(corners, k, end, axis=0) for end in dict.fromkeys(ends) for k in range(len(corners))]


def _improve_corners(same: np.ndarray, area: np.ndarray, starts: list[np.ndarray]) -> np.ndarray:
    """Return the best of the corners, moved and added pixel by pixel until the drawn polygon matches best."""
    stray = same & ~area

    def attempt(corners: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        painted = _draw_polygon(same.shape, corners)
        errors = np.count_nonzero(painted & ~same) + np.count_nonzero(area & ~painted)
        # Pixels of the level outside the area may be tips that are too thin to be connected: covering them is a gain.
        return int(errors - np.count_nonzero(painted & stray)), painted, corners

    best = min((attempt(np.rint(start).astype(int)) for start in starts), key=lambda result: result[0])
    tries = int(np.clip(MAX_DRAWN_PIXELS / same.size, 40, 600))
    idle = k = 0
    while tries > 0:
        is_stuck = idle == len(best[2])
        improved = best
        for corners in _insert_corner(best[2], best[1] ^ area) if is_stuck else _move_corner(best[2], k):
            tries -= 1
            improved = min(improved, attempt(corners), key=lambda result: result[0])
            if improved is not best and not is_stuck:
                break
        if improved is best and is_stuck:
            break
        idle, k = (0, k % len(improved[2])) if improved is not best else (idle + 1, (k + 1) % len(best[2]))
        best = improved
    return best[2]


def _find_tips(same: np.ndarray, corners: np.ndarray, min_pixels: int) -> np.ndarray:
    """Return the dotted ends of thin tips, (H, W) bool: pixels of the level in line with a side, beyond its corner."""
    mask = np.zeros_like(same)
    height, width = same.shape
    for k, direction in itertools.product(range(len(corners)), (-1, 1)):
        side = corners[k] - corners[(k + direction) % len(corners)]
        if not side.any():
            continue
        distance = np.arange(1, height + width)[:, None]
        x, y = np.rint(corners[k] + distance * side / np.abs(side).max()).astype(int).T
        is_inside = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
        end = len(x) if is_inside.all() else int(np.argmin(is_inside))
        across = np.array([[-1, 0, 1]])
        is_steep = abs(side[1]) > abs(side[0])
        x, y = x[:end, None] + across * is_steep, y[:end, None] + across * (not is_steep)
        hits = np.flatnonzero(same[y, x].any(axis=1))
        gaps = np.flatnonzero(np.diff(hits, prepend=-1) > MAX_GAP)
        hits = hits[: gaps[0]] if len(gaps) else hits
        if len(hits) >= min_pixels:
            mask[y[hits], x[hits]] = True
    return mask & same


def _draw_polygon(shape: tuple[int, ...], corners: np.ndarray) -> np.ndarray:
    return draw_mask(shape, lambda draw: draw.polygon(corners.ravel().tolist(), fill=1))
