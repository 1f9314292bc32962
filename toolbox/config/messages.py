"""Words for what pydantic found wrong with a recipe: place, value, choices, nearest name."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from toolbox.errors import Fault, did_you_mean

TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "path_type": "a path",
}


def explain_validation_error(error: ValidationError, model: type[BaseModel], place: str, owner: str) -> Iterator[Fault]:
    """Yield a fault for each thing that is wrong.

    Args:
        error: what validating `model` raised.
        model: the class that was validated.
        place: the dotted place of the table in the recipe, empty for its top.
        owner: what the keys belong to, as in "loss 'ssim'".
    """
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"]]
        where = _without_tags(model, path)
        yield Fault(location=".".join(p for p in (place, *where) if p), message=_message(item, model, path, owner))


def _message(item: Any, model: type[BaseModel], path: list[str], owner: str) -> str:  # noqa: ANN401
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "extra_forbidden":
        inside = _model_at(model, path[:-1])
        known = sorted(inside.model_fields) if inside else []
        return (
            f"is not a key of {owner if inside is model else 'this table'}.{did_you_mean(path[-1], known)}"
            f" Known: {', '.join(known) or 'none'}"
        )
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        return f"is {value!r}; it must be {context['expected']}"
    if kind == "union_tag_invalid":
        tags = context["expected_tags"].replace("'", "")
        return (
            f"name {context['tag']!r} is not known.{did_you_mean(str(context['tag']), tags.split(', '))} Known: {tags}"
        )
    if kind == "union_tag_not_found":
        return "has no name"
    if kind in TYPES:
        return f"is {value!r}; it must be {TYPES[kind]}"
    text = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"is {value!r}; it must be {text}" if item["msg"].startswith("Input should be") else f"is {value!r}: {text}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401
    if get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, list):
        for argument in get_args(annotation):
            yield from _models(argument)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("name")
    return field.default if field is not None and isinstance(field.default, str) else None


def _walk(model: type[BaseModel], path: list[str]) -> Iterator[tuple[str, bool, type[BaseModel] | None]]:
    """Yield each part of an error's path, whether it is a union's tag, and the model that it leads to."""
    current: type[BaseModel] | None = model
    choices: list[type[BaseModel]] = []
    for part in path:
        tagged = next((choice for choice in choices if _tag(choice) == part), None)
        if len(choices) > 1 and tagged is not None:
            current, choices = tagged, []
            yield part, True, current
            continue
        if current is not None and part in current.model_fields:
            choices = list(_models(current.model_fields[part].annotation))
            current = choices[0] if len(choices) == 1 else None
        else:
            current, choices = None, []
        yield part, False, current


def _without_tags(model: type[BaseModel], path: list[str]) -> list[str]:
    return [part for part, is_tag, _ in _walk(model, path) if not is_tag]


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    return [model, *(below for _, _, below in _walk(model, path))][-1]
