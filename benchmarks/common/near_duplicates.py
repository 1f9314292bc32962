"""Near-duplicates among photographs of different sizes: an encoder proposes pairs, local features verify them.

`toolbox.data.near_duplicates` looks for a translation, as between crops of one file. Copies of a photograph from
several websites differ in scale too, so a homography is fitted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from toolbox import backbones
from toolbox.utils.disjoint_sets import DisjointSets

BACKBONE = "tf_efficientnet_lite0"
SIDE = 160  # side in pixels of the encoder's input
SHORT = 256  # short side in pixels of the picture for local features
# Chosen on 5,406 photographs, by looking at the pairs near each limit.
NEIGHBOURS = 6
LEAST_COSINE = 0.35
ALIKE_COSINE = 0.85
INLIERS = 12
CERTAIN_INLIERS = 30
LEAST_CORRELATION = 0.6
REPROJECTION = 4.0  # pixels


@dataclass(frozen=True, kw_only=True)
class Features:
    """The features of a photograph: embedding (N,), keypoints (K, 2), their descriptors (K, 128), gray picture."""

    embedding: np.ndarray
    points: np.ndarray
    descriptors: np.ndarray
    gray: np.ndarray


class Extractor:
    """Extracts the features of photographs with an encoder, whose weights are a safetensors file."""

    def __init__(self, weights: Path) -> None:
        """Load the encoder."""
        backbone = backbones.create(BACKBONE)
        backbones.load(backbone, BACKBONE, pretrained=False, weights=str(weights))
        self.network = backbone.network.eval()
        self.sift = cv2.SIFT.create(nfeatures=500, contrastThreshold=0.02)

    @torch.inference_mode()
    def __call__(self, photo: np.ndarray) -> Features:
        """Return the features of a photograph (H, W, 3) uint8 RGB; they do not depend on its colours."""
        gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, SHORT / min(gray.shape))
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else gray
        side = min(gray.shape)
        top, left = (gray.shape[0] - side) // 2, (gray.shape[1] - side) // 2
        middle = gray[top : top + side, left : left + side]
        small = cv2.resize(middle, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        maps = self.network(((torch.from_numpy(small) - 127) / 128).expand(1, 3, -1, -1))
        embedding = torch.cat([one.mean((2, 3)) for one in maps[-2:]], 1)[0].numpy()
        keypoints, descriptors = self.sift.detectAndCompute(gray, None)
        points = np.array([point.pt for point in keypoints], np.float32).reshape(-1, 2)
        none = np.zeros((0, 128), np.float32)
        return Features(
            embedding=embedding, points=points, descriptors=none if descriptors is None else descriptors, gray=gray
        )


def groups(features: Sequence[Features]) -> list[int]:
    """Return the group of each photograph: the lowest index among its direct and indirect near-duplicates."""
    sets = DisjointSets(len(features))
    for one, other, cosine in candidates(np.array([each.embedding for each in features])):
        is_known = sets.label(one) == sets.label(other)
        if not is_known and (cosine >= ALIKE_COSINE or is_same_scene(features[one], features[other])):
            sets.join(one, other)
    return sets.labels()


def candidates(embeddings: np.ndarray) -> list[tuple[int, int, float]]:
    """Return pairs whose embeddings (n, N), each number standardised, have the highest cosine, with that cosine."""
    if len(embeddings) < 2:
        return []
    unit = (embeddings - embeddings.mean(0)) / np.maximum(embeddings.std(0), 1e-6)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -1)
    pairs = set()
    for one, row in enumerate(cosine):
        for other in np.argsort(-row)[:NEIGHBOURS]:
            if row[other] > LEAST_COSINE:
                pairs.add((min(one, int(other)), max(one, int(other))))
    return [(one, other, float(cosine[one, other])) for one, other in sorted(pairs)]


def is_same_scene(first: Features, second: Features) -> bool:
    """Return whether a homography maps one photograph onto the other, by local features and by correlation."""
    inliers, homography = match(first, second)
    if homography is None or inliers < INLIERS:
        return False
    return inliers >= CERTAIN_INLIERS or correlation(first.gray, second.gray, homography) >= LEAST_CORRELATION


def match(left: Features, right: Features) -> tuple[int, np.ndarray | None]:
    """Return the number of inliers of a homography from `left` to `right`, and the homography (3, 3) or None."""
    if min(len(left.points), len(right.points)) < 8:
        return 0, None
    pairs = cv2.BFMatcher().knnMatch(left.descriptors, right.descriptors, k=2)
    good = [first for first, second in pairs if first.distance < 0.75 * second.distance]
    if len(good) < 8:
        return 0, None
    start = left.points[[pair.queryIdx for pair in good]]
    end = right.points[[pair.trainIdx for pair in good]]
    homography, mask = cv2.findHomography(start, end, cv2.RANSAC, REPROJECTION)
    return (0, None) if homography is None else (int(mask.sum()), homography)


def correlation(first: np.ndarray, second: np.ndarray, homography: np.ndarray) -> float:
    """Return the correlation of two smoothed gray photographs where the first, warped, covers the second."""
    size = second.shape[1], second.shape[0]
    warped = cv2.GaussianBlur(cv2.warpPerspective(first, homography, size), (0, 0), 2)
    covered = cv2.warpPerspective(np.full(first.shape, 255, np.uint8), homography, size) > 250
    if covered.mean() < 0.05:
        return 0.0
    pair = np.stack([warped[covered], cv2.GaussianBlur(second, (0, 0), 2)[covered]]).astype(np.float64)
    return float(np.corrcoef(pair)[0, 1]) if (pair.std(1) > 0).all() else 0.0
