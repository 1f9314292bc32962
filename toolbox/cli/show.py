"""`toolbox show`: one component with its params."""

from __future__ import annotations

from typing import Any

import click
from pydantic.fields import FieldInfo

from toolbox.cli.common import as_json, load_catalog, print_json, print_table
from toolbox.errors import UsageError
from toolbox.hooks.kinds import find_kind
from toolbox.hooks.param_schemas import params_schema
from toolbox.hooks.params import Ref
from toolbox.hooks.specs import ComponentSpec


@click.command("show")
@click.argument("kind")
@click.argument("name")
@as_json
@click.pass_context
def command(context: click.Context, kind: str, name: str, as_json: bool) -> None:
    """Show a component: its params with defaults and help, its reference, and the plugin that it is from."""
    kind = find_kind(kind).name
    if kind == "weights":
        raise UsageError("Weights are shown by: toolbox weights")
    if kind == "command":
        raise UsageError("The commands of a plugin are shown by: toolbox PLUGIN --help")
    entry = load_catalog(context).find(kind, name)
    spec = entry.spec
    if not isinstance(spec, ComponentSpec):
        raise UsageError(f"A recipe is shown by: toolbox recipe show {name}")
    record = {
        "kind": entry.kind,
        "name": spec.name,
        "summary": spec.summary,
        "reference": spec.reference,
        "licence": spec.licence,
        "plugin": entry.plugin,
        "distribution": entry.distribution,
        "version": entry.version,
        "params": describe_params(spec),
    }
    if as_json:
        print_json(record)
        return
    click.echo(f"{spec.name} ({entry.kind}): {spec.summary}")
    if spec.reference:
        click.echo(f"Reference: {spec.reference}")
    if spec.licence:
        click.echo(f"Licence: {spec.licence}")
    click.echo(f"From: plugin '{entry.plugin}'{f', {entry.origin}' if entry.origin else ''}")
    if not record["params"]:
        click.echo("It has no params.")
        return
    rows = [(p["name"], p["type"], str(p["default"]), p["help"]) for p in describe_params(spec)]
    print_table(rows, ("PARAM", "TYPE", "DEFAULT", "HELP"))


def describe_params(spec: ComponentSpec) -> list[dict[str, Any]]:
    """Return the name, type, default and help of each param of a spec, as plain values."""
    schemas = params_schema(spec.params).get("properties", {})
    return [
        {
            "name": name,
            "type": _type_text(schemas[name], field.annotation),
            "default": _default(field),
            "help": field.description or "",
        }
        for name, field in spec.params.model_fields.items()
    ]


def _default(field: FieldInfo) -> Any:  # noqa: ANN401 - any default
    if field.is_required():
        return "required"
    try:
        return _plain_value(field.get_default(call_default_factory=True))
    except Exception:  # it depends on other params, or its function fails
        return "computed"


def _plain_value(value: Any) -> Any:  # noqa: ANN401 - any default
    if isinstance(value, Ref):
        return value.name
    return list(value) if isinstance(value, tuple) else value if isinstance(value, int | float | bool) else str(value)


def _type_text(schema: dict[str, Any], annotation: Any) -> str:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, Ref):
        return annotation.kind
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_type_text(choice, None) for choice in schema["anyOf"])
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), *limits])
