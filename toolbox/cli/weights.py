"""`toolbox weights`: published weights, where they come from, whether their files are whole."""

from __future__ import annotations

from pathlib import Path

import click

from toolbox.cli.common import as_json, load_catalog, print_json, print_table
from toolbox.errors import UsageError


@click.group("weights", invoke_without_command=True)
@as_json
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the published weights and verify each file. Exit code 1 if one is missing or has changed."""
    if context.invoked_subcommand is not None:
        return
    from toolbox.models.published import find_weight_damage, list_published, published_spec

    found = [(one, published_spec(one), find_weight_damage(one)) for one in list_published(load_catalog(context))]
    if as_json:
        print_json(
            [
                {
                    "name": known.name,
                    "summary": known.summary,
                    "recipe": known.recipe,
                    "licence": known.licence,
                    "plugin": one.plugin,
                    "origin": one.origin,
                    "file": str(known.path),
                    "sha256": known.sha256,
                    "fault": fault,
                }
                for one, known, fault in found
            ]
        )
    elif not found:
        click.echo("No weights are published here. A run leaves its own in best.safetensors.")
    else:
        rows = [
            (known.name, known.recipe, known.licence, one.origin or one.plugin, fault or "whole")
            for one, known, fault in found
        ]
        print_table(rows, ("NAME", "RECIPE", "LICENCE", "FROM", "FILE"))
    if any(fault for *_, fault in found):
        context.exit(1)


@command.command("export")
@click.argument("weights")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--half", is_flag=True, help="In half precision: half the size, loaded as float32 again.")
@click.pass_context
def export(context: click.Context, weights: str, file: Path, half: bool) -> None:
    """Write WEIGHTS (a run folder, a file, a published name) to FILE for others, and print its sha256."""
    from toolbox.models import weights as trained
    from toolbox.utils import files

    if file.suffix != ".safetensors":
        raise UsageError(f"{file}: the name must end in .safetensors.")
    trained.export_weights(weights, file, load_catalog(context), half=half)
    click.echo(f"{files.sha256(file)}  {file}")
