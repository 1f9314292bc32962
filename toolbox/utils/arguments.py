"""Check numbers that callers of the library give."""

from __future__ import annotations

from numbers import Integral, Real


def is_between(value: object, low: float, high: float) -> bool:
    """Return whether a value is a number, of Python or NumPy, from `low` to `high`; NaN is not."""
    return isinstance(value, Real) and low <= float(value) <= high


def is_whole(value: object, low: float, high: float) -> bool:
    """Return whether a value is a whole number from `low` to `high`; True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool) and is_between(value, low, high)
