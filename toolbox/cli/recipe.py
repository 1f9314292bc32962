"""`toolbox recipe`: show, validate and copy recipes, and print their JSON schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolbox.cli.common import FilePath, as_json, load_catalog, print_json, recipe_path
from toolbox.errors import UsageError

if TYPE_CHECKING:
    from toolbox.config.plan import Plan
    from toolbox.hooks.catalog import Catalog


@click.group("recipe")
def command() -> None:
    """Show, check and copy recipes, and print their JSON schema."""


def _bind_recipe(catalog: Catalog, name: str, overrides: tuple[str, ...]) -> Plan:
    from toolbox.config import recipe
    from toolbox.config.binding import bind

    return bind(recipe.read(name, lambda known: recipe_path(catalog, known), overrides), catalog)


overrides_option = click.option("--set", "overrides", multiple=True, metavar="K=V", help="Override any setting.")


@command.command("show")
@click.argument("name")
@overrides_option
@as_json
@click.pass_context
def show(context: click.Context, name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print a complete recipe, with inherited settings and all default values."""
    from toolbox.config import recipe

    tree = _bind_recipe(load_catalog(context), name, overrides).tree()
    if as_json:
        print_json(tree)
    else:
        click.echo(recipe.dump(tree), nl=False)


@command.command("validate")
@click.argument("name")
@overrides_option
@as_json
@click.pass_context
def validate(context: click.Context, name: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check a recipe, given by name or path, and print all its faults."""
    from toolbox.errors import RecipeError

    lines: list[str] = []
    try:
        catalog = load_catalog(context)
        plan = _bind_recipe(catalog, name, overrides)
        plan.check()
        if plan.initial:
            from toolbox.models.initial import check_initial

            lines = check_initial(plan, catalog)
    except RecipeError as error:
        if as_json:
            faults = [{"location": fault.location, "message": fault.message} for fault in error.faults]
            print_json({"recipe": error.recipe, "valid": False, "faults": faults, "warnings": []})
            context.exit(error.exit_code)
        raise
    if as_json:
        print_json({"recipe": plan.name, "valid": True, "faults": [], "warnings": list(plan.warnings), "init": lines})
        return
    for line in lines:
        click.echo(line)
    for line in plan.warnings:
        click.echo(f"warning: {line}")
    click.echo(f"Recipe '{plan.name}' is valid.")


@command.command("copy")
@click.argument("name")
@click.argument("target", type=FilePath())
@as_json
@click.pass_context
def copy(context: click.Context, name: str, target: Path, as_json: bool) -> None:
    """Copy a recipe's file to TARGET, so that you can change it."""
    from toolbox.utils import files, text_files
    from toolbox.utils.shell import shell_word

    if name.endswith(".toml"):
        raise UsageError(f"{files.printable(name)} is a file; copy it as any other file, or extend it in a new recipe.")
    source = recipe_path(load_catalog(context), name)
    if target.is_dir():
        target = target / source.name
    if target.suffix != ".toml":
        raise UsageError(f"{target}: a recipe file needs a name that ends in .toml")
    if target.exists():
        raise UsageError(f"{target} already exists; choose another name.")
    files.write_text(target, text_files.read_text(source))
    if as_json:
        print_json({"recipe": name, "file": str(target)})
    else:
        click.echo(f"Wrote {files.printable(target)}. To run it: toolbox run --recipe {shell_word(target)}")


@command.command("schema")
@as_json
@click.pass_context
def schema(context: click.Context, as_json: bool) -> None:
    """Print the JSON schema of recipes with all installed components."""
    from toolbox.config.json_schema import recipe_schema

    print_json(recipe_schema(load_catalog(context)))
