"""Photographs of the same scene: bursts, crops of one photograph, and copies of another size.

Bursts and overlapping crops of one photograph have similar corners, whose positions differ by one translation. The
fingerprint of a photograph holds corners at two scales with binary descriptors (ORB), and a thumbnail. The descriptors
of all photographs are sorted several times, each time with their bits in another order, and only neighbours in a sorted
list are compared: the work grows with the number of photographs, not with the number of pairs. A pair with enough votes
for one translation is verified: many corners must match under that translation, and so must the thumbnails.

A copy of another size has no such translation. For it, the whole photograph is reduced to 16 x 16 local contrasts,
whose signs are compared in the same way as the descriptors.

Reference: Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from toolbox.utils.disjoint_sets import DisjointSets

FORMAT_VERSION = 3  # raised when the same photographs may get other scenes, so that old cache entries are not used
MAX_SHORT_SIDE = 1024  # pixels; larger photographs are halved until they fit
MAX_CORNERS = (250, 130)  # at full and at half size; noise disturbs the latter less
CORNER_DISTANCE = 6  # minimum distance between corners in pixels
CELL = 64  # pixels; each cell gives equally many corners, so that two crops keep the same corners where they overlap
BORDER = 16  # pixels from the border where ORB computes no descriptor
CONTRAST_WINDOW = 33  # pixels; the window of the contrast normalisation
NOISE_CONTRAST = 3.0  # gray levels; weaker contrast is not amplified
THUMBNAIL_SCALE = 8  # pixels of the photograph for each pixel of the thumbnail

BIT_ORDERS = 16  # sorted lists, each with the descriptors' bits in another order
NEIGHBOURS = 3  # following entries of a sorted list that a descriptor is compared with
PREFIX_BITS = 24  # leading bits that neighbours must have in common
VOTE_DISTANCE = 40  # differing bits of 256, at most, for a vote
MATCH_DISTANCE = 64  # differing bits, at most, for a match at the position that the translation gives
VOTE_TOLERANCE = 4  # pixels between the votes for one translation
MIN_VOTES = 3  # corners that must agree on a translation
MATCH_TOLERANCE = 3  # pixels between a corner and the position that the translation gives
# Chosen on one half of 769 photographs: overlaps of a quarter had 11 matches or more except one, others at most 4.
MIN_MATCHES = 8
MIN_CORRELATION = 0.5  # of the thumbnails in the shared area

OVERVIEW_SIDE = 16  # local contrasts of the whole photograph, in each direction
OVERVIEW_PIXELS = 64  # side of the reduced photograph in which they are measured
OVERVIEW_SIGMAS = (1.0, 4.0)  # pixels of it; a contrast is the difference of two Gaussian means
# A contrast counts as positive above this part of the mean one: in flat areas, noise would decide.
SIGN_LIMIT = 0.6 / OVERVIEW_SIDE
# Chosen on every second one of 769 photographs, and on crops of 150 of them with copies (0.3 to 1.6 times the size,
# JPEG of quality 40 to 95): of the copies 98.7 % are found or more, depending on the size, and no two photographs are
# taken for copies. Of crops of 100 of the other photographs, 97 % of the copies are found.
MIN_OVERVIEW_CORRELATION = 0.93
MIN_INNER_CORRELATION = 0.85
INNER_MARGIN = 3  # contrasts at each edge, where prints have the same frame

_BIT_COUNT = np.array([value.bit_count() for value in range(1 << 16)], np.uint8)


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The features of one photograph, less than 20 kB at 512 pixels.

    Attributes:
        corners: (N, 3) int16: x and y in pixels, and the scale: 0, or 1 for a corner found at half the size.
        descriptors: (N, 32) uint8.
        thumbnail: (h, w) uint8, an eighth of the photograph's sides.
        shape: height and width in pixels of the picture that the corners refer to.
        overview: (256,) float32, the local contrasts of the whole photograph; their squares add up to 1, or to 0 if it
            is flat.
    """

    corners: np.ndarray
    descriptors: np.ndarray
    thumbnail: np.ndarray
    shape: tuple[int, int]
    overview: np.ndarray


def fingerprint(photo: np.ndarray) -> Fingerprint:
    """Return the fingerprint of a photograph, (H, W) gray or (H, W, 3) RGB, uint8."""
    gray = photo if photo.ndim == 2 else cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    while min(gray.shape) > MAX_SHORT_SIDE:
        gray = _shrink(gray, 2)
    # Blurred, because a translation is rarely a multiple of the thumbnail's pixel size.
    thumbnail = cv2.GaussianBlur(_shrink(gray, THUMBNAIL_SCALE), (0, 0), 1)
    features = [_detect_corners(gray, 0), _detect_corners(_shrink(gray, 2), 1)]
    return Fingerprint(
        corners=np.concatenate([corners for corners, _ in features]),
        descriptors=np.concatenate([descriptors for _, descriptors in features]),
        thumbnail=thumbnail,
        shape=(gray.shape[0], gray.shape[1]),
        overview=_overview(gray),
    )


def _overview(gray: np.ndarray) -> np.ndarray:
    side = (OVERVIEW_PIXELS, OVERVIEW_PIXELS)
    reduced = cv2.resize(gray, side, interpolation=cv2.INTER_AREA).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(reduced, (0, 0), sigma) for sigma in OVERVIEW_SIGMAS)
    contrasts = cv2.resize(fine - coarse, (OVERVIEW_SIDE, OVERVIEW_SIDE), interpolation=cv2.INTER_AREA).ravel()
    contrasts -= contrasts.mean()
    norm = float(np.linalg.norm(contrasts))
    return contrasts / norm if norm >= 1 else np.zeros_like(contrasts)  # in gray levels


def _shrink(gray: np.ndarray, factor: int) -> np.ndarray:
    size = max(1, gray.shape[1] // factor), max(1, gray.shape[0] // factor)
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _detect_corners(gray: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return corners (N, 3) int16, as in a fingerprint, with their descriptors (N, 32)."""
    normalised = _normalise_contrast(gray)
    detected = cv2.goodFeaturesToTrack(normalised, 4 * MAX_CORNERS[level], 0.0002, CORNER_DISTANCE)
    positions = np.empty((0, 2)) if detected is None else detected[:, 0]  # the strongest first
    positions = positions[_is_inside(positions, gray.shape, BORDER)]
    column, row = (positions // CELL).astype(np.int64).T
    order = np.argsort(row * gray.shape[1] + column, kind="stable")
    cell = (row * gray.shape[1] + column)[order]
    rank_in_cell = np.empty(len(positions), np.int64)
    rank_in_cell[order] = np.arange(len(positions)) - np.searchsorted(cell, cell)
    positions = positions[np.argsort(rank_in_cell, kind="stable")[: MAX_CORNERS[level]]]
    # Angle 0: photographs of one scene are not rotated against each other.
    points = [cv2.KeyPoint(float(x), float(y), 31.0, 0.0) for x, y in positions]
    orb = cv2.ORB.create(nfeatures=MAX_CORNERS[level], nlevels=1, edgeThreshold=BORDER, fastThreshold=0)
    described, descriptors = orb.compute(normalised, points) if points else ((), None)
    if descriptors is None:
        return np.empty((0, 3), np.int16), np.empty((0, 32), np.uint8)
    corners = [(x * (1 + level), y * (1 + level), level) for x, y in (point.pt for point in described)]
    return np.array(corners).astype(np.int16), descriptors


def _normalise_contrast(gray: np.ndarray) -> np.ndarray:
    """Return the photograph, blurred slightly, with the same local contrast everywhere."""
    soft = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.2)
    window = (CONTRAST_WINDOW, CONTRAST_WINDOW)
    mean = cv2.boxFilter(soft, -1, window)
    spread = np.sqrt(np.maximum(cv2.boxFilter(soft * soft, -1, window) - mean * mean, 0)) + NOISE_CONTRAST
    return np.clip(128 + 48 * (soft - mean) / spread, 0, 255).astype(np.uint8)


def group_scenes(fingerprints: Sequence[Fingerprint]) -> list[int]:
    """Return the scene of each photograph: the lowest index among the photographs of that scene."""
    scenes = DisjointSets(len(fingerprints))
    for first, second, translation in _candidate_pairs(fingerprints):
        is_known = scenes.label(first) == scenes.label(second)
        if not is_known and _is_same_scene(fingerprints[first], fingerprints[second], translation):
            scenes.join(first, second)
    for first, second in _copies(fingerprints):
        scenes.join(first, second)
    return scenes.labels()


def _copies(fingerprints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Yield pairs of photographs that are the same at any size."""
    structured = [index for index, features in enumerate(fingerprints) if features.overview.any()]
    if len(structured) < 2:
        return
    overviews = np.stack([fingerprints[index].overview for index in structured])
    signs = np.packbits(overviews > SIGN_LIMIT, axis=1)
    first, second = _similar_descriptors(signs, np.arange(len(signs)), np.zeros(len(signs), np.int64))
    inner = overviews.reshape(-1, OVERVIEW_SIDE, OVERVIEW_SIDE)[
        :, INNER_MARGIN:-INNER_MARGIN, INNER_MARGIN:-INNER_MARGIN
    ]
    inner = _unit_rows(inner.reshape(len(inner), -1))
    is_copy = _row_products(overviews, first, second) >= MIN_OVERVIEW_CORRELATION
    is_copy &= _row_products(inner, first, second) >= MIN_INNER_CORRELATION
    for a, b in zip(first[is_copy], second[is_copy], strict=True):
        yield structured[a], structured[b]


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows (N, M) without their means, each with length 1; rows that are nearly constant become 0."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = np.where(norms > 1e-3, rows / np.maximum(norms, 1e-3), 0)
    return unit


def _row_products(rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    products: np.ndarray = np.einsum("ij,ij->i", rows[first], rows[second])
    return products


def _candidate_pairs(fingerprints: Sequence[Fingerprint]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield pairs of photographs with enough votes, and the translation (x, y) from the first to the second."""
    owner = np.repeat(np.arange(len(fingerprints)), [len(features.corners) for features in fingerprints])
    if not len(owner):
        return
    corners = np.concatenate([features.corners for features in fingerprints])
    descriptors = np.concatenate([features.descriptors for features in fingerprints])
    first, second = _similar_descriptors(descriptors, owner, corners[:, 2])
    pair = owner[first] * len(fingerprints) + owner[second]
    enough = _is_frequent(pair)
    first, second, pair = first[enough], second[enough], pair[enough]
    shift = corners[second, :2].astype(np.int64) - corners[first, :2]
    # Votes that agree lie in one square of at least one of four grids, which are offset by half a step.
    enough = np.zeros(len(pair), bool)
    for offset in ((0, 0), (1, 0), (0, 1), (1, 1)):
        square = (shift // (2 * VOTE_TOLERANCE) + offset) // 2 + (1 << 13)
        enough |= _is_frequent(pair << 28 | square[:, 0] << 14 | square[:, 1])
    order = np.flatnonzero(enough)[np.argsort(pair[enough], kind="stable")]
    for votes in np.split(order, np.flatnonzero(np.diff(pair[order])) + 1):
        translation = _common_translation(first[votes], second[votes], shift[votes]) if len(votes) else None
        if translation is not None:
            yield int(owner[first[votes[0]]]), int(owner[second[votes[0]]]), translation


def _is_frequent(values: np.ndarray) -> np.ndarray:
    """Return which values (n,) occur at least `MIN_VOTES` times."""
    order = np.argsort(values)
    starts = np.flatnonzero(np.diff(values[order], prepend=-1))
    sizes = np.diff(starts, append=len(values))
    frequent = np.empty(len(values), bool)
    frequent[order] = np.repeat(sizes >= MIN_VOTES, sizes)
    return frequent


def _similar_descriptors(
    descriptors: np.ndarray, owner: np.ndarray, level: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of similar descriptors of two photographs: the lower indices and the higher indices."""
    words = descriptors.view(np.uint16)
    random = np.random.RandomState(0)
    pairs_by_order = []
    for number in range(BIT_ORDERS):
        if number % 4 == 0:
            columns = random.permutation(32)
        chosen = columns[8 * (number % 4) : 8 * (number % 4) + 8]
        value = np.ascontiguousarray(descriptors[:, chosen]).view(np.uint64)[:, 0]
        value = value >> np.uint64(1) | level.astype(np.uint64) << np.uint64(63)
        order = np.argsort(value)
        for step in range(1, NEIGHBOURS + 1):
            a, b = order[:-step], order[step:]
            near = (value[a] ^ value[b] < np.uint64(1 << (64 - PREFIX_BITS))) & (owner[a] != owner[b])
            a, b = a[near], b[near]
            near = _hamming_distance(words, a, b) <= VOTE_DISTANCE
            a, b = a[near], b[near]
            pairs_by_order.append(np.minimum(a, b) << 32 | np.maximum(a, b))
    pairs = np.unique(np.concatenate(pairs_by_order))
    return pairs >> 32, pairs & 0xFFFFFFFF


def _hamming_distance(words: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the number of differing bits of descriptors, given as (N, 16) uint16."""
    return _BIT_COUNT[words[a] ^ words[b]].sum(axis=1, dtype=np.int64)


def _common_translation(first: np.ndarray, second: np.ndarray, shifts: np.ndarray) -> np.ndarray | None:
    """Return the translation (x, y) with the most votes, None if too few different corners vote for it."""
    shifts = shifts[:512]  # a few hundred votes are enough
    near = (np.abs(shifts[:, None] - shifts[None]) <= VOTE_TOLERANCE).all(axis=2)
    agreeing = np.flatnonzero(near[near.sum(axis=1).argmax()])
    corner_count = min(len(np.unique(first[agreeing])), len(np.unique(second[agreeing])))
    return np.median(shifts[agreeing], axis=0) if corner_count >= MIN_VOTES else None


def _is_same_scene(a: Fingerprint, b: Fingerprint, translation: np.ndarray) -> bool:
    """Return whether corners and thumbnails agree when `a` is moved by the translation."""
    return _matching_corners(a, b, translation) >= MIN_MATCHES and _thumbnails_correlate(a, b, translation)


def _matching_corners(a: Fingerprint, b: Fingerprint, translation: np.ndarray) -> int:
    moved = a.corners[:, :2] + translation
    visible = np.flatnonzero(_is_inside(moved, b.shape, BORDER * (1 + a.corners[:, 2:])))
    bits = [2.0 * np.unpackbits(values, axis=1) - 1 for values in (a.descriptors[visible], b.descriptors)]
    distance = (256 - bits[0].astype(np.float32) @ bits[1].astype(np.float32).T) / 2
    distance[a.corners[visible][:, None, 2] != b.corners[None, :, 2]] = 256
    near = (np.abs(moved[visible][:, None] - b.corners[None, :, :2]) <= MATCH_TOLERANCE).all(axis=2)
    distance_here = np.where(near, distance, 256).min(axis=1, initial=256)
    distance_elsewhere = np.where(near, 256, distance).min(axis=1, initial=256)
    # In a repeating or a smooth texture corners elsewhere are as similar, and a match proves nothing.
    return int(((distance_here <= MATCH_DISTANCE) & (distance_here < distance_elsewhere)).sum())


def _thumbnails_correlate(a: Fingerprint, b: Fingerprint, translation: np.ndarray) -> bool:
    height, width = b.thumbnail.shape
    move = np.array([[1, 0, translation[0] / THUMBNAIL_SCALE], [0, 1, translation[1] / THUMBNAIL_SCALE]])
    moved = cv2.warpAffine(a.thumbnail, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    area = np.full_like(a.thumbnail, 255)
    shared = cv2.warpAffine(area, move, (width, height), flags=cv2.INTER_NEAREST) > 0
    if not shared.any():
        return False
    x, y = moved[shared].astype(np.float64), b.thumbnail[shared].astype(np.float64)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return scale > 0 and float(x @ y) / scale >= MIN_CORRELATION


def _is_inside(positions: np.ndarray, shape: tuple[int, ...], margin: np.ndarray | int) -> np.ndarray:
    """Return which positions (N, 2) lie in a picture of that shape, at least `margin` pixels from its border."""
    inside = (positions >= margin) & (positions < np.array([shape[1], shape[0]]) - margin)
    return np.all(inside, axis=1)
