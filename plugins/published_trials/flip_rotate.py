"""Flips and rotations of a sample: image, mask and truth together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from toolbox import Degradation, Sample


def transform_sample(sample: Sample, transform: Callable[[np.ndarray], np.ndarray]) -> Sample:
    """Return the sample with `transform` applied to its image, mask, truth and labels."""
    image, mask, truth = (np.ascontiguousarray(transform(array)) for array in (sample.image, sample.mask, sample.truth))
    labels = {kind: np.ascontiguousarray(transform(label)) for kind, label in sample.labels.items()}
    return Sample(image=image, mask=mask, truth=truth, labels=labels)


def flip(horizontal: float, vertical: float) -> Degradation:
    """Return a random flip: left to right with probability `horizontal`, top to bottom with probability `vertical`."""

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        flip_x, flip_y = random.random(2) < (horizontal, vertical)
        return transform_sample(sample, lambda array: array[:: -1 if flip_y else 1, :: -1 if flip_x else 1])

    return degrade


def rotate(angles: Sequence[int]) -> Degradation:
    """Return a rotation by one of `angles`, chosen uniformly: multiples of 90 degrees, anticlockwise.

    Other angles are not possible, because they would interpolate pixels: the lost region must stay flat with hard
    edges. A rotation by 90 or 270 degrees exchanges the sides of a sample that is not square.
    """

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        quarter_turns = angles[int(random.integers(len(angles)))] // 90
        return transform_sample(sample, lambda array: np.rot90(array, quarter_turns))

    return degrade
