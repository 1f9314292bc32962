"""`toolbox runs`: list the runs in a folder, and delete the files that they no longer need."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from toolbox.cli.common import FilePath, as_json, print_json, print_table, warn_of_damage
from toolbox.errors import UsageError
from toolbox.utils import files
from toolbox.utils.screen import echo, is_terminal
from toolbox.utils.shell import shell_word

if TYPE_CHECKING:
    from toolbox.training.cleanup import Leftover

DEFAULT = Path("runs")
T = TypeVar("T")


class FolderArgument(click.Argument):
    """An argument that the usage line of a subcommand does not repeat."""

    def get_usage_pieces(self, context: click.Context) -> list[str]:
        """Return nothing; `subcommand_metavar` names the argument."""
        return []


class ListOrCommand(click.Group):
    """A group whose argument may be a folder instead of a command."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse `FOLDER [OPTIONS]` or `COMMAND …`."""
        if args and args[0] in self.commands:
            return super().parse_args(context, [str(DEFAULT), *args])
        context.allow_interspersed_args = True
        return super().parse_args(context, args)


@click.group("runs", cls=ListOrCommand, invoke_without_command=True, subcommand_metavar="[FOLDER | COMMAND [ARGS]...]")
@click.argument("folder", cls=FolderArgument, type=FilePath(), default=DEFAULT)
@click.option("--sort", type=click.Choice(["name", "score", "steps"]), default="name", show_default=True)
@click.option("--recipe", help="List only runs of this recipe.")
@as_json
@click.pass_context
def command(context: click.Context, folder: Path, sort: str, recipe: str | None, as_json: bool) -> None:
    """List the runs in FOLDER with their recipe, seed, steps and best score. The default folder is runs."""
    if context.invoked_subcommand is not None:
        if folder != DEFAULT:
            name = context.invoked_subcommand
            raise UsageError(f"The folder comes after the command: toolbox runs {name} {shell_word(folder)}")
        return
    from toolbox.evaluation.metrics import format_figure
    from toolbox.reports.run_files import is_run, read_run

    files.require_folder(folder)
    runs, unreadable = _read_each(sorted(folder.iterdir()), lambda path: read_run(path) if is_run(path) else None)
    warn_of_damage(runs)
    if not runs and not unreadable and not as_json:
        name = files.printable(folder)
        if is_run(folder):
            raise UsageError(f"{name} is a run itself. To see it: toolbox report {shell_word(folder)}")
        click.echo(f"{name} contains no runs.")
        return
    if recipe is not None:
        runs = [run for run in runs if run.info.recipe == recipe]
    if sort == "score":
        runs.sort(key=lambda run: -1.0 if run.best_score is None else run.best_score, reverse=True)
    elif sort == "steps":
        runs.sort(key=lambda run: run.steps, reverse=True)
    records = [
        {
            "run": files.printable(run.folder),
            "recipe": run.info.recipe,
            "seed": run.info.seed,
            "steps": run.steps,
            "score": run.best_score,
            "warnings": list(run.warnings),
        }
        for run in runs
    ]
    if as_json:
        print_json(records)
        _exit_if_left_out(context, unreadable)
        return
    rows = [
        [str(row["run"]), str(row["recipe"]), str(row["seed"]), str(row["steps"]), format_figure(run.best_score)]
        for run, row in zip(runs, records, strict=True)
    ]
    print_table(rows, ("run", "recipe", "seed", "steps", "score"))
    _exit_if_left_out(context, unreadable)


def _read_each(folders: Sequence[Path], read: Callable[[Path], T | None]) -> tuple[list[T], list[Path]]:
    """Return what `read` returns for each folder, without None, and the folders that can't be read."""
    found, unreadable = [], []
    for folder in folders:
        try:
            value = read(folder)
        except OSError:
            unreadable.append(folder)
            continue
        if value is not None:
            found.append(value)
    return found, unreadable


def _exit_if_left_out(context: click.Context, unreadable: Sequence[Path]) -> None:
    """If folders can't be read, say so on stderr and exit with code 3, as for a batch of which a part failed."""
    if unreadable:
        names = files.listed([path.name for path in unreadable])
        echo(f"{len(unreadable)} left out, because they can't be read: {names}", err=True)
        context.exit(3)


@command.command("clean")
@click.argument("folder", type=FilePath(), default=DEFAULT)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@as_json
@click.pass_context
def clean(context: click.Context, folder: Path, yes: bool, as_json: bool) -> None:
    """Free disk space: list what the run FOLDER, or the runs in it, no longer need, ask, and delete it.

    These are old checkpoints, but neither the newest nor that of the best weights; previews that the report does not
    show; and temporary files of processes that have ended. A run that is training is left out.
    """
    from toolbox.reports.run_files import is_run
    from toolbox.training import cleanup

    files.require_folder(folder)
    paths = [folder] if is_run(folder) else [path for path in sorted(folder.iterdir()) if not path.is_symlink()]

    def examine(run: Path) -> tuple[Path, list[Leftover] | None] | None:
        if not is_run(run):
            return None
        return run, None if cleanup.is_busy(run) else cleanup.find_leftovers(run)

    runs, unreadable = _read_each(paths, examine)
    busy = [run for run, leftovers in runs if leftovers is None]
    found = {run: leftovers for run, leftovers in runs if leftovers is not None}
    items = [item for leftovers in found.values() for item in leftovers]
    if as_json:
        records = [{"path": files.printable(i.path), "kind": i.kind, "bytes": i.size} for i in items]
        print_json({"leftovers": records, "training": list(map(files.printable, busy)), "deleted": bool(yes and items)})
    else:
        for run in busy:
            echo(f"{files.printable(run)} is training and is left out.")
        if items:
            rows = [(files.printable(item.path), item.kind, f"{item.size / 1e6:.1f}") for item in items]
            print_table(rows, ("path", "what it is", "MB"))
        echo(f"{len(items)} leftovers, {sum(item.size for item in items) / 1e6:.1f} MB.")
    if items and (yes or _confirm(as_json)):
        freed = sum(cleanup.delete_leftovers(run, leftovers) for run, leftovers in found.items() if leftovers)
        if not as_json:
            echo(f"Freed {freed / 1e6:.1f} MB.")
    _exit_if_left_out(context, unreadable)


def _confirm(as_json: bool) -> bool:
    """Return whether to delete: ask the user; without a terminal, print how to delete."""
    if as_json:
        return False
    if not _is_terminal():
        echo("Nothing was deleted. To delete them: --yes")
        return False
    return click.confirm("Delete them?")


def _is_terminal() -> bool:
    return is_terminal(sys.stdin)
