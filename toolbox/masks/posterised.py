"""Recognise photographs with few gray levels."""

from __future__ import annotations

import numpy as np

# A photograph is posterised if less than this fraction of its pixels have a level with another one at most this far
# away. Levels that fewer of the pixels have do not count.
_MAX_NEIGHBOURED = 0.1
_GAP = 2
_RARE_LEVEL = 1e-4
# It is posterised too if it has at most this many levels, and this fraction of the steps between those of most pixels
# is uneven, as in a palette that was fitted to it. The steps of a photograph with more contrast differ by 1 at most.
_MAX_FITTED_LEVELS = 130
_MIN_UNEVEN = 0.05
_TAIL = 0.02  # this fraction of the pixels at either end of the range does not count
_MIN_PIXELS = 10_000  # smaller photographs do not use all levels anyway


def is_posterised(gray: np.ndarray) -> bool:
    """Return whether the levels of a photograph (H, W) uint8 have gaps between them, as in a scan in 16 grays.

    Such a photograph has flat areas everywhere, so that none of them says that something was painted.
    """
    counts = np.bincount(gray.ravel(), minlength=256)
    is_used = (counts >= max(2, _RARE_LEVEL * gray.size)).astype(int)
    near = np.convolve(is_used, np.ones(2 * _GAP + 1, int), "same")
    has_gaps = counts[near > is_used].sum() < _MAX_NEIGHBOURED * gray.size
    return bool(has_gaps) or (gray.size >= _MIN_PIXELS and _has_fitted_levels(counts))


def _has_fitted_levels(counts: np.ndarray) -> bool:
    """Return whether the levels that pixels have, by their counts, are few and in uneven steps."""
    if np.count_nonzero(counts) > _MAX_FITTED_LEVELS:
        return False
    # The most frequent level may be that of a painted shape.
    natural = counts * (counts < counts.max())
    share = np.cumsum(natural) / max(1, natural.sum())
    first, last = np.searchsorted(share, (_TAIL, 1 - _TAIL))
    steps = np.diff(first + np.flatnonzero(counts[first : last + 1]))
    return len(steps) > 1 and float(np.mean(np.abs(steps - np.median(steps)) > 1)) >= _MIN_UNEVEN
