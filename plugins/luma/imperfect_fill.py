"""An augmentation: a region of the gray input is filled imperfectly, as another tool fills a lost region."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from toolbox import Degradation, Sample

# The sides of the shapes relative to the picture. Polygons are larger, because they are thin and cross themselves.
SIDES = (0.08, 0.3)
POLYGON = (0.35, 0.9)
FAR = 30.0  # standard deviation in pixels of the blur that fills the centre of large shapes
FAINT = 1e-3


def imperfect_fill(share: float) -> Degradation:
    """Return the degradation that fills a shape of the luma smoothly, in a `share` of the photographs.

    The mask stays empty: the network has to colour the photograph as if it had no damage.
    """

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        if random.random() >= share:
            return sample
        gray = fill_shape(sample.image[..., 0].astype(np.float32), random)
        rounded = np.rint(gray).clip(0, 255).astype(np.uint8)
        return replace(sample, image=cv2.cvtColor(rounded, cv2.COLOR_GRAY2RGB))

    return degrade


def fill_shape(gray: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a gray picture (H, W) float32 with one shape filled from its surroundings, half of the time with detail.

    The smooth part is a Gaussian mean of the pixels outside the shape, with a deviation of 2 to 8 pixels. The detail is
    copied from another part of the picture, as patch-based fills do.
    """
    lost = random_shape(gray.shape, random)
    known = 1 - lost.astype(np.float32)
    deviation = random.uniform(2, 8)
    near, far = (
        cv2.GaussianBlur(gray * known, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(known, (0, 0), sigma), 1e-6)
        for sigma in (deviation, FAR)
    )
    weight = cv2.GaussianBlur(known, (0, 0), deviation)
    fill = (weight * near + FAINT * far) / (weight + FAINT)
    if random.random() < 0.5:
        detail = gray - cv2.GaussianBlur(gray, (0, 0), deviation)
        offset = [int(random.integers(side // 8, side - side // 8)) for side in gray.shape]
        fill = fill + np.float32(random.uniform(0.3, 1)) * np.roll(detail, offset, (0, 1))
    return np.where(lost, fill, gray)


def random_shape(size: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Draw a rectangle, an ellipse or a polygon of 4 to 6 corners, (H, W) bool."""
    height, width = size
    mask = np.zeros((height, width), np.uint8)
    kind = int(random.integers(3))
    low, high = POLYGON if kind == 2 else SIDES
    box_width, box_height = (min(side, max(2, round(side * random.uniform(low, high)))) for side in (width, height))
    x, y = int(random.integers(0, width - box_width + 1)), int(random.integers(0, height - box_height + 1))
    if kind == 0:
        mask[y : y + box_height, x : x + box_width] = 1
    elif kind == 1:
        axes = box_width // 2, box_height // 2
        cv2.ellipse(mask, (x + axes[0], y + axes[1]), axes, 0, 0, 360, 1, -1)
    else:
        corners = random.random((int(random.integers(4, 7)), 2)) * (box_width - 1, box_height - 1) + (x, y)
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return mask > 0
