"""`toolbox compare`: differences and scores of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import FilePath, as_json, print_json, print_table, require_suffix, warn_of_damage
from toolbox.errors import UsageError
from toolbox.utils import files

if TYPE_CHECKING:
    from toolbox.reports.run_files import RunFiles


@click.command("compare")
@click.argument("folders", metavar="RUN RUN ...", nargs=-1, required=True, type=FilePath())
@click.option("--html", type=FilePath(dir_okay=False), help="Also write an HTML file, with curves.")
@as_json
def command(folders: tuple[Path, ...], html: Path | None, as_json: bool) -> None:
    """Compare runs: scores, spread over seeds, and how their recipes and environments differ."""
    from toolbox.reports.comparison import comparison_report
    from toolbox.reports.run_files import read_runs

    if html is not None:
        require_suffix(html, ".html", ".htm")
    runs = read_runs(folders)
    warn_of_damage(runs)
    if len(runs) < 2:
        raise UsageError("A comparison needs at least two different run folders.")
    if html is not None:
        files.write_text(html, comparison_report(runs))
    if as_json:
        tables = _tables(runs).items()
        print_json({name: [dict(zip(header, row, strict=True)) for row in rows] for name, (header, rows) in tables})
        return
    print_comparison(runs)
    if html is not None:
        click.echo(files.printable(html))


def print_comparison(runs: Sequence[RunFiles]) -> None:
    """Print the tables that have rows, and a note if the scores can't be compared."""
    from toolbox.evaluation.metrics import format_figure
    from toolbox.reports import comparison

    formats = {"scores": format_figure, "seeds": format_figure}
    for name, (header, rows) in _tables(runs).items():
        if rows:
            print_table([[_cell(value, formats.get(name, str)) for value in row] for row in rows], header)
            click.echo("")
    note = comparison.validation_note(runs)
    if note:
        click.echo(f"note: {note}", err=True)


def _cell(value: object, format_float: Callable[[float], str]) -> str:
    return format_float(value) if isinstance(value, float) else "-" if value is None else str(value)


def _tables(runs: Sequence[RunFiles]) -> dict[str, tuple[tuple[str, ...], list[list[Any]]]]:
    """Return the header and the rows of each table, by its name."""
    from toolbox.reports import comparison

    names = [run.name for run in runs]
    return {
        "scores": (comparison.SCORE_COLUMNS, comparison.score_rows(runs)),
        "seeds": (comparison.SEED_COLUMNS, comparison.seed_rows(runs)),
        "recipes": (("setting", *names), comparison.differences(runs)),
        "environments": (("environment", *names), comparison.environment_differences(runs)),
    }
