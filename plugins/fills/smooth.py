"""Fill holes smoothly from their borders inwards: nearly the solution of Laplace's equation."""

from __future__ import annotations

import numpy as np

from toolbox.smooth_fill import fill_array

from .regions import filled

AROUND = 2


def smooth(image: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return `image` with its holes filled smoothly from their borders.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: not used; nothing is drawn at random.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`; an image that is lost whole is black.

    Raises:
        ValueError: an array of another type or shape.

    Reference: Pérez et al., "Poisson Image Editing", SIGGRAPH 2003 (the membrane).
    """
    del seed
    return filled(
        image, mask, lambda values, lost, region: fill_array(values, ~lost), around=lambda thickness, side: AROUND
    )
