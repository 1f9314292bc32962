"""Find the sheet of a print that was photographed on a table, and cut it out: a quadrilateral, and its homography.

The margin of the photograph shows the table. Pixels of other colours are the sheet. Its four sides are then moved to
the
outermost straight edges near them, and tested: each must be an edge for most of its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from toolbox.imaging.pixels import shrink
from toolbox.prints.edge_line import edge_line

_SIDE = 640
# The margin of the photograph that shows the table, as a fraction of the short side.
_TABLE_MARGIN = 0.025
_TABLE_COLORS = 6
# A colour with a smaller fraction of the margin may be a corner of the sheet, which reaches into the margin.
_MIN_COLOR_SHARE = 0.05
# A pixel differs from the table if its distance in L*a*b* to all its colours is over the margin's own percentile, and
# over this distance.
_TABLE_PERCENTILE = 97
_MIN_DISTANCES = (7.0, 12.0, 20.0, 32.0)
# The sheet, as a fraction of the photograph.
_MIN_AREA, _MAX_AREA = 0.12, 0.97
# How far a side may be from its first position, as a fraction of the long side of the photograph.
_SEARCH = 0.025
# The least fraction of each side, and of all sides, that is a straight edge. Chosen on the development photographs.
MIN_SIDE_SUPPORT, MIN_SUPPORT = 0.55, 0.75
# Pixels by which the sheet is cut smaller on each side, so that no rim of the table is left, at the working size.
_INSET = 0.75
_MAX_OUTPUT_SIDE = 32_000
# Side of the square by which a sheet is widened, so that its shadow does not count as its surroundings; and the
# distance in L*a*b* within which these are like the table.
_SHADOW, _NEAR_TABLE = 15, 12.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """The sheet of a print in a photograph.

    Attributes:
        corners: (4, 2) float64, x and y in pixels of the photograph: top left, top right, bottom right, bottom left.
        support: the fraction of its outline that is a straight edge, 0 to 1.
        area: its area as a fraction of the photograph.
        surroundings: the fraction of what is around it that has the colours of the photograph's margin, 0 to 1.
    """

    corners: np.ndarray
    support: float
    area: float
    surroundings: float = 0.0


def find_sheet(rgb: np.ndarray) -> Sheet | None:
    """Return the sheet of a print in a photograph, (H, W, 3) uint8 RGB; None if none was found."""
    height, width = rgb.shape[:2]
    small = shrink(rgb, _SIDE)
    if min(small.shape[:2]) < 32:
        return None
    lab = cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), 1).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    best: Sheet | None = None
    for distance in _distances_from_table(lab):
        for threshold in _MIN_DISTANCES:
            corners = _first_corners(distance > threshold)
            sheet = None if corners is None else _refine(lab, corners)
            # The largest: the picture on a sheet may be found too.
            if sheet is not None and (best is None or sheet.area > best.area):
                best = replace(sheet, surroundings=_surroundings(distance, sheet.corners))
    if best is None:
        return None
    factors = np.array([width / small.shape[1], height / small.shape[0]])
    inset = _inset_corners(best.corners, _INSET)
    return replace(best, corners=(inset + 0.5) * factors - 0.5)


def sheet_size(corners: np.ndarray) -> tuple[int, int]:
    """Return height and width in pixels of the cut sheet: its longer sides, so that no detail is lost."""
    top, right, bottom, left = (np.linalg.norm(corners[i] - corners[(i + 1) % 4]) for i in range(4))
    return max(1, round(max(left, right))), max(1, round(max(top, bottom)))


def homography(corners: np.ndarray) -> np.ndarray:
    """Return the (3, 3) homography that maps the corners of a sheet to those of the cut picture."""
    height, width = sheet_size(corners)
    target = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    return cv2.getPerspectiveTransform(corners.astype(np.float32), target)


def cut_sheet(pixels: np.ndarray, corners: np.ndarray, *, exact: bool = False) -> np.ndarray:
    """Return the sheet of a photograph, straight, at the photograph's resolution.

    Args:
        pixels: (H, W), (H, W, 3) or (H, W, 4), bool, uint8 or uint16.
        corners: as in `Sheet`.
        exact: whether values are only moved, not interpolated, as for masks.
    """
    height, width = sheet_size(corners)
    is_mask = pixels.dtype == np.bool_
    method = cv2.INTER_NEAREST if exact or is_mask else cv2.INTER_CUBIC
    source = pixels.astype(np.uint8) if is_mask else pixels
    cut = cv2.warpPerspective(
        source, homography(corners), (width, height), flags=method, borderMode=cv2.BORDER_REPLICATE
    )
    return cut > 0 if is_mask else cut


def is_cuttable(shape: tuple[int, ...], corners: np.ndarray) -> bool:
    """Return whether OpenCV can cut a sheet out of a photograph of this shape: no side may be too long."""
    return max(*shape[:2], *sheet_size(corners)) <= _MAX_OUTPUT_SIDE


def _distances_from_table(lab: np.ndarray) -> Iterator[np.ndarray]:
    """Yield how far each pixel is from the colours of the table, (h, w) float32; 0 within its own variation.

    The first has all colours of the margin, the second only those that cannot be a corner of the sheet, if some can.
    """
    height, width = lab.shape[:2]
    margin = max(2, round(_TABLE_MARGIN * min(height, width)))
    rim = np.ones((height, width), bool)
    rim[margin:-margin, margin:-margin] = False
    samples = lab[rim]
    samples = samples[:: max(1, len(samples) // 4000)]
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    count = min(_TABLE_COLORS, len(samples))
    cv2.setRNGSeed(0)
    _, labels, centres = cv2.kmeans(samples, count, None, stop, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    labels = labels.ravel()
    own = np.linalg.norm(samples - centres[labels], axis=1)
    is_frequent = np.bincount(labels, minlength=count) >= _MIN_COLOR_SHARE * len(samples)
    distances = np.stack([np.linalg.norm(lab - centre, axis=2) for centre in centres])
    for is_table in (np.ones(count, bool), is_frequent)[: 1 if is_frequent.all() else 2]:
        nearest = distances[is_table].min(axis=0)
        variation = np.percentile(own[is_table[labels]], _TABLE_PERCENTILE)
        yield np.where(nearest > variation, nearest, 0)


def _surroundings(distance: np.ndarray, corners: np.ndarray) -> float:
    """Return the fraction of the pixels around a sheet, and not beside it, that are near the colours of the table."""
    sheet = np.zeros(distance.shape, np.uint8)
    cv2.fillConvexPoly(sheet, np.rint(corners).astype(np.int32), 1)
    outside = cv2.dilate(sheet, np.ones((_SHADOW, _SHADOW), np.uint8)) == 0
    return float((distance[outside] < _NEAR_TABLE).mean()) if outside.any() else 0.0


def _first_corners(is_sheet: np.ndarray) -> np.ndarray | None:
    """Return the corners of the quadrilateral around the largest region, (4, 2); None if it is not one."""
    side = max(3, round(0.012 * max(is_sheet.shape)) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    closed = cv2.morphologyEx(is_sheet.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    closed = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel)
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    hull = cv2.convexHull(max(contours, key=cv2.contourArea))
    share = cv2.contourArea(hull) / is_sheet.size
    if not _MIN_AREA <= share <= _MAX_AREA:
        return None
    length = cv2.arcLength(hull, True)
    for tolerance in np.arange(0.01, 0.09, 0.005):
        polygon = cv2.approxPolyDP(hull, tolerance * length, True)[:, 0]
        if len(polygon) == 4:
            return _ordered(polygon.astype(np.float64))
        if len(polygon) < 4:
            return None
    return None


def _refine(lab: np.ndarray, corners: np.ndarray) -> Sheet | None:
    """Return the sheet with its sides moved to the edges near them; None if it is not a sheet."""
    shares: list[float] = []
    for reach in (_SEARCH, _SEARCH / 2):
        sides, shares = [], []
        for index in range(4):
            line, share = edge_line(lab, corners[index], corners[(index + 1) % 4], reach * max(lab.shape[:2]))
            sides.append(line)
            shares.append(share)
        crossed = [np.cross(sides[index - 1], sides[index]) for index in range(4)]
        if any(abs(point[2]) < 1e-9 for point in crossed):
            return None
        corners = np.array([point[:2] / point[2] for point in crossed])
    if min(shares) < MIN_SIDE_SUPPORT or np.mean(shares) < MIN_SUPPORT or not _is_sheet(corners, lab.shape[:2]):
        return None
    area = cv2.contourArea(corners.astype(np.float32)) / (lab.shape[0] * lab.shape[1])
    return Sheet(corners=corners, support=float(np.mean(shares)), area=area)


def _is_sheet(corners: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Return whether corners are a convex quadrilateral in the photograph, with angles and sides like a sheet's."""
    height, width = shape
    slack = 0.02 * max(shape)
    x, y = corners.T
    if x.min() < -slack or y.min() < -slack or x.max() > width - 1 + slack or y.max() > height - 1 + slack:
        return False
    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(sides, axis=1)
    turns = sides[:, 0] * np.roll(sides, -1, axis=0)[:, 1] - sides[:, 1] * np.roll(sides, -1, axis=0)[:, 0]
    sines = turns / (lengths * np.roll(lengths, -1) + 1e-9)
    ratios = lengths[[0, 1]] / np.maximum(lengths[[2, 3]], 1e-9)
    area = cv2.contourArea(corners.astype(np.float32)) / (height * width)
    return bool((sines > 0.75).all() and (np.abs(np.log(ratios)) < 0.5).all() and _MIN_AREA <= area <= _MAX_AREA)


def _ordered(corners: np.ndarray) -> np.ndarray:
    """Return corners clockwise in the picture, that nearest to the top left first."""
    centre = corners.mean(axis=0)
    angles = np.arctan2(*(corners - centre).T[::-1])
    clockwise = corners[np.argsort(angles)]
    return np.roll(clockwise, -int(clockwise.sum(axis=1).argmin()), axis=0)


def _inset_corners(corners: np.ndarray, distance: float) -> np.ndarray:
    """Return the corners moved inwards along both sides by a distance in pixels."""
    towards = [np.roll(corners, shift, axis=0) - corners for shift in (1, -1)]
    return corners + sum(distance * side / np.linalg.norm(side, axis=1, keepdims=True) for side in towards)
