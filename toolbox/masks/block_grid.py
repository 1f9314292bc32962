"""Recognise flat areas that are blocks of a lossy copy.

JPEG stores blocks of 8x8 pixels and WebP of 4x4, and both round many to one gray level: JPEG in steps of 10 levels at
quality 10, of 5 at quality 20 and of 2 at quality 50.
"""

from __future__ import annotations

import numpy as np

BLOCK = 8
# An area is blocks of a lossy copy if its edge has at most this contrast, in gray levels, and at least this fraction of
# its outline runs between blocks of this side. One random rectangle in 16 has half of its outline on the larger grid.
_MAX_CONTRAST = 24
_LEAST_ON_GRID = {8: 0.52, 4: 0.9}


def grid_offset(gray: np.ndarray) -> tuple[int, int]:
    """Return the row and the column, 0 to 7, at which the blocks of a photograph (H, W) uint8 begin.

    It is where steps between neighbours stand out most. A crop moves it away from 0. Without blocks it is any.
    """
    values = gray.astype(np.int16)
    return _axis_offset(values), _axis_offset(values.T)


def is_on_grid(outline: np.ndarray, offset: tuple[int, int], *, contrast: float) -> bool:
    """Return whether the outline of a flat area lies on the grid of a lossy copy's blocks.

    Args:
        outline: (N, 4) steps out of the area: y and x of its pixel in the photograph, dy and dx to its neighbour.
        offset: see `grid_offset`.
        contrast: the median step across the outline, in gray levels.
    """
    if contrast > _MAX_CONTRAST or not len(outline):
        return False
    y, x, dy, dx = outline.T
    edges = np.where(dy != 0, y + (dy > 0) - offset[0], x + (dx > 0) - offset[1])
    return any(np.mean(edges % side == 0) >= least for side, least in _LEAST_ON_GRID.items())


def _axis_offset(values: np.ndarray) -> int:
    if len(values) < 2 * BLOCK:
        return 0
    # The step from a row to the next, less the slope on both sides; row i of `steps` is the one before row i + 2.
    steps = np.abs(values[:-3] - 3 * values[1:-2] + 3 * values[2:-1] - values[3:]).mean(axis=1)
    strengths = [steps[(number - 2) % BLOCK :: BLOCK].mean() for number in range(BLOCK)]
    return int(np.argmax(strengths))
