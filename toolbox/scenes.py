"""Which photographs show one scene, and splits that know it.

Bursts and overlapping crops of one photograph share corners that look alike and lie apart by one and the same
translation. Each photograph gives a small fingerprint: corners with binary descriptors (ORB) and a thumbnail.
Descriptors that agree in a band of 24 bits are found by sorting, so no pair of photographs is compared that
has nothing in common; a pair that many corners vote for is verified on the thumbnails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

CORNERS = 450
SPACING = 8  # pixels between corners
LARGEST = 1024  # short side, pixels; larger photographs are halved until they fit
WINDOW = 33  # pixels within which contrast is made even
NOISE = 1.5  # gray levels of contrast that are left as they are
THUMB = 8  # pixels of the photograph a pixel of the thumbnail
BANDS = 10  # bands of three bytes among the 32 of a descriptor
CROWD = 24  # a band value that more corners share is a repeating texture and says nothing
TOLERANCE = 4  # pixels that the votes for one translation may lie apart
VOTES = 4  # corners that must agree on a translation
CORRELATION = 0.75  # of the thumbnails over the shared area
SHARED = 0.15  # least share of the smaller photograph that both show


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What is kept of one photograph, under 20 kB at 512 pixels.

    Attributes:
        corners: (N, 2) int16, x and y in pixels.
        descriptors: (N, 32) uint8.
        thumbnail: (h, w) uint8, an eighth of the photograph's sides.
    """

    corners: np.ndarray
    descriptors: np.ndarray
    thumbnail: np.ndarray


def random_split(count: int, *, share: float = 0.2, seed: int = 42) -> tuple[list[int], list[int]]:
    """Split `count` photographs at random, in the very order of scikit-learn's train_test_split.

    Args:
        count: how many photographs there are.
        share: of them that validate, in (0, 1).
        seed: scikit-learn's random_state.

    Returns:
        The indices that train and those that validate.
    """
    held_out = math.ceil(share * count)
    order = np.random.RandomState(seed).permutation(count)
    return order[held_out:].tolist(), order[:held_out].tolist()


def scene_split(labels: Sequence[int], *, share: float = 0.2, seed: int = 42) -> tuple[list[int], list[int]]:
    """Split photographs so that every scene lies on one side, the validation share met as nearly as it can be.

    Args:
        labels: each photograph's scene.
        share: of the photographs that validate, in (0, 1).
        seed: of the order in which scenes are drawn.

    Returns:
        The indices that train and those that validate, each in rising order.
    """
    scenes: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        scenes.setdefault(label, []).append(index)
    wanted = math.ceil(share * len(labels))
    order = list(scenes)
    np.random.RandomState(seed).shuffle(order)
    held_out: list[int] = []
    for label in order:
        members = scenes[label]
        fits = len(held_out) + len(members) <= wanted
        # Of two scenes or more at least one must train.
        if fits and len(held_out) + len(members) < len(labels):
            held_out += members
    if not held_out and len(scenes) > 1:
        held_out = min(scenes.values(), key=len)
    validation = set(held_out)
    return [index for index in range(len(labels)) if index not in validation], sorted(validation)


def leaks(labels: Sequence[int], train: Sequence[int], validation: Sequence[int]) -> int:
    """Return how many validation photographs share a scene with a training photograph."""
    known = {labels[index] for index in train}
    return sum(labels[index] in known for index in validation)


def fingerprint(photo: np.ndarray) -> Fingerprint:
    """Return the fingerprint of a photograph, (H, W) gray or (H, W, 3) RGB, uint8."""
    gray = photo if photo.ndim == 2 else cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    while min(gray.shape) > LARGEST:
        gray = cv2.resize(gray, (gray.shape[1] // 2, gray.shape[0] // 2), interpolation=cv2.INTER_AREA)
    height, width = gray.shape
    thumbnail = cv2.resize(gray, (max(1, width // THUMB), max(1, height // THUMB)), interpolation=cv2.INTER_AREA)
    # Softened, because a translation is hardly ever a whole number of the thumbnail's pixels.
    thumbnail = cv2.GaussianBlur(thumbnail, (0, 0), 1)
    soft = _evened(gray)
    found = cv2.goodFeaturesToTrack(soft, CORNERS, 0.0005, SPACING)
    points = [] if found is None else [cv2.KeyPoint(float(x), float(y), 31.0, 0.0) for x, y in found[:, 0]]
    orb = cv2.ORB.create(nfeatures=CORNERS, nlevels=1, edgeThreshold=16, fastThreshold=0)
    kept, descriptors = orb.compute(soft, points) if points else ((), None)
    if descriptors is None:
        descriptors = np.empty((0, 32), np.uint8)
    corners = np.array([point.pt for point in kept], np.int16).reshape(-1, 2)
    return Fingerprint(corners=corners, descriptors=descriptors, thumbnail=thumbnail)


def _evened(gray: np.ndarray) -> np.ndarray:
    """Return the photograph with its local contrast made even.

    The strongest corners of a photograph are then spread over it, so that two crops of it keep the same ones in
    the area that they share.
    """
    soft = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.2)
    mean = cv2.boxFilter(soft, -1, (WINDOW, WINDOW))
    spread = np.sqrt(np.maximum(cv2.boxFilter(soft * soft, -1, (WINDOW, WINDOW)) - mean * mean, 0)) + NOISE
    return np.clip(128 + 48 * (soft - mean) / spread, 0, 255).astype(np.uint8)


def group(prints: Sequence[Fingerprint]) -> list[int]:
    """Return each photograph's scene: the lowest index among the photographs of that scene."""
    parent = list(range(len(prints)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for one, other, shift in _candidates(prints):
        a, b = root(one), root(other)
        if a != b and _same(prints[one], prints[other], shift):
            parent[max(a, b)] = min(a, b)
    return [root(index) for index in range(len(prints))]


def _candidates(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int, tuple[float, float]]]:
    """Yield pairs that enough corners vote for, with the translation from the first to the second."""
    counts = [len(one.corners) for one in prints]
    if sum(counts) == 0:
        return
    owner = np.repeat(np.arange(len(prints), dtype=np.int64), counts)
    corners = np.concatenate([one.corners for one in prints]).astype(np.int64)
    descriptors = np.concatenate([one.descriptors for one in prints])
    pairs = np.unique(np.concatenate([_agreeing(descriptors, band) for band in range(BANDS)]), axis=0)
    pairs = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
    if not len(pairs):
        return
    shift = corners[pairs[:, 1]] - corners[pairs[:, 0]]
    key = owner[pairs[:, 0]] * len(prints) + owner[pairs[:, 1]]
    order = np.argsort(key, kind="stable")
    key, shift = key[order], shift[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    for start, end in zip(starts, np.r_[starts[1:], len(key)], strict=True):
        if end - start >= VOTES:
            agreed = _translation(shift[start:end])
            if agreed is not None:
                yield int(key[start] // len(prints)), int(key[start] % len(prints)), agreed


def _agreeing(descriptors: np.ndarray, band: int) -> np.ndarray:
    """Return (n, 2) indices, the lower first, of corners whose descriptors agree in one band of 24 bits."""
    parts = descriptors[:, 3 * band : 3 * band + 3].astype(np.int64)
    value = parts[:, 0] << 16 | parts[:, 1] << 8 | parts[:, 2]
    order = np.argsort(value, kind="stable")
    ordered = value[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[starts, len(ordered)])
    found = []
    for size in range(2, CROWD + 1):
        members = order[starts[sizes == size][:, None] + np.arange(size)]
        first, second = np.triu_indices(size, 1)
        found.append(np.stack([members[:, first].ravel(), members[:, second].ravel()], axis=1))
    return np.concatenate(found)


def _translation(shifts: np.ndarray) -> tuple[float, float] | None:
    """Return the translation that most shifts (n, 2) agree on, if enough do."""
    shifts = shifts[:512]  # a few hundred votes decide; more only cost time
    near = (np.abs(shifts[:, None] - shifts[None]) <= TOLERANCE).all(axis=2)
    best = int(near.sum(axis=1).argmax())
    if near[best].sum() < VOTES:
        return None
    x, y = np.median(shifts[near[best]], axis=0)
    return float(x), float(y)


def _same(one: Fingerprint, other: Fingerprint, shift: tuple[float, float]) -> bool:
    """Say whether the thumbnails agree where the translation lays them over each other."""
    height, width = other.thumbnail.shape
    move = np.array([[1, 0, shift[0] / THUMB], [0, 1, shift[1] / THUMB]])
    moved = cv2.warpAffine(one.thumbnail, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    whole = np.full_like(one.thumbnail, 255)
    shared = cv2.warpAffine(whole, move, (width, height), flags=cv2.INTER_NEAREST) > 0
    if shared.sum() < SHARED * min(one.thumbnail.size, other.thumbnail.size):
        return False
    a, b = moved[shared].astype(np.float64), other.thumbnail[shared].astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return scale > 0 and float(a @ b) / scale >= CORRELATION
