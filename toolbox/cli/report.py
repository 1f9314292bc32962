"""`toolbox report`: an HTML file about a run or about a restored album."""

from __future__ import annotations

from pathlib import Path

import click

from toolbox.cli.common import FilePath, warn_of_damage
from toolbox.errors import UsageError
from toolbox.utils import files


@click.command("report")
@click.argument("folder", type=FilePath())
def command(folder: Path) -> None:
    """Write report.html into FOLDER: a run folder, or a folder of results with report.json.

    The file is complete and loads nothing from elsewhere. For a run: scores, curves of all terms, previews,
    recipe and environment. For an album: each photo before and after, and the failures.
    """
    from toolbox.reports import album_report, run_files, run_report

    if run_files.is_run(folder):
        path = run_report.write_run_report(folder)
        warn_of_damage([run_files.read_run(folder)])
    elif (folder / album_report.RECORD).is_file():
        path = album_report.write_album_report(folder)
    else:
        raise UsageError(
            f"{files.printable(folder)} is neither a run folder nor a folder of results: it has no recipe.toml and no "
            "report.json."
        )
    click.echo(files.printable(path))
