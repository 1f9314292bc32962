"""`toolbox weights`: list published weights and verify their files; export weights for others."""

from __future__ import annotations

from pathlib import Path

import click

from toolbox.cli.common import as_json, load_catalog, print_json, print_table
from toolbox.errors import UsageError


@click.group("weights", invoke_without_command=True)
@as_json
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the published weights and verify each file. The exit code is 1 if a file is missing or has changed."""
    if context.invoked_subcommand is not None:
        return
    from toolbox.models.published import find_weight_damage, list_published, published_spec

    entries = list_published(load_catalog(context))
    published = [(entry, published_spec(entry), find_weight_damage(entry)) for entry in entries]
    if as_json:
        print_json(
            [
                {
                    "name": spec.name,
                    "summary": spec.summary,
                    "recipe": spec.recipe,
                    "licence": spec.licence,
                    "plugin": entry.plugin,
                    "origin": entry.origin,
                    "file": str(spec.path),
                    "sha256": spec.sha256,
                    "fault": damage,
                }
                for entry, spec, damage in published
            ]
        )
    elif not published:
        click.echo("There are no published weights. A run writes its own to best.safetensors.")
    else:
        rows = [
            (spec.name, spec.recipe, spec.licence, entry.origin or entry.plugin, damage or "ok")
            for entry, spec, damage in published
        ]
        print_table(rows, ("NAME", "RECIPE", "LICENCE", "FROM", "FILE"))
    if any(damage for *_, damage in published):
        context.exit(1)


@command.command("export")
@click.argument("weights")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--half", is_flag=True, help="Write half precision: half the size, loaded as float32 again.")
@click.pass_context
def export(context: click.Context, weights: str, file: Path, half: bool) -> None:
    """Write WEIGHTS (a run folder, a file, or a published name) to FILE for others, and print its sha256."""
    from toolbox.models.weights import export_weights
    from toolbox.utils import files

    if file.suffix != ".safetensors":
        raise UsageError(f"{file}: the name must end in .safetensors.")
    export_weights(weights, file, load_catalog(context), half=half)
    click.echo(f"{files.sha256(file)}  {file}")
