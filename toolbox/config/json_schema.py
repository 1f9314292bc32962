"""The JSON schema of recipes, for editors: the recipe's own tables and every installed component's params."""

from __future__ import annotations

from typing import Any, cast

from toolbox.config.plan import TABLES
from toolbox.config.recipe import MANY, SINGLE
from toolbox.config.settings import Section, Settings
from toolbox.hooks.catalog import Catalog
from toolbox.hooks.specs import Spec

Schema = dict[str, Any]


def recipe_schema(catalog: Catalog) -> Schema:
    """Return a JSON schema (draft 2020-12) that every valid recipe of `catalog` satisfies."""
    schema = Settings.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    schema["properties"]["extends"] = {"type": "string", "description": "the recipe that this one builds on"}
    for table in SINGLE:
        kind, section = TABLES[table]
        schema["properties"][table] = {"anyOf": _choices(catalog, kind, section, definitions)}
    for table in MANY:
        kind, section = TABLES[table]
        schema["properties"][table] = {
            "type": "object",
            "additionalProperties": {"anyOf": _choices(catalog, kind, section, definitions)},
        }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "toolbox recipe"
    return schema


def _choices(catalog: Catalog, kind: str, section: type[Section], definitions: Schema) -> list[Schema]:
    """Return a schema a component; `name` may be left out where the table's key is the name."""
    choices = []
    for entry in catalog.entries(kind):
        spec = cast(Spec, entry.spec)
        own, place = spec.params.model_json_schema(), section.model_json_schema()
        for part in (own, place):
            definitions.update(part.pop("$defs", {}))
        properties = own.get("properties", {}) | place.get("properties", {})
        choices.append(
            {
                "type": "object",
                "description": spec.summary,
                "properties": {"name": {"const": spec.name}} | properties,
                "required": own.get("required", []),
                "additionalProperties": False,
            }
        )
    return choices
