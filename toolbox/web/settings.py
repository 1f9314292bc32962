"""The settings with which the page asks for a restoration, checked against what the server offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolbox.utils.json_values import parse_json


@dataclass(frozen=True, kw_only=True)
class Range:
    """A setting that is a number from `low` to `high`."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        """Return whether a value from JSON is a number in the range."""
        return type(value) in (int, float) and self.low <= value <= self.high  # type: ignore[operator]


@dataclass(frozen=True, kw_only=True)
class AllowedValues:
    """A setting that is one of a few values."""

    values: Sequence[Any]

    def __contains__(self, value: object) -> bool:
        """Return whether a value from JSON is one of them, of the same type: 1 is not true."""
        return any(type(value) is type(one) and value == one for one in self.values)


Offer = Mapping[str, Range | AllowedValues]


def read_settings(data: bytes, offer: Offer) -> dict[str, Any]:
    """Return the settings in a body of JSON.

    Raises:
        ValueError: it is no JSON object, or has a name or a value that is not offered.
    """
    try:
        settings = parse_json(data or b"{}")
    except ValueError:
        raise ValueError("The settings are not JSON.") from None
    if not isinstance(settings, dict):
        raise ValueError("The settings are not an object.")
    for name, value in settings.items():
        if name not in offer or value not in offer[name]:
            raise ValueError("There is no such setting or value.")
    return settings
