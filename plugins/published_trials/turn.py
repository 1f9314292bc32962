"""Flips and quarter turns of a sample: image, mask and truth together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from toolbox import Degradation, Sample


def moved(sample: Sample, move: Callable[[np.ndarray], np.ndarray]) -> Sample:
    """Return the sample with `move` applied to its image, mask and truth."""
    image, mask, truth = (np.ascontiguousarray(move(one)) for one in (sample.image, sample.mask, sample.truth))
    return Sample(image=image, mask=mask, truth=truth)


def flip(horizontal: float, vertical: float) -> Degradation:
    """Return the flip: left and right exchanged with the chance `horizontal`, top and bottom with `vertical`."""

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        across, down = random.random(2) < (horizontal, vertical)
        return moved(sample, lambda one: one[:: -1 if down else 1, :: -1 if across else 1])

    return degrade


def rotate(angles: Sequence[int]) -> Degradation:
    """Return the rotation by one of `angles`, multiples of 90 degrees anticlockwise, each as likely.

    Quarter turns alone: they move pixels and change none, so that the lost region stays flat and hard-edged. A
    sample that is not square comes out with its sides exchanged.
    """

    def degrade(sample: Sample, random: np.random.Generator) -> Sample:
        turns = angles[int(random.integers(len(angles)))] // 90
        return moved(sample, lambda one: np.rot90(one, turns))

    return degrade
