"""Recognise photographs with few gray levels."""

from __future__ import annotations

import numpy as np

# A photograph is posterised if less than this fraction of its pixels have a level with another one at most this far
# away. Levels that fewer of the pixels have do not count.
_MAX_NEIGHBOURED = 0.1
_GAP = 2
_RARE_LEVEL = 1e-4
# It is posterised too if it has at most this many levels, and this fraction of the steps between them is uneven, as in
# a palette that was fitted to it. The steps of a photograph with more contrast differ by 1 at most.
_MAX_FITTED_LEVELS = 130
_MIN_UNEVEN = 0.05


def is_posterised(gray: np.ndarray) -> bool:
    """Return whether the levels of a photograph (H, W) uint8 have gaps between them, as in a scan in 16 grays.

    Such a photograph has flat areas everywhere, so that none of them says that something was painted.
    """
    counts = np.bincount(gray.ravel(), minlength=256)
    is_used = (counts >= max(2, _RARE_LEVEL * gray.size)).astype(int)
    near = np.convolve(is_used, np.ones(2 * _GAP + 1, int), "same")
    return bool(counts[near > is_used].sum() < _MAX_NEIGHBOURED * gray.size) or _has_fitted_levels(counts)


def _has_fitted_levels(counts: np.ndarray) -> bool:
    levels = np.flatnonzero(counts)
    if not 2 < len(levels) <= _MAX_FITTED_LEVELS:
        return False
    steps = np.diff(levels)
    return float(np.mean(np.abs(steps - np.median(steps)) > 1)) >= _MIN_UNEVEN
