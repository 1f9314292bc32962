"""`toolbox runs`: the runs in a folder."""

from __future__ import annotations

from pathlib import Path

import click

from toolbox.cli.common import as_json, print_json, print_table
from toolbox.errors import UsageError
from toolbox.utils import files


@click.command("runs")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--sort", type=click.Choice(["name", "score", "steps"]), default="name", show_default=True)
@click.option("--recipe", help="List only runs of this recipe.")
@as_json
def command(folder: Path, sort: str, recipe: str | None, as_json: bool) -> None:
    """List the runs in FOLDER with their recipe, seed, steps and best score."""
    from toolbox.evaluation.metrics import format_figure
    from toolbox.reports.run_files import is_run, read_run

    if not folder.is_dir():
        raise UsageError(f"{files.printable(folder)}: there is no such folder.")
    runs = [read_run(path) for path in sorted(folder.iterdir()) if is_run(path)]
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
        return
    rows = [
        [str(row["run"]), str(row["recipe"]), str(row["seed"]), str(row["steps"]), format_figure(run.best_score)]
        for run, row in zip(runs, records, strict=True)
    ]
    print_table(rows, ("run", "recipe", "seed", "steps", "score"))
