"""Give the lost region the grain of its surroundings, so that a smooth fill does not look artificial."""

from __future__ import annotations

import cv2
import numpy as np

# The grain is measured in the known pixels at most this far from the lost region, in pixels.
RING = 32
# Standard deviation, in pixels, of the blur whose difference from the picture counts as grain.
SIGMA = 1.2
# A normal distribution's standard deviation, over its median absolute deviation.
NORMAL = 1.4826


def match_grain(restored: np.ndarray, mask: np.ndarray, strength: float, seed: int = 0) -> np.ndarray:
    """Return RGB (H, W, 3), uint8 or uint16, with noise in its lost region; the other pixels are those of `restored`.

    The grain is the median absolute deviation of the luma from its blurred copy. Edges and texture change a median
    little. Where the fill has less grain than the known pixels around it, gray normal noise is added, equal in the
    three channels.

    Args:
        restored: the restored photograph.
        mask: (H, W) bool, True where it was lost.
        strength: factor of the noise; 1 matches the surroundings.
        seed: of the noise.
    """
    ring = cv2.dilate(mask.view(np.uint8), np.ones((2 * RING + 1, 2 * RING + 1), np.uint8)).view(bool) & ~mask
    if not mask.any() or not ring.any():
        return restored.copy()
    luma = cv2.cvtColor(restored.astype(np.float32), cv2.COLOR_RGB2GRAY)
    detail = np.abs(luma - cv2.GaussianBlur(luma, (0, 0), SIGMA))
    known_deviation, filled_deviation = (NORMAL * float(np.median(detail[region])) for region in (ring, mask))
    missing_deviation = np.sqrt(max(known_deviation**2 - filled_deviation**2, 0))
    noise = np.random.default_rng(seed).normal(0, 1, mask.shape).astype(np.float32)
    # The noise is measured in the same way, after the blur, so that the result has the grain of the known pixels.
    noise_deviation = NORMAL * float(np.median(np.abs(noise - cv2.GaussianBlur(noise, (0, 0), SIGMA))))
    highest = np.iinfo(restored.dtype).max
    grained = restored + (strength * missing_deviation / max(noise_deviation, 1e-6)) * noise[..., None]
    return np.where(mask[..., None], np.rint(grained).clip(0, highest), restored).astype(restored.dtype)
