"""`toolbox run`: train what a recipe describes, score it, restore the test photographs."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import FilePath, FiniteRange, as_json, is_main_process, load_catalog, print_json, recipe_path
from toolbox.errors import UsageError

if TYPE_CHECKING:
    from toolbox.hooks.catalog import Catalog
    from toolbox.training.launch import PreparedRun, RunRequest
    from toolbox.training.options import RunResult
    from toolbox.utils.console import Console


@click.command("run")
@click.option("--recipe", "recipe_name", help="A recipe's name, or a path ending in .toml.  [default: default]")
@click.option(
    "--data",
    "data",
    type=FilePath(),
    help="A folder with train_input/, train_gt/, test_input/, or with photographs.",
)
@click.option("--out", type=FilePath(), help="The run folder.  [default: runs/<date>-<recipe>-<n>]")
@click.option("--resume", type=FilePath(), help="Continue the run in this folder, with its recipe.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training photographs.")
@click.option("--steps", type=click.IntRange(1), help="Stop after this many steps in total, also with --resume.")
@click.option("--minutes", type=FiniteRange(0, min_open=True), help="Stop after this many minutes.")
@click.option("--size", type=click.IntRange(16), help="Side of the training pictures, in pixels.")
@click.option("--batch", type=click.IntRange(1), help="Pictures per step.")
@click.option("--device", help="cpu, cuda, cuda:1, mps.  [default: the best available]")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16", "fp64"]), help="Arithmetic of the networks.")
@click.option("--seed", type=click.IntRange(0), help="Seed of weights, order, damage and penalties.")
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="Override any setting of the recipe.")
@click.option("--no-report", is_flag=True, help="Don't write report.html into the run folder.")
@click.option("--skip-broken", is_flag=True, help="Leave out photographs that can't be used, and list them.")
@click.option("--dry-run", is_flag=True, help="Check the recipe and the data, print what would be done, and stop.")
@as_json
@click.pass_context
def command(
    context: click.Context,
    recipe_name: str | None,
    data: Path | None,
    out: Path | None,
    resume: Path | None,
    device: str | None,
    overrides: tuple[str, ...],
    no_report: bool,
    skip_broken: bool,
    dry_run: bool,
    as_json: bool,
    **settings: Any,  # noqa: ANN401 - the options that are settings of the recipe
) -> None:
    """Train what a recipe describes, score it, and restore the test photographs."""
    if resume is not None and (recipe_name or out):
        raise UsageError("--resume takes the recipe and the folder of the run. Leave out --recipe and --out.")
    changes = [*(_as_override(key, value) for key, value in settings.items() if value is not None), *overrides]
    changes += ["validation.report=false"] if no_report else []
    request = _request(load_catalog(context), recipe_name or "default", resume, changes)
    request = replace(request, data=data, out=out, device=device, skip_broken=skip_broken)
    from toolbox.distributed import collectives

    code = collectives.run_with_peers(lambda: _run(request, dry_run=dry_run, as_json=as_json))
    if code:
        raise SystemExit(code)


def _as_override(key: str, value: object) -> str:
    """Return an option of the command line as an override of the recipe."""
    table = {"size": "data.", "seed": ""}.get(key, "training.")
    return f"{table}{key}={value}"


def _request(catalog: Catalog, name: str, resume: Path | None, changes: Sequence[str]) -> RunRequest:
    """Return the request for a new run of the recipe `name`, or for the continued run in `resume`."""
    from toolbox.config import recipe
    from toolbox.training.launch import RunRequest
    from toolbox.training.run_dir import read_recipe

    if resume is None:
        read = recipe.read(name, lambda known: recipe_path(catalog, known), changes)
        return RunRequest(catalog=catalog, recipe=read)
    # Without changes, the folder keeps its recipe as it is.
    changed = recipe.with_overrides(read_recipe(resume), changes) if changes else None
    return RunRequest(catalog=catalog, recipe=changed, resume=resume)


def _run(request: RunRequest, *, dry_run: bool, as_json: bool) -> int:
    """Run, and return the exit code: 0, or 128 plus the signal that stopped the run before its end."""
    from toolbox.models.initial import check_initial
    from toolbox.training import launch, size_check
    from toolbox.utils.console import Console
    from toolbox.utils.shell import shell_word

    console = Console(json_output=as_json, silent=not is_main_process())
    prepared = launch.prepare_run(request, console, create=not dry_run)
    if dry_run:
        size_check.check_size(prepared.plan, bool(prepared.source.tests), console.print_line)
        if prepared.initial:
            for line in check_initial(prepared.plan, request.catalog):
                console.print_line(line)
        console.print_line("Dry run: nothing was written.")
        if as_json and is_main_process():
            outline = {"recipe": prepared.plan.name, "folder": str(prepared.folder), "device": prepared.device}
            print_json(outline | {"photos": prepared.photo_counts})
        return 0
    result = prepared.start(console)
    if not result.finished:
        folder = shell_word(prepared.folder)
        console.print_line(f"Stopped after step {result.steps}. To continue: toolbox run --resume {folder}")
        return 128 + (result.signal or signal.SIGINT)
    if not as_json:
        _print_result(console, result, prepared)
    elif is_main_process():
        print_json(_result_as_json(result, prepared.folder))
    return 0


def _print_result(console: Console, result: RunResult, prepared: PreparedRun) -> None:
    from toolbox.training.metric_log import figure_lines, score_table

    validation, size = prepared.split.validation, prepared.plan.settings.data.size
    before, after = result.pixel_loss
    moment = f"after step {result.pixel_loss_step}" if result.pixel_loss_step else "before the first step"
    if not prepared.plan.step.restores:
        console.print_line(f"\nBest weights on {len(validation)} validation photographs at {size} pixels:")
        for line in figure_lines(result.best):
            console.print_line(line)
        console.print_line(f"Loss on a fixed validation batch: {before:.4f} {moment}, {after:.4f} now.")
        console.print_line(f"Run folder: {prepared.folder}")
        return
    console.print_line(f"\nScore on {len(validation)} validation photographs at {size} pixels:")
    console.print_line(score_table(result.scores))
    console.print_line(f"Pixel loss (MSE) on a fixed validation batch: {before:.4f} {moment}, {after:.4f} now.")
    if result.submission is not None:
        console.print_line(f"{len(prepared.source.tests)} test photographs restored: {result.submission}")
    else:
        console.print_line("There are no test photographs (test_input/), so there is no submission.")
    console.print_line(f"Run folder: {prepared.folder}")


def _result_as_json(result: RunResult, folder: Path) -> dict[str, Any]:
    figures = {"figures": dict(result.best.figures)} if result.best and result.best.figures else {}
    return {
        "folder": str(folder),
        "steps": result.steps,
        "pixel_loss": dict(zip(("before", "after"), result.pixel_loss, strict=True)),
        "scores": {name: asdict(score) for name, score in result.scores.items()},
        "submission": str(result.submission) if result.submission else None,
    } | figures
