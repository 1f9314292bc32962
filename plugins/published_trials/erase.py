"""Additional lost regions: flat rectangles in image and mask; the truth stays the same."""

from __future__ import annotations

import math

import numpy as np

from toolbox import Degradation, Sample


def erase(*, chance: float, patches: int, least: float, most: float, aspect: float, low: int, high: int) -> Degradation:
    """Return the degradation that paints 1 to `patches` flat gray rectangles and adds them to the mask.

    Args:
        chance: probability that a sample gets any rectangle.
        patches: largest number of rectangles in a sample.
        least: smallest area of a rectangle, as a fraction of the picture; areas are drawn uniformly.
        most: largest area, as a fraction of the picture.
        aspect: smallest ratio of height to width; the largest is 1 / `aspect`. Drawn uniformly in the logarithm.
        low: darkest gray level, 0 to 255; levels and positions are drawn uniformly.
        high: brightest gray level.

    Reference: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020. There, one rectangle of 0.02 to 0.4 of the
    area and an aspect of 0.3 is erased, and there is no mask.
    """

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        if random.random() >= chance:
            return sample
        image, mask = sample.image.copy(), sample.mask.copy()
        height, width = mask.shape
        for _ in range(int(random.integers(1, patches, endpoint=True))):
            area = random.uniform(least, most) * height * width
            ratio = aspect ** random.uniform(-1, 1)
            patch_height = min(height, max(1, round(math.sqrt(area * ratio))))
            patch_width = min(width, max(1, round(math.sqrt(area / ratio))))
            margins = (height - patch_height, width - patch_width)
            y, x = (int(random.integers(0, margin, endpoint=True)) for margin in margins)
            patch = slice(y, y + patch_height), slice(x, x + patch_width)
            image[patch] = random.integers(low, high, endpoint=True)
            mask[patch] = True
        return Sample(image=image, mask=mask, truth=sample.truth, labels=sample.labels)

    return degrade
