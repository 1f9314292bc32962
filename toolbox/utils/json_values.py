"""Numbers that a float and JSON can represent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def is_finite(value: Any) -> bool:  # noqa: ANN401 - a number of any type
    """Return whether a number is finite as a float; an int or a Fraction may be too large."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def finite_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON value with null for each number that is not finite: JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite_json(item) for key, item in value.items()}
    return [finite_json(item) for item in value] if isinstance(value, list | tuple) else value
