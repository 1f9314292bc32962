"""Fill holes smoothly from their borders: an approximate solution of Laplace's equation."""

from __future__ import annotations

import numpy as np

from toolbox.smooth_fill import fill_array

from .regions import fill_regions

MARGIN = 2


def smooth(image: np.ndarray, mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return `image` with its holes filled smoothly from their borders.

    Args:
        image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16.
        mask: (H, W) bool, True where the image is lost.
        seed: not used; the fill is not random.

    Returns:
        An array of the same shape and type. Known pixels are those of `image`. If no pixel is known, it is black.

    Raises:
        ValueError: an array has another type or shape.

    Reference: Pérez et al., "Poisson Image Editing", SIGGRAPH 2003 (the membrane).
    """
    del seed
    return fill_regions(
        image, mask, lambda values, lost, region: fill_array(values, ~lost), margin=lambda thickness, side: MARGIN
    )
