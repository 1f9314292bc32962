"""Which photographs show one scene, and splits that know it.

Bursts and overlapping crops of one photograph share corners that look alike and lie apart by one and the same
translation. Each photograph gives a small fingerprint: corners at two sizes with binary descriptors (ORB), and a
thumbnail. The descriptors are sorted by several shuffles of their bits, and only neighbours in such an order are
looked at, so the work grows with the number of photographs and not with that of their pairs. A pair that some
corners vote for is verified: many corners must match under its translation, and so must the thumbnails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

FORMAT_VERSION = 2  # raised when the same photographs may get other scenes, so that nothing old is taken from a cache
LARGEST = 1024  # short side, pixels; larger photographs are halved until they fit
CORNERS = (250, 130)  # in the photograph, and in the photograph at half its size, which noise touches less
SPACING = 6  # pixels between corners
CELL = 64  # pixels; cells give equally many corners, so that two crops keep the same ones where they overlap
MARGIN = 16  # pixels from the border within which ORB describes nothing
WINDOW = 33  # pixels within which contrast is made even
NOISE = 3.0  # gray levels of contrast that are left as they are
THUMB = 8  # pixels of the photograph a pixel of the thumbnail

ORDERS = 16  # shuffles of the descriptors' bits
NEIGHBOURS = 3  # next ones in an order that a descriptor is compared with
PREFIX = 24  # leading bits of an order that must agree
ALIKE = 40  # of a descriptor's 256 bits that may differ for a vote,
MATCHING = 64  # and for a match where the translation says where to look
TOLERANCE = 4  # pixels that the votes for one translation may lie apart
VOTES = 3  # corners that must agree on a translation
NEAR = 3  # pixels between where a corner lies and where the translation puts it
# Chosen on one half of 769 photographs: overlaps of a quarter had 11 matches or more but for one, others 4 or fewer.
MATCHES = 8
CORRELATION = 0.5  # of the thumbnails over the shared area

_BIT_COUNT = np.array([value.bit_count() for value in range(1 << 16)], np.uint8)


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What is kept of one photograph, under 20 kB at 512 pixels.

    Attributes:
        corners: (N, 3) int16: x and y in pixels, and 0, or 1 for a corner found at half the size.
        descriptors: (N, 32) uint8.
        thumbnail: (h, w) uint8, an eighth of the photograph's sides.
        shape: height and width in pixels, of what the corners' places refer to.
    """

    corners: np.ndarray
    descriptors: np.ndarray
    thumbnail: np.ndarray
    shape: tuple[int, int]


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
    """Split photographs so that every scene lies on one side.

    Scenes are drawn at random for validation where they still fit, so the share is met exactly where enough of
    them are single photographs, and within the largest scene's size always.

    Args:
        labels: each photograph's scene.
        share: of the photographs that validate, in (0, 1).
        seed: of the order in which scenes are drawn.

    Returns:
        The indices that train and those that validate, each in rising order. One scene alone all trains.
    """
    scenes: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        scenes.setdefault(label, []).append(index)
    wanted = min(math.ceil(share * len(labels)), len(labels) - 1)
    order = list(scenes)
    np.random.RandomState(seed).shuffle(order)
    held_out: list[int] = []
    rest = []
    for label in order:
        if len(held_out) + len(scenes[label]) <= wanted:
            held_out += scenes[label]
        else:
            rest.append(scenes[label])
    if len(rest) > 1:
        least = min(rest, key=len)  # goes past the share, and may still come nearer to it
        options = [each for each in (held_out, [*held_out, *least], least) if each]
        held_out = min(options, key=lambda option: abs(len(option) - wanted))
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
        gray = _smaller(gray, 2)
    # Softened, because a translation is hardly ever a whole number of the thumbnail's pixels.
    thumbnail = cv2.GaussianBlur(_smaller(gray, THUMB), (0, 0), 1)
    found = [_corners(gray, 0), _corners(_smaller(gray, 2), 1)]
    return Fingerprint(
        corners=np.concatenate([corners for corners, _ in found]),
        descriptors=np.concatenate([descriptors for _, descriptors in found]),
        thumbnail=thumbnail,
        shape=(gray.shape[0], gray.shape[1]),
    )


def _smaller(gray: np.ndarray, times: int) -> np.ndarray:
    size = max(1, gray.shape[1] // times), max(1, gray.shape[0] // times)
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _corners(gray: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return corners (N, 3) int16, as in a fingerprint, with their descriptors (N, 32)."""
    even = _evened(gray)
    found = cv2.goodFeaturesToTrack(even, 4 * CORNERS[level], 0.0002, SPACING)
    places = np.empty((0, 2)) if found is None else found[:, 0]  # the strongest first
    places = places[_inside(places, gray.shape, MARGIN)]
    column, row = (places // CELL).astype(np.int64).T
    order = np.argsort(row * gray.shape[1] + column, kind="stable")
    cell = (row * gray.shape[1] + column)[order]
    rank = np.empty(len(places), np.int64)
    rank[order] = np.arange(len(places)) - np.searchsorted(cell, cell)  # within its cell
    places = places[np.argsort(rank, kind="stable")[: CORNERS[level]]]
    # Upright (angle 0): photographs of one scene are not turned against each other.
    points = [cv2.KeyPoint(float(x), float(y), 31.0, 0.0) for x, y in places]
    orb = cv2.ORB.create(nfeatures=CORNERS[level], nlevels=1, edgeThreshold=MARGIN, fastThreshold=0)
    kept, descriptors = orb.compute(even, points) if points else ((), None)
    if descriptors is None:
        return np.empty((0, 3), np.int16), np.empty((0, 32), np.uint8)
    corners = [(x * (1 + level), y * (1 + level), level) for x, y in (point.pt for point in kept)]
    return np.array(corners).astype(np.int16), descriptors


def _evened(gray: np.ndarray) -> np.ndarray:
    """Return the photograph, softened, with its local contrast made even: no part of it outshines the others."""
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


def _candidates(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield pairs that enough corners vote for, with the translation (x, y) from the first to the second."""
    owner = np.repeat(np.arange(len(prints)), [len(one.corners) for one in prints])
    if not len(owner):
        return
    corners = np.concatenate([one.corners for one in prints])
    first, second = _alike(np.concatenate([one.descriptors for one in prints]), owner, corners[:, 2])
    photos = owner[first] * len(prints) + owner[second]
    enough = _frequent(photos)
    first, second, photos = first[enough], second[enough], photos[enough]
    shift = corners[second, :2].astype(np.int64) - corners[first, :2]
    # Votes that agree lie in one square of at least one of four grids, each a half step off the others.
    enough = np.zeros(len(photos), bool)
    for offset in ((0, 0), (1, 0), (0, 1), (1, 1)):
        square = (shift // (2 * TOLERANCE) + offset) // 2 + (1 << 13)
        enough |= _frequent(photos << 28 | square[:, 0] << 14 | square[:, 1])
    order = np.flatnonzero(enough)[np.argsort(photos[enough], kind="stable")]
    for votes in np.split(order, np.flatnonzero(np.diff(photos[order])) + 1):
        agreed = _translation(first[votes], second[votes], shift[votes]) if len(votes) else None
        if agreed is not None:
            yield int(owner[first[votes[0]]]), int(owner[second[votes[0]]]), agreed


def _frequent(values: np.ndarray) -> np.ndarray:
    """Say which values (n,) occur at least as often as a translation needs votes."""
    order = np.argsort(values)
    starts = np.flatnonzero(np.diff(values[order], prepend=-1))
    sizes = np.diff(starts, append=len(values))
    frequent = np.empty(len(values), bool)
    frequent[order] = np.repeat(sizes >= VOTES, sizes)
    return frequent


def _alike(descriptors: np.ndarray, owner: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of descriptors of two photographs that are near to each other: the lower index, the higher."""
    words = descriptors.view(np.uint16)
    random = np.random.RandomState(0)
    found = []
    for number in range(ORDERS):
        if number % 4 == 0:
            columns = random.permutation(32)
        chosen = columns[8 * (number % 4) : 8 * (number % 4) + 8]
        value = np.ascontiguousarray(descriptors[:, chosen]).view(np.uint64)[:, 0]
        value = value >> np.uint64(1) | level.astype(np.uint64) << np.uint64(63)
        order = np.argsort(value)
        for step in range(1, NEIGHBOURS + 1):
            a, b = order[:-step], order[step:]
            near = (value[a] ^ value[b] < np.uint64(1 << (64 - PREFIX))) & (owner[a] != owner[b])
            a, b = a[near], b[near]
            near = _distance(words, a, b) <= ALIKE
            a, b = a[near], b[near]
            found.append(np.minimum(a, b) << 32 | np.maximum(a, b))
    pairs = np.unique(np.concatenate(found))
    return pairs >> 32, pairs & 0xFFFFFFFF


def _distance(words: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return in how many bits descriptors, given as (N, 16) uint16, differ."""
    return _BIT_COUNT[words[a] ^ words[b]].sum(axis=1, dtype=np.int64)


def _translation(first: np.ndarray, second: np.ndarray, shifts: np.ndarray) -> np.ndarray | None:
    """Return the translation (x, y) that most votes agree on, if enough corners stand behind it."""
    shifts = shifts[:512]  # a few hundred votes decide; more only cost time
    near = (np.abs(shifts[:, None] - shifts[None]) <= TOLERANCE).all(axis=2)
    agreed = np.flatnonzero(near[near.sum(axis=1).argmax()])
    voters = min(len(np.unique(first[agreed])), len(np.unique(second[agreed])))
    return np.median(shifts[agreed], axis=0) if voters >= VOTES else None


def _same(one: Fingerprint, other: Fingerprint, shift: np.ndarray) -> bool:
    """Say whether corners and thumbnails agree where the translation lays the photographs over each other."""
    moved = one.corners[:, :2] + shift
    a = np.flatnonzero(_inside(moved, other.shape, MARGIN * (1 + one.corners[:, 2:])))
    bits = [2.0 * np.unpackbits(each, axis=1) - 1 for each in (one.descriptors[a], other.descriptors)]
    distance = (256 - bits[0].astype(np.float32) @ bits[1].astype(np.float32).T) / 2
    distance[one.corners[a][:, None, 2] != other.corners[None, :, 2]] = 256
    near = (np.abs(moved[a][:, None] - other.corners[None, :, :2]) <= NEAR).all(axis=2)
    here = np.where(near, distance, 256).min(axis=1, initial=256)
    elsewhere = np.where(near, 256, distance).min(axis=1, initial=256)
    # In a repeating or a smooth texture other corners are as near, and a match says nothing.
    if ((here <= MATCHING) & (here < elsewhere)).sum() < MATCHES:
        return False
    height, width = other.thumbnail.shape
    move = np.array([[1, 0, shift[0] / THUMB], [0, 1, shift[1] / THUMB]])
    laid = cv2.warpAffine(one.thumbnail, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    whole = np.full_like(one.thumbnail, 255)
    shared = cv2.warpAffine(whole, move, (width, height), flags=cv2.INTER_NEAREST) > 0
    if not shared.any():
        return False
    x, y = laid[shared].astype(np.float64), other.thumbnail[shared].astype(np.float64)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return scale > 0 and float(x @ y) / scale >= CORRELATION


def _inside(places: np.ndarray, shape: tuple[int, ...], margin: np.ndarray | int) -> np.ndarray:
    """Say which places (N, 2) lie in a photograph of that shape, `margin` pixels from its border."""
    inside = (places >= margin) & (places < np.array([shape[1], shape[0]]) - margin)
    return np.all(inside, axis=1)
