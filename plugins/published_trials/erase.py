"""More lost regions: flat rectangles over image and mask, the truth as it is."""

from __future__ import annotations

import math

import numpy as np

from toolbox import Degradation, Sample


def erase(*, chance: float, patches: int, least: float, most: float, aspect: float, low: int, high: int) -> Degradation:
    """Return the erasure: with `chance`, 1 to `patches` rectangles painted flat gray and marked as lost.

    A rectangle's area is a share of the picture drawn evenly from [least, most], its height by its width is
    drawn from [aspect, 1 / aspect] evenly in the logarithm, its place evenly, its gray level from [low, high].

    Reference: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, which erases one rectangle of 0.02 to
    0.4 of the area, aspect 0.3, and has no mask to mark it in.
    """

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        if random.random() >= chance:
            return sample
        image, mask = sample.image.copy(), sample.mask.copy()
        height, width = mask.shape
        for _ in range(int(random.integers(1, patches, endpoint=True))):
            area = random.uniform(least, most) * height * width
            ratio = aspect ** random.uniform(-1, 1)
            down = min(height, max(1, round(math.sqrt(area * ratio))))
            across = min(width, max(1, round(math.sqrt(area / ratio))))
            y, x = (int(random.integers(0, room, endpoint=True)) for room in (height - down, width - across))
            patch = slice(y, y + down), slice(x, x + across)
            image[patch] = random.integers(low, high, endpoint=True)
            mask[patch] = True
        return Sample(image=image, mask=mask, truth=sample.truth)

    return degrade
