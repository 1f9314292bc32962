"""The learning rate of the trainings in this folder."""

from __future__ import annotations

import math


def rate_factor(step: int, fraction: float, warm_up: int, least: float = 0.0) -> float:
    """Return the factor of the learning rate: it rises linearly for `warm_up` steps and falls as a cosine.

    Args:
        step: the step, from 0.
        fraction: the part of the training that is over, in steps or in time.
        warm_up: the number of steps in which it rises.
        least: the cosine falls to this.
    """
    return min(1.0, (step + 1) / warm_up) * max(least, 0.5 + 0.5 * math.cos(math.pi * min(1.0, fraction)))
