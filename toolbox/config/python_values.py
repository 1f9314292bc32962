"""Values that Python code gives for settings, as a recipe file has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def plain_value(value: object) -> Any:  # noqa: ANN401 - any value of a recipe
    """Return a value with NumPy's numbers and arrays as plain ones, paths as strings, and tuples as lists.

    Any other value is returned as it is; binding names it if a setting can't have it.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: plain_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(one) for one in value]
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return value
