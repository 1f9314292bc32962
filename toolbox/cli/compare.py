"""`toolbox compare`: differences and scores of runs."""

from __future__ import annotations

from pathlib import Path

import click

from toolbox.cli.common import as_json, print_json, print_table
from toolbox.errors import UsageError
from toolbox.utils import files


@click.command("compare")
@click.argument("folders", metavar="RUN RUN ...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Also write an HTML file, with curves.")
@as_json
def command(folders: tuple[Path, ...], html: Path | None, as_json: bool) -> None:
    """Compare runs: scores, spread over seeds, and how their recipes and environments differ."""
    from toolbox.reports import comparison
    from toolbox.reports.page import format_number
    from toolbox.reports.run_files import read_run

    if len(folders) < 2:
        raise UsageError("A comparison needs at least two run folders.")
    runs = [read_run(folder) for folder in folders]
    if html is not None:
        files.write_text(html, comparison.comparison_report(runs))
    tables = {
        "scores": (("run", "steps", "S", "M", "C", "score"), comparison.score_rows(runs)),
        "seeds": (("runs", "mean score", "standard deviation"), comparison.seed_rows(runs)),
        "recipes": (("setting", *(run.name for run in runs)), comparison.differences(runs)),
        "environments": (("environment", *(run.name for run in runs)), comparison.environment_differences(runs)),
    }
    if as_json:
        print_json(
            {name: [dict(zip(header, row, strict=True)) for row in rows] for name, (header, rows) in tables.items()}
        )
        return
    for header, rows in tables.values():
        if rows:
            cells = [
                [
                    format_number(value) if isinstance(value, float) else "-" if value is None else str(value)
                    for value in row
                ]
                for row in rows
            ]
            print_table(cells, header)
            click.echo("")
    if html is not None:
        click.echo(files.printable(html))
