"""Find the straight edge near a side of a sheet: peaks of the change across it, and the line that has the most."""

from __future__ import annotations

import cv2
import numpy as np

_SAMPLES = 96
# A side is an edge where the two sides of it differ by so much in L*a*b*.
_MIN_STEP = 6.0
# A peak of the change across a side is clear if it has this fraction of the strongest one of its sample.
_CLEAR_PEAK = 0.35
# A line is the sheet's edge if it has this fraction of the peaks of the line with the most, and is the outermost such
# line.
_OUTER_VOTES = 0.8


def edge_line(lab: np.ndarray, start: np.ndarray, end: np.ndarray, max_shift: float) -> tuple[np.ndarray, float]:
    """Return the line (3,) along the edge near a side, and the fraction of the side at which there is this edge.

    Args:
        lab: the photograph, (h, w, 3) float32, in L*a*b*.
        start: (2,) x and y of one end of the side.
        end: (2,) its other end. The inside of the sheet is to the right of the direction from start to end.
        max_shift: how far the edge may be from the side, in pixels.

    Returns:
        (a, b, c) of ``a x + b y + c = 0``, and the fraction, 0 to 1.
    """
    along = (end - start) / max(np.linalg.norm(end - start), 1e-9)
    normal = np.array([-along[1], along[0]])
    shares = np.linspace(0.04, 0.96, _SAMPLES)[:, None, None]
    steps = np.arange(-max_shift - 3, max_shift + 3.01, 0.5)
    points = start + shares * (end - start) + steps[None, :, None] * normal
    values = cv2.remap(
        lab,
        points[..., 0].astype(np.float32),
        points[..., 1].astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    values = cv2.GaussianBlur(values, (1, 5), 0)
    change = np.linalg.norm(values[:, 8:] - values[:, :-8], axis=2)[:, 2:-2]
    offsets = steps[6:-6]
    strongest = change.max(axis=1, keepdims=True)
    is_peak = (change >= cv2.dilate(change, np.ones((1, 7), np.uint8))) & (change >= _MIN_STEP)
    is_peak &= change >= _CLEAR_PEAK * strongest
    length = float(np.linalg.norm(end - start))
    slope, shift, near = _outermost_line(shares[:, 0, 0] * length, offsets, is_peak, length)
    direction = along + slope * normal
    origin = start + shift * normal
    line = np.array([-direction[1], direction[0], 0.0])
    line[2] = -line[:2] @ origin
    return line / np.linalg.norm(line[:2]), near


def _outermost_line(
    position: np.ndarray, offsets: np.ndarray, is_peak: np.ndarray, length: float
) -> tuple[float, float, float]:
    """Return slope and shift of the outermost line through many peaks, and the fraction of samples with a peak near it.

    A white border has two edges: the paper's and the picture's. The outer one is the sheet's. Edges of the table's own
    pattern are on no such line. All lines are counted (Hough transform), then the best is fitted by least squares.

    Args:
        position: (n,) of each sample along the side, in pixels.
        offsets: (m,) in pixels across the side, evenly spaced from outside to inside.
        is_peak: (n, m) bool.
        length: of the side, in pixels.
    """
    step = offsets[1] - offsets[0]
    near = cv2.dilate(is_peak.astype(np.uint8), np.ones((1, 2 * round(1 / step) + 1), np.uint8))
    ends = np.arange(len(offsets))
    turns = np.arange(-len(offsets) // 2, len(offsets) // 2 + 1, max(1, round(1 / step)))
    index = ends[None, :, None] + np.rint(turns[:, None] * (position / length - 0.5)).astype(int)[:, None, :]
    is_inside = (index >= 0) & (index < len(offsets))
    votes = (near[np.arange(len(position)), index.clip(0, len(offsets) - 1)] * is_inside).sum(axis=2, dtype=int)
    if votes.max() < 2:
        return 0.0, 0.0, 0.0
    many = votes >= _OUTER_VOTES * votes.max()
    first = int(np.flatnonzero(many.any(axis=0))[0])
    window = votes[:, first : first + round(2 / step) + 1]
    turn, middle = divmod(int(window.argmax()), window.shape[1])
    slope = turns[turn] * step / length
    shift = offsets[first + middle] - slope * length / 2
    for _ in range(2):
        # Of each sample, the peak that is nearest to the line.
        distances = np.where(is_peak, np.abs(offsets - (shift + slope * position)[:, None]), np.inf)
        is_near = distances.min(axis=1) < 1.75
        if is_near.sum() < 2:
            return 0.0, 0.0, 0.0
        slope, shift = np.polyfit(position[is_near], offsets[distances.argmin(axis=1)][is_near], 1)
    return float(slope), float(shift), float(is_near.mean())
