"""JSON texts, and numbers that a float and JSON can represent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolbox.utils.text_files import read_text

_NAMES = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text; ValueError if it is no JSON, also if its brackets are nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; OSError if it can't be read, ValueError if it has something else."""
    value = parse_json(read_text(path))
    if not isinstance(value, dict):
        raise ValueError(f"it has {_NAMES[type(value)]}, not a JSON object")
    return value


def is_finite(value: Any) -> bool:  # noqa: ANN401 - a number of any type
    """Return whether a number is finite as a float; an int or a Fraction may be too large."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_finite_json(value: object) -> bool:
    """Return whether a number, or all numbers in lists and tuples, are finite; True for other values."""
    if isinstance(value, list | tuple):
        return all(is_finite_json(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def finite_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON value with null for each number that is not finite: JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite_json(item) for key, item in value.items()}
    return [finite_json(item) for item in value] if isinstance(value, list | tuple) else value
