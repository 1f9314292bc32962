"""Plain messages for pydantic's validation errors: the key, the value, the choices, the most similar name."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from toolbox.errors import Fault, did_you_mean
from toolbox.utils import files

_LONGEST = 200  # characters of a value in a message
# What a value must be, by pydantic's type of error.
EXPECTED = {
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


def explain_validation_error(
    error: ValidationError, model: type[BaseModel], location: str, owner: str, options: Iterable[str] = ()
) -> Iterator[Fault]:
    """Yield one fault for each error that pydantic found.

    Args:
        error: the error that validating `model` raised.
        model: the class that was validated.
        location: the dotted key of the table in the recipe; empty for the whole recipe.
        owner: what the keys belong to, such as "loss 'ssim'".
        options: the keys that the table may have besides those of `model`, such as the weight of a loss.
    """
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"]]
        keys = _without_tags(model, path)
        yield Fault(
            location=".".join(p for p in (location, *keys) if p), message=_message(item, model, path, owner, options)
        )


def _message(
    item: Any,  # noqa: ANN401 - an error of pydantic
    model: type[BaseModel],
    path: list[str],
    owner: str,
    options: Iterable[str],
) -> str:
    error_type, value, context = item["type"], item["input"], item.get("ctx", {})
    if error_type == "extra_forbidden":
        table = _model_at(model, path[:-1])
        known = sorted(table.model_fields) if table else []
        hint = did_you_mean(path[-1], [*known, *(options if table is model else ())])
        return f"is not a key of {owner if table is model else 'this table'}.{hint} Known: {', '.join(known) or 'none'}"
    if error_type == "missing":
        return "is missing"
    if error_type == "literal_error":
        return f"is {shown(value)}; it must be {context['expected']}"
    if error_type == "union_tag_invalid":
        tag, tags = str(context["tag"]), context["expected_tags"].replace("'", "")
        return f"name {shown(tag)} is not known.{did_you_mean(tag, tags.split(', '))} Known: {tags}"
    if error_type == "union_tag_not_found":
        return "has no name"
    if isinstance(value, str) and str(context.get("class_name", "")).endswith("Ref"):
        return f'is {shown(value)}; it must be a table: {{ name = "{files.printable(value[:_LONGEST])}" }}'
    if error_type in EXPECTED:
        return f"is {shown(value)}; it must be {EXPECTED[error_type]}"
    text = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    joined = "; it must be " if item["msg"].startswith("Input should be") else ": "
    return f"is {shown(value)}{joined}{text}"


def shown(value: object) -> str:
    """Return a value as text for a message, shortened if it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number with too many digits"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401
    """Yield the models in a field's annotation, also those in unions and lists."""
    if get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, list):
        for argument in get_args(annotation):
            yield from _models(argument)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def _tag(model: type[BaseModel]) -> str | None:
    """Return the name that selects `model` in a union, or None."""
    field = model.model_fields.get("name")
    return field.default if field is not None and isinstance(field.default, str) else None


def _walk(model: type[BaseModel], path: list[str]) -> Iterator[tuple[str, bool, type[BaseModel] | None]]:
    """Yield each part of an error's path, whether it is a tag of a union, and the model that it leads to.

    pydantic puts the tag of a union's member into the path, although the recipe has no such key.
    """
    current: type[BaseModel] | None = model
    members: list[type[BaseModel]] = []
    for part in path:
        tagged = next((member for member in members if _tag(member) == part), None)
        if len(members) > 1 and tagged is not None:
            current, members = tagged, []
            yield part, True, current
            continue
        if current is not None and part in current.model_fields:
            members = list(_models(current.model_fields[part].annotation))
            current = members[0] if len(members) == 1 else None
        else:
            current, members = None, []
        yield part, False, current


def _without_tags(model: type[BaseModel], path: list[str]) -> list[str]:
    return [part for part, is_tag, _ in _walk(model, path) if not is_tag]


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    return [model, *(leads_to for _, _, leads_to in _walk(model, path))][-1]
