"""The params of components: whether a recipe can have them, and their JSON schema."""

from __future__ import annotations

import re
from typing import Any, get_args, get_origin

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.errors import PydanticUndefinedAnnotation

from toolbox.errors import named
from toolbox.utils.json_values import is_finite_json


def require_known_types(name: str, params: type[BaseModel]) -> None:
    """Raise ValueError if a type of the params of the component `name` is not known, or can't be checked."""
    if params.__pydantic_complete__:
        return
    try:
        params.model_rebuild()
    except PydanticUndefinedAnnotation as error:
        missing = error.name or "?"
        raise ValueError(
            f"params of '{name}'{_fields_with(params, missing)} have a type that is not known when the plugin runs, "
            f"{missing}: correct the name, or import it outside of `if TYPE_CHECKING`"
        ) from error
    except Exception as error:  # an annotation is an expression, which may raise anything
        raise ValueError(f"a type of the params of '{name}' can't be used: {named(error, 300)}") from error


def require_usable_params(name: str, params: type[BaseModel], reserved: frozenset[str]) -> None:
    """Raise ValueError if a recipe can't have the params of the component `name`.

    Args:
        name: the name of the component.
        params: the model of its params.
        reserved: the names that recipes use in the table of such a component.
    """
    require_known_types(name, params)
    fields = params.model_fields
    faults = {
        "names that recipes reserve: {}": reserved & set(fields),
        "names that pydantic uses: {}; choose other names": {key for key in fields if hasattr(BaseModel, key)},
        "aliases, which recipes don't use: {}; remove the alias, or set populate_by_name": _names_with_alias(params),
        "defaults that no recipe can have, inf or NaN: {}": {
            key for key, field in fields.items() if not is_finite_json(field.default)
        },
        'a dict as the default of a model: {}; create the model, as in LossRef(name="mse")': (
            _names_with_dict_default(params)
        ),
    }
    for fault, names in faults.items():
        if names:
            raise ValueError(f"params of '{name}' have {fault.format(', '.join(sorted(names)))}")


def _names_with_alias(params: type[BaseModel]) -> set[str]:
    """Return the fields, also of nested models, that can be set by an alias only: recipes are written with names."""
    return {name for model in _models_in(params, set()) for name in _only_by_alias(model)}


def _only_by_alias(model: type[BaseModel]) -> list[str]:
    config = model.model_config
    if config.get("populate_by_name") or config.get("validate_by_name"):
        return []
    aliases = {name: field.validation_alias for name, field in model.model_fields.items()}
    usable = {name: alias.choices if isinstance(alias, AliasChoices) else [alias] for name, alias in aliases.items()}
    return [name for name, choices in usable.items() if not {None, name} & {*map(_as_key, choices)}]


def _as_key(alias: object) -> object:
    return alias.path[0] if isinstance(alias, AliasPath) and len(alias.path) == 1 else alias


def _names_with_dict_default(params: type[BaseModel]) -> set[str]:
    """Return the fields, also of nested models, that hold a model and have a dict as default: it stays a dict."""
    return {
        name
        for model in _models_in(params, set())
        for name, field in model.model_fields.items()
        if isinstance(field.default, dict) and _holds_model(field.annotation)
    }


def _holds_model(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    if get_origin(annotation) is dict:
        return False
    return any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in (annotation, *get_args(annotation)))


def _models_in(kind: Any, seen: set[Any]) -> set[type[BaseModel]]:  # noqa: ANN401 - any annotation
    """Return the models that an annotation names, with those in them."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
        seen.add(kind)
        for field in kind.model_fields.values():
            _models_in(field.annotation, seen)
    for part in get_args(kind):
        _models_in(part, seen)
    return seen


def _fields_with(params: type[BaseModel], type_name: str) -> str:
    """Return `` (FIELD, …)``, the fields whose annotation has this name; empty if it is in a nested model."""
    word = re.compile(rf"\b{re.escape(type_name)}\b")
    annotations = [item for cls in params.__mro__ for item in vars(cls).get("__annotations__", {}).items()]
    found = [key for key, annotation in annotations if word.search(str(annotation)) and key in params.model_fields]
    return f" ({', '.join(found)})" if found else ""


def params_schema(params: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Return the JSON schema of params. If one of them has none, such as a function, all may have any value.

    Args:
        params: the model of the params.
        prefix: what the names in `$defs` begin with, so that models of the same name in other params differ.
    """
    try:
        schema = params.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    except Exception:  # a type of a plugin makes its schema itself
        required = [name for name, field in params.model_fields.items() if field.is_required()]
        return {"properties": {name: {} for name in params.model_fields}, "required": required}
    if "$defs" in schema:
        schema["$defs"] = {prefix + name: definition for name, definition in schema["$defs"].items()}
    if "$ref" in schema:  # the params are a param of themselves
        schema |= schema["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema
