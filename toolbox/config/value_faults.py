"""Values of a recipe that no recipe can hold, whatever the component: found before pydantic sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from toolbox.errors import Fault


def find_value_faults(raw: Mapping[str, Any], location: str) -> list[Fault]:
    """Return a fault for each value of a table that no recipe can hold.

    Args:
        raw: the table.
        location: its dotted key in the recipe.
    """
    messages = ((key, _message(value)) for key, value in _leaves(raw, location))
    return [Fault(location=key, message=message) for key, message in messages if message]


def _leaves(value: Any, location: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any value of a recipe
    """Yield the values that are no tables and no lists, each with its dotted key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{location}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item, location)
    else:
        yield location, value


def _message(value: Any) -> str:  # noqa: ANN401 - any value of a recipe
    """Return what is wrong with a value; empty for nothing."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "is a number of more than 64 bits"  # TOML does not allow it, and tensors and counters can't hold it
    if isinstance(value, str | PurePath) and any("\ud800" <= character <= "\udfff" for character in str(value)):
        return "has a name that is not UTF-8, which no recipe can hold; rename that file or folder"
    return ""
