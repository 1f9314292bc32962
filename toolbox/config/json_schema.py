"""The JSON schema of recipes, for editors: the tables of a recipe and the params of every installed component."""

from __future__ import annotations

from typing import Any, cast

from toolbox.config.component_options import options_class
from toolbox.config.settings import Settings
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.kinds import KINDS, RECIPE_TABLES, attached_kinds
from toolbox.hooks.param_schemas import params_schema
from toolbox.hooks.specs import ComponentSpec

Schema = dict[str, Any]


def recipe_schema(catalog: Catalog) -> Schema:
    """Return a JSON schema (draft 2020-12) that every valid recipe with components of `catalog` satisfies."""
    schema = Settings.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    schema["properties"]["extends"] = {"type": "string", "description": "the recipe that this one extends"}
    for kind in KINDS.values():
        if kind.owners:
            definitions[kind.name] = {"anyOf": _component_schemas(catalog, kind.name, definitions)}
    for table, kind in RECIPE_TABLES.items():
        component = {"anyOf": _component_schemas(catalog, kind.name, definitions)}
        schema["properties"][table] = (
            {"type": "object", "additionalProperties": component} if kind.holds_many else component
        )
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "toolbox recipe"
    return schema


def _component_schemas(catalog: Catalog, kind: str, definitions: Schema) -> list[Schema]:
    """Return one schema per component of a kind, and add shared schemas to `definitions`.

    `name` is not required, because the key of the table can be the name.
    """
    schemas = []
    for entry in catalog.entries(kind):
        spec = cast(ComponentSpec, entry.spec)
        params = params_schema(spec.params, f"{kind}.{spec.name}.")
        options = options_class(kind).model_json_schema()
        for part in (params, options):
            definitions.update(part.pop("$defs", {}))
        attached = {inner.name: {"$ref": f"#/$defs/{inner.name}"} for inner in attached_kinds(kind)}
        properties = params.get("properties", {}) | options.get("properties", {}) | attached
        schemas.append(
            {
                "type": "object",
                "description": spec.summary,
                "properties": {"name": {"const": spec.name}} | properties,
                "required": params.get("required", []),
                "additionalProperties": False,
            }
        )
    return schemas
