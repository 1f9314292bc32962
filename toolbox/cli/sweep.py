"""`toolbox sweep`: train a recipe several times with other settings, one run after the other, and compare the runs."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import FilePath, load_catalog, recipe_path, warn_of_damage
from toolbox.errors import TrainingError, UsageError
from toolbox.utils import files

if TYPE_CHECKING:
    from toolbox.config.recipe import Recipe
    from toolbox.hooks.catalog import Catalog

COMPARISON = "comparison.html"
MAX_RUNS = 1000


@click.command("sweep")
@click.argument("name", metavar="RECIPE")
@click.option("--over", "ranges", multiple=True, metavar="KEY=V,V", help="A setting and its values; may be repeated.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Runs of each setup: seeds 0, 1, …")
@click.option("--out", type=FilePath(), required=True, help="Folder for all runs.")
@click.option("--data", type=FilePath(), help="As for `toolbox run`.")
@click.option("--device", help="As for `toolbox run`.")
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="Override any setting in all runs.")
@click.option("--dry-run", is_flag=True, help="Print the runs, and stop.")
@click.pass_context
def command(
    context: click.Context,
    name: str,
    ranges: tuple[str, ...],
    seeds: int,
    out: Path,
    data: Path | None,
    device: str | None,
    overrides: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Train RECIPE with every combination of the values of --over and every seed, then compare the runs.

    The same command continues a sweep that was stopped: finished runs stay, and the interrupted run is resumed. A run
    that fails, such as by a value that is not finite, is listed at the end, and the others are trained.
    """
    from toolbox.config import recipe

    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {files.printable(out)} is not a folder. Choose another one.")
    if any(text.partition("=")[0].strip() == "seed" for text in overrides):
        raise UsageError("--set seed: the seeds of a sweep are 0, 1, …; use --seeds for their number.")
    catalog = load_catalog(context)
    base = recipe.read(name, lambda known: recipe_path(catalog, known), overrides)
    planned = list(_plan_runs(base, ranges, seeds))
    for folder, changed in planned:
        _check_run(changed, out / folder, catalog, data)
    for folder, _ in planned:
        click.echo(files.printable(out / folder))
    if dry_run:
        click.echo("Dry run: nothing was trained.")
        return
    failed = []
    for number, (folder, changed) in enumerate(planned, 1):
        click.echo(f"\nRun {number} of {len(planned)}: {folder}")
        try:
            code = _train(changed, out / folder, data, device)
        except TrainingError as error:  # a value that is not finite, too little memory: other settings may do better
            click.echo(f"This run failed, and the sweep goes on: {error}", err=True)
            failed.append(folder)
            continue
        if code:
            click.echo("Stopped. The same command continues.")
            context.exit(code)
    _compare([out / folder for folder, _ in planned], out / COMPARISON)
    if failed:
        click.echo(
            f"{len(failed)} of {len(planned)} runs failed: {', '.join(failed)}. Their scores are those of the best "
            "weights until then. The same command tries them again.",
            err=True,
        )
        context.exit(TrainingError.exit_code)


def _plan_runs(base: Recipe, ranges: Sequence[str], seeds: int) -> Iterator[tuple[str, Recipe]]:
    """Yield the folder and the recipe of each run.

    Raises:
        UsageError: a range that is not valid, or too many runs.
    """
    from toolbox.config.recipe import with_overrides

    settings = [_read_range(text) for text in ranges]
    keys = [values[0].partition("=")[0] for values in settings]
    repeated = next((key for key in keys if keys.count(key) > 1), None)
    if repeated is not None:
        raise UsageError(f"--over {repeated} is given twice. Write all its values in one: --over {repeated}=V,V,V")
    combinations = list(itertools.product(*settings, [f"seed={seed}" for seed in range(seeds)]))
    if len(combinations) > MAX_RUNS:
        raise UsageError(f"These are {len(combinations)} runs; a sweep has at most {MAX_RUNS}.")
    for number, combination in enumerate(combinations, 1):
        # The last part of each key is enough for a name, because the number makes it unique.
        name = "-".join(
            text.partition("=")[0].rpartition(".")[2] + "=" + text.partition("=")[2] for text in combination
        )
        yield re.sub(r"[^\w.=+-]+", "-", f"{number:03d}-{name}")[:120], with_overrides(base, combination)


def _read_range(text: str) -> list[str]:
    key, sign, values = text.partition("=")
    listed = _split_values(values)
    if not sign or not key.strip() or not all(listed):
        raise UsageError(f"--over {text}: write KEY=VALUE,VALUE, as in --over generator.optimizer.lr=1e-4,2e-4")
    if key.strip() == "seed":
        raise UsageError(f"--over {text}: use --seeds for several seeds.")
    repeated = next((value for value in listed if listed.count(value) > 1), None)
    if repeated is not None:
        raise UsageError(f"--over {text}: {repeated} is given twice. Use --seeds to train a setup several times.")
    return [f"{key.strip()}={value}" for value in listed]


def _split_values(text: str) -> list[str]:
    """Split a text at the commas that are in no list, table or string of TOML."""
    values, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not quote and not depth:
            values.append("")
        else:
            values[-1] += letter
    is_complete = not quote and not depth  # a bare word may have an apostrophe
    return [value.strip() for value in (values if is_complete else text.split(","))]


def _check_run(recipe: Recipe, folder: Path, catalog: Catalog, data: Path | None) -> None:
    """Raise UsageError if the recipe has faults, or if the run in `folder` has another recipe or other photographs.

    Photographs that were only moved are accepted: then the earlier folder does not exist any more. So are plugins of
    another name or version: a resumed run names what has changed.
    """
    from toolbox.reports.run_files import is_run
    from toolbox.reports.run_records import read_run_info
    from toolbox.training.launch import bind_recipe
    from toolbox.training.run_dir import read_recipe

    def settings(of: Recipe) -> dict[str, Any]:
        return {**bind_recipe(of, catalog, data).tree(), "requires": None}

    wanted = settings(recipe)
    if is_run(folder) and settings(read_recipe(folder)) != wanted:
        raise UsageError(
            f"{files.printable(folder)} was trained with another recipe. Delete it, or choose another --out."
        )
    before = read_run_info(folder).data
    if data is not None and before is not None and Path(before).exists() and Path(before) != data.resolve():
        raise UsageError(
            f"{files.printable(folder)} was trained with --data {files.printable(before)}. Give this, delete the run, "
            "or choose another --out."
        )


def _train(recipe: Recipe, folder: Path, data: Path | None, device: str | None) -> int:
    """Train one run, or what is left of it; return 0, or 128 plus the signal that stopped it before its end."""
    from toolbox.api import Run, train
    from toolbox.reports.run_files import is_run

    if not is_run(folder):
        run = train(recipe, data=data, out=folder, device=device)
    else:
        summary = Run.open(folder).summary
        if summary is not None and summary.is_finished:
            click.echo("It is finished.")
            return 0
        run = train(resume=folder, data=data, device=device)
    assert run.result is not None
    return 0 if run.result.finished else 128 + (run.result.signal or signal.SIGINT)


def _compare(folders: Sequence[Path], page: Path) -> None:
    from toolbox.cli.compare import print_comparison
    from toolbox.reports.comparison import comparison_report
    from toolbox.reports.run_files import read_runs

    runs = read_runs(folders)
    warn_of_damage(runs)
    files.write_text(page, comparison_report(runs))
    click.echo("")
    print_comparison(runs)
    click.echo(files.printable(page))
