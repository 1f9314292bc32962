"""Local features of two photographs, and the homographies that they agree on.

SIFT (Lowe 2004) with square roots of the normalised descriptors (Arandjelovic and Zisserman 2012), Lowe's ratio test
in both directions, and RANSAC. A scene with several planes gives several homographies. The number of features that
agree is not enough to decide: repeated structure of unrelated photographs agrees too. So nothing here decides whether
photographs match.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FEATURES = 3000
# Lowe's ratio of the nearest to the second nearest descriptor.
RATIO = 0.8
MAX_ERROR = 3.0  # pixels between a feature and the position that a homography gives
MIN_INLIERS = 10
MAX_PLANES = 3
# What a camera can do between two photographs of one scene: the scale along any direction, and how unequal it may be.
SCALES = (0.2, 5.0)
MAX_ANISOTROPY = 3.0
_ROWS = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Local features of one photograph.

    Attributes:
        points: (N, 2) float32, x and y in pixels of the photograph.
        descriptors: (N, 128) float32 of length 1.
        size: height and width of the photograph in pixels.
    """

    points: np.ndarray
    descriptors: np.ndarray
    size: tuple[int, int]


def find_features(gray: np.ndarray, lost: np.ndarray | None = None, limit: int = FEATURES) -> Features:
    """Return the strongest local features of a photograph.

    Args:
        gray: (H, W) uint8.
        lost: (H, W) bool; it has no features, and neither have pixels so near that its edge would affect them. None:
            nothing is lost.
        limit: the number of features at most.
    """
    usable = None
    if lost is not None and lost.any():
        usable = np.where(cv2.dilate(lost.view(np.uint8), np.ones((9, 9), np.uint8)) > 0, 0, 255).astype(np.uint8)
    # Half of OpenCV's contrast threshold, since faded prints have little contrast.
    keypoints, descriptors = cv2.SIFT.create(limit, contrastThreshold=0.02).detectAndCompute(gray, usable)
    size = (gray.shape[0], gray.shape[1])
    if descriptors is None or not len(keypoints):
        return Features(points=np.empty((0, 2), np.float32), descriptors=np.empty((0, 128), np.float32), size=size)
    points = np.array([point.pt for point in keypoints[:limit]], np.float32)
    descriptors = descriptors[:limit]
    roots = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    return Features(points=points, descriptors=roots, size=size)


def match_features(left: Features, right: Features) -> np.ndarray:
    """Return the pairs (M, 2) of features that are each other's nearest and pass the ratio test, as indices."""
    if len(left.points) < 2 or len(right.points) < 2:
        return np.empty((0, 2), np.int64)
    there = np.empty(len(left.points), np.int64)
    passed = np.empty(len(left.points), bool)
    best_back = np.full(len(right.points), -np.inf, np.float32)
    back = np.zeros(len(right.points), np.int64)
    for start in range(0, len(left.points), _ROWS):
        cosine = left.descriptors[start : start + _ROWS] @ right.descriptors.T
        rows = np.arange(len(cosine))
        nearest = cosine.argmax(1)
        first = cosine[rows, nearest]
        top, at = cosine.max(0), cosine.argmax(0)
        better = top > best_back
        best_back[better], back[better] = top[better], at[better] + start
        cosine[rows, nearest] = -np.inf
        # Distances of vectors of length 1: |a - b|^2 = 2 - 2 cos.
        passed[start : start + len(rows)] = 1 - first < RATIO**2 * (1 - cosine.max(1))
        there[start : start + len(rows)] = nearest
    own = np.flatnonzero(passed & (back[there] == np.arange(len(there))))
    return np.column_stack([own, there[own]])


def find_homographies(first: Features, second: Features, planes: int = MAX_PLANES) -> list[np.ndarray]:
    """Return homographies (3, 3) from the first photograph's pixels to the second's, those of most features first.

    Each next one is found among the features that no earlier one explains. Homographies that no camera makes
    (mirrored, folded, too unequal) are left out. An empty list means that the photographs do not match.
    """
    pairs = match_features(first, second)
    a, b = first.points[pairs[:, 0]], second.points[pairs[:, 1]]
    homographies: list[np.ndarray] = []
    while len(a) >= MIN_INLIERS and len(homographies) < planes:
        # OpenCV draws the samples of RANSAC from a fixed seed, so equal photographs give equal results.
        homography, inliers = cv2.findHomography(a, b, cv2.RANSAC, MAX_ERROR, maxIters=4000, confidence=0.999)
        if homography is None or inliers.sum() < MIN_INLIERS:
            break
        is_inlier = inliers[:, 0] > 0
        if not is_plausible(homography, a[is_inlier]):
            break
        homographies.append(homography)
        moved = cv2.perspectiveTransform(a[:, None], homography)[:, 0]
        # Features near the positions that the homography gives belong to its plane; the dense correction aligns them.
        rest = np.hypot(*(moved - b).T) > 2 * MAX_ERROR
        a, b = a[rest & ~is_inlier], b[rest & ~is_inlier]
    return homographies


def is_plausible(homography: np.ndarray, points: np.ndarray) -> bool:
    """Return whether a camera can make this homography (3, 3) around the points (N, 2), x and y in pixels."""
    homography = homography / homography[2, 2]
    ones = np.column_stack([points.astype(np.float64), np.ones(len(points))])
    x, y, depth = homography @ ones.T
    if depth.min() <= 0.1 or depth.max() >= 10:
        return False
    # The derivative of (x / d, y / d) at every point.
    rows = [(homography[k, None, :2] * depth[:, None] - v[:, None] * homography[2, :2]) for k, v in enumerate((x, y))]
    jacobian = np.stack(rows, 1) / (depth**2)[:, None, None]
    if (np.linalg.det(jacobian) <= 0).any():
        return False
    stretch = np.linalg.svd(jacobian, compute_uv=False)
    least, most = stretch.min(), stretch.max()
    return bool(SCALES[0] <= least and most <= SCALES[1] and (stretch[:, 0] <= MAX_ANISOTROPY * stretch[:, 1]).all())
