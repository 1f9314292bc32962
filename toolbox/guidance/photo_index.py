"""Find the photographs of a folder that may show a scene: visual words of local features in an inverted index.

As in Sivic and Zisserman, "Video Google" (2003). The words are descriptors of the folder's own photographs, drawn at
random, which needs no training. What the index finds is only a candidate: `reference` aligns and tests it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from toolbox.guidance.matching import find_features

# The short side at which photographs are compared, in pixels, and the number of features of each.
SHORT_SIDE = 256
FEATURES = 200
QUERY_FEATURES = 400
# The number of words: enough that two of 30,000 photographs have few in common by chance.
WORDS = 4096
# The number of nearest words that a descriptor of the query counts for.
_NEAREST = 2
NO_WORDS = np.empty(0, np.uint16)


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoIndex:
    """The visual words of photographs.

    Attributes:
        vocabulary: (V, 128) float32, descriptors of length 1.
        words: of each photograph, the numbers of its words, uint16.
    """

    vocabulary: np.ndarray
    words: tuple[np.ndarray, ...]

    def prepare(self) -> None:
        """Sort the photographs by word now, not in the first `find`."""
        self._lengths  # noqa: B018

    @cached_property
    def _postings(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Photographs sorted by word, the start and the weight of each word, and the count in each photograph."""
        size, count = len(self.vocabulary), max(1, len(self.words))
        # Half the bytes are sorted in a third of the time.
        pair_type = np.uint32 if size * count < 2**32 else np.uint64
        numbers = np.repeat(np.arange(len(self.words), dtype=pair_type), [len(words) for words in self.words])
        pairs: np.ndarray = np.concatenate([NO_WORDS, *self.words]).astype(pair_type) * count
        pairs += numbers
        pairs.sort()
        # What np.unique does, several times as fast.
        firsts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]])[: len(pairs)])
        counts = np.diff(firsts, append=len(pairs))
        pairs = pairs[firsts]
        starts = np.searchsorted(pairs, np.arange(size + 1, dtype=np.uint64) * count)
        photos = (pairs % count).astype(np.int32)
        rarity = np.log((1 + len(self.words)) / (1 + np.diff(starts)))
        return photos, starts, counts, rarity

    @cached_property
    def _lengths(self) -> np.ndarray:
        """The length of each photograph's vector of words."""
        photos, starts, counts, rarity = self._postings
        values = np.sqrt(counts) * np.repeat(rarity, np.diff(starts))
        return np.sqrt(np.bincount(photos, values**2, len(self.words))) + 1e-6

    def find(self, descriptors: np.ndarray, limit: int) -> list[int]:
        """Return the numbers of the photographs with the most words in common, the likeliest first.

        Args:
            descriptors: (N, 128) float32, of a photograph; see `describe`.
            limit: of the photographs.
        """
        if not len(descriptors) or not self.words:
            return []
        photos, starts, counts, rarity = self._postings
        nearest = np.argpartition(-(descriptors @ self.vocabulary.T), _NEAREST - 1, axis=1)[:, :_NEAREST]
        scores = np.zeros(len(self.words))
        for word, count in zip(*np.unique(nearest, return_counts=True), strict=True):
            span = slice(starts[word], starts[word + 1])
            scores[photos[span]] += np.sqrt(count) * np.sqrt(counts[span]) * rarity[word] ** 2
        scores /= self._lengths
        best = np.argsort(-scores, kind="stable")[:limit]
        return [int(number) for number in best if scores[number] > 0]


def describe(gray: np.ndarray, lost: np.ndarray | None = None, limit: int = FEATURES) -> np.ndarray:
    """Return descriptors of a photograph, (N, 128) float32 of length 1.

    Args:
        gray: (H, W) uint8.
        lost: (H, W) bool; no descriptor comes from there.
        limit: N at most.
    """
    scale = min(1.0, SHORT_SIDE / min(gray.shape))
    size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    mask = None
    if lost is not None and lost.any():
        mask = cv2.resize(lost.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    return find_features(small, mask, limit).descriptors


def draw_vocabulary(descriptors: Sequence[np.ndarray], size: int = WORDS) -> np.ndarray:
    """Return the words (V, 128), drawn from descriptors of photographs; equal descriptors give equal words."""
    joined = np.concatenate([np.empty((0, 128), np.float32), *descriptors])
    chosen = np.random.default_rng(0).permutation(len(joined))[:size]
    return joined[np.sort(chosen)]


def quantize(descriptors: np.ndarray, vocabulary: np.ndarray) -> np.ndarray:
    """Return the word (N,) uint16 that is nearest to each descriptor."""
    if not len(descriptors) or not len(vocabulary):
        return NO_WORDS
    return (descriptors @ vocabulary.T).argmax(1).astype(np.uint16)
