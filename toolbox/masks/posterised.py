"""Recognise photographs with few gray levels."""

from __future__ import annotations

import numpy as np

# A photograph is posterised if less than this fraction of its pixels have a level with another one at most this far
# away. Levels that fewer of the pixels have do not count.
_MAX_NEIGHBOURED = 0.1
_GAP = 2
_RARE_LEVEL = 1e-4


def is_posterised(gray: np.ndarray) -> bool:
    """Return whether the levels of a photograph (H, W) uint8 have gaps between them, as in a scan in 16 grays.

    Such a photograph has flat areas everywhere, so that none of them says that something was painted.
    """
    counts = np.bincount(gray.ravel(), minlength=256)
    is_used = (counts >= max(2, _RARE_LEVEL * gray.size)).astype(int)
    near = np.convolve(is_used, np.ones(2 * _GAP + 1, int), "same")
    return bool(counts[near > is_used].sum() < _MAX_NEIGHBOURED * gray.size)
