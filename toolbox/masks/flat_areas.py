"""Compare a shape with the other flat areas of a photograph: a painted shape stands out from them.

A natural photograph has few flat areas: grain is everywhere but in the white and the black. One in few levels, a lossy
copy, also a smaller one of it, and an equalised photograph have them in many levels, with steps between them.
"""

from __future__ import annotations

import cv2
import numpy as np

# Flat areas of fewer levels are those of a natural photograph, such as its white and its black. In a picture that has
# fewer levels at all, such as a drawing, nothing stands out.
_MIN_LEVELS = 3
# A shape stands out if the step at its edge is above this multiple of the steps at the edges of the other flat areas,
# of all but the highest tenth, and one level more. Chosen on 80 photographs, as they are and in 20 kinds of copies.
_STEP_PERCENTILE = 90
_MIN_RATIO = 1.3
_REACH = 3  # pixels around a shape that belong to its edge
_MIN_STEPS = 20  # fewer steps say nothing


def flat_pixels(gray: np.ndarray) -> np.ndarray:
    """Return the centres of flat squares of a photograph (H, W) uint8, (H, W) bool; see `_square`."""
    square = _square(gray.shape)
    return cv2.dilate(gray, square) == cv2.erode(gray, square)


def stands_out(contrast: float, mask: np.ndarray, gray: np.ndarray, flat: np.ndarray, *, least: float) -> bool:
    """Return whether a shape stands out from the other flat areas of its photograph.

    Args:
        contrast: the median step from the shape to a neighbour, in gray levels.
        mask: (H, W) bool, the shape.
        gray: (H, W) uint8, the photograph.
        flat: its `flat_pixels`.
        least: the number of flat pixels with which a level counts.
    """
    reach = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    around = ~cv2.dilate(mask.view(np.uint8), reach).view(bool)
    if np.count_nonzero(np.bincount(gray[around], minlength=256)) < _MIN_LEVELS:
        return False
    others = flat & around
    if np.count_nonzero(np.bincount(gray[others], minlength=256) >= least) < _MIN_LEVELS:
        return True
    area = cv2.dilate(others.view(np.uint8), _square(gray.shape)).view(bool)
    steps = np.concatenate([_steps(gray, area), _steps(gray.T, area.T)])
    if len(steps) < _MIN_STEPS:
        return True
    return contrast > _MIN_RATIO * float(np.percentile(steps, _STEP_PERCENTILE)) + 1


def _steps(gray: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Return the steps, above 0, from a row to the next where at least one of the two pixels is in a flat area."""
    steps = cv2.absdiff(gray[:-1], gray[1:])
    return steps[(steps > 0) & (area[:-1] | area[1:])]


def _square(shape: tuple[int, ...]) -> np.ndarray:
    """Return a square of ones. Its side is about 1/80 of the shorter side of the photograph, or 3."""
    side = 2 * max(1, min(shape) // 170) + 1
    return np.ones((side, side), np.uint8)
