"""Check that the fields of a spec have values of their types, before anything uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints


def require_field_types(spec: Any) -> None:  # noqa: ANN401 - any spec
    """Raise TypeError for a field with a value of another type, and ValueError for one that is no choice of its."""
    kind: Any = type(spec)
    hints = _hints(kind)
    for field in fields(spec):
        value, hint = getattr(spec, field.name), hints.get(field.name)
        if not _is_of(value, hint):
            if get_origin(hint) is Literal:
                choices = ", ".join(map(repr, get_args(hint)))
                raise ValueError(f"{field.name} of {spec.name!r} is {value!r}; use one of: {choices}")
            raise TypeError(f"{field.name} of {spec.name!r} is {type(value).__name__}, not {field.type}")


@cache
def _hints(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a class, which mypy takes for not hashable
    try:
        return get_type_hints(kind)
    except NameError:  # a subclass of a plugin may import the types of its fields for type checkers only
        return {}


def _is_of(value: object, hint: Any) -> bool:  # noqa: ANN401 - any type
    """Return whether a value is of a type; types that are not simple have checks of their own."""
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin is UnionType:
        return any(_is_of(value, choice) for choice in get_args(hint))
    if origin is Callable or hint is Callable:
        return callable(value)
    if origin is tuple:
        return isinstance(value, tuple | list) and all(_is_of(item, get_args(hint)[0]) for item in value)
    return isinstance(value, hint) if hint in (str, Path, bool, NoneType) else True
