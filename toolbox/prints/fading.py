"""Tell a faded print from a photograph of fog, snow or a pale wall, by its shadows.

In both, no pixel is dark. But in a faded print, many pixels have nearly the darkest level, because everything that was
black has the same pale level now. In fog, few pixels have the darkest level.
"""

from __future__ import annotations

import numpy as np

from toolbox.prints.levels import LIGHT, SHADOW, tone_points
from toolbox.prints.working_copy import WorkingCopy

# The percentile of the darkest pixels.
_DARKEST = 0.02
# Logistic regression on 1,191 sound photographs of the training part, in colour and in gray, and on faded prints
# simulated from 297 of them, with and without grain. The factors are of the logarithms of: shadows, shadows of the
# darkest channel, range, and the distance of both shadows from the darkest pixels.
_FACTORS, _OFFSET = np.array([3.6, 2.0, -2.5, -1.3, -1.0]), -6.1
# Most colour photographs are sound. Most gray or toned ones are old prints, and are changed in any case.
_MIN_COLOR_SCORE, _MIN_GRAY_SCORE = 3.25, 1.4


def fading_score(copy: WorkingCopy) -> float:
    """Return the logarithm of the odds that a print is faded, by its tones. Over 0, it is more like a faded one."""
    darkest, shadows, lights = tone_points(copy, (_DARKEST, SHADOW, LIGHT))
    steps = shadows[3] - darkest[3], shadows[:3].min() - darkest[:3].min()
    values = np.array([shadows[3], shadows[:3].min(), lights[3] - shadows[3], *steps])
    return float(_FACTORS @ np.log1p(values.clip(0)) + _OFFSET)


def is_certainly_faded(copy: WorkingCopy, *, in_color: bool) -> bool:
    """Return whether a print is faded, and not a photograph of something pale.

    Args:
        copy: the photograph.
        in_color: whether it is a colour photograph; a gray or toned one needs less certainty.
    """
    return fading_score(copy) > (_MIN_COLOR_SCORE if in_color else _MIN_GRAY_SCORE)
