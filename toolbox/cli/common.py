"""What several commands share: the catalog, recipes by name, errors, JSON, tables."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from toolbox.errors import ToolboxError, UsageError
from toolbox.utils import files
from toolbox.utils.json_values import finite_json
from toolbox.utils.launcher import is_local_main_process, is_main_process
from toolbox.utils.limits import MAX_PIXELS
from toolbox.utils.screen import echo

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Catalog
    from toolbox.reports.run_files import RunFiles

Command = TypeVar("Command", bound=Callable[..., Any])


class FilePath(click.Path):
    """A path. An empty text, usually an unset variable of the shell, is refused: it would be the working folder."""

    def __init__(
        self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True, readable: bool = True
    ) -> None:
        super().__init__(exists=exists, file_okay=file_okay, dir_okay=dir_okay, readable=readable, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:  # noqa: ANN401
        """Return the path; fail if the text is empty."""
        if value == "":
            self.fail("the path is empty; name a file or a folder ('.' is the working folder).", param, context)
        return super().convert(value, param, context)


class Text(click.types.StringParamType):
    """A text. An empty one, usually an unset variable of the shell, is refused: it would count as not given."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:  # noqa: ANN401
        """Return the text; fail if it is empty."""
        if value == "":
            self.fail("the text is empty; write a value, or leave it out.", param, context)
        return super().convert(value, param, context)


def refuse_empty_texts(command: click.Command) -> None:
    """Have a command, and the commands in it, refuse empty texts as values."""
    for param in command.params:
        if param.type is click.STRING:
            param.type = Text()
    for inner in getattr(command, "commands", {}).values():
        refuse_empty_texts(inner)


class FiniteRange(click.FloatRange):
    """A number in a range. NaN, which is outside of no range, and infinite numbers are refused."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:  # noqa: ANN401
        """Return the number; fail if it is not finite or outside of the range."""
        number = super().convert(value, param, context)
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number.", param, context)
        return number


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
max_pixels = click.option(
    "--max-pixels", type=click.IntRange(1), default=MAX_PIXELS, show_default=True, help="Refuse larger photos."
)


def print_error(error: ToolboxError) -> None:
    """Print an error as one message on stderr.

    With several processes, each prints its rank with the error. A UsageError is the same in all processes of a
    machine, so only one of them prints it.
    """
    if is_main_process():
        echo(f"toolbox: {error}", err=True)
    elif not isinstance(error, UsageError) or is_local_main_process():
        echo(f"toolbox: process {os.environ['RANK']}: {error}", err=True)


def option_group(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that adds options to a command, in this order in its help."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def load_catalog(context: click.Context, *, quiet: bool = False) -> Catalog:
    """Load the plugins as the options of `toolbox` say; unless `quiet`, print a line on stderr for each that failed."""
    from toolbox.hooks import catalog

    # Not from the context's object: click looks up a plugin's command before it runs the function of `toolbox`.
    loaded = catalog.load(third_party=not context.find_root().params.get("no_plugins", False))
    for record in loaded.plugins:
        if record.status == "failed" and is_main_process() and not quiet:
            echo(
                f"toolbox: the plugin '{record.name}' was not loaded: {record.cause}. "
                f"See `toolbox plugins`{record.remedy}",
                err=True,
            )
        elif record.note and is_main_process():
            click.echo(f"toolbox: warning: the plugin '{record.name}': {record.note}.", err=True)
    return loaded


def recipe_path(catalog: Catalog, name: str) -> Path:
    """Return the file of the recipe `name`; raise UsageError if there is no such recipe."""
    return catalog.recipe(name).path


def print_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print a value as indented JSON."""
    # Where stdout is not UTF-8, what it lacks would be escaped in a way that JSON does not know.
    is_utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    echo(json.dumps(finite_json(value), indent=2, ensure_ascii=not is_utf8, allow_nan=False))


def print_table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Print rows in aligned columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        echo("  ".join([*cells, row[-1]]).rstrip())


def warn_of_damage(runs: Sequence[RunFiles]) -> None:
    """Print a line on stderr for each file of runs that could not be read, or not whole."""
    for line in (line for run in runs for line in run.damage):
        echo(f"toolbox: warning: {line}", err=True)


def require_suffix(path: Path, *suffixes: str) -> None:
    """Raise UsageError if `path` does not end in one of the suffixes; the user probably means another file."""
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{files.printable(path)}: the name must end in {' or '.join(suffixes)}.")


def require_new_file(path: Path, *suffixes: str) -> None:
    """Raise UsageError if `path` exists or does not end in one of the suffixes: no file of the user is replaced."""
    require_suffix(path, *suffixes)
    if os.path.lexists(path):
        raise UsageError(f"{files.printable(path)} exists and is not replaced. Choose another name, or delete it.")
