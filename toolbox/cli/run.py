"""`toolbox run`: train what a recipe describes, score it, restore the test photographs."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import as_json, is_main_process, load_catalog, print_json, recipe_path
from toolbox.errors import UsageError

if TYPE_CHECKING:
    from toolbox.cli.console import Console
    from toolbox.config.plan import Plan
    from toolbox.data.folders import Source
    from toolbox.data.split import DataSplit
    from toolbox.hooks.catalog import Catalog
    from toolbox.training.options import RunResult

SAMPLE_LINE = (
    "No --data, so this run uses the package's {count} sample photographs. It takes a few minutes and shows that "
    "everything works; the result is not a finished restorer. For your own photographs: toolbox run --recipe {recipe} "
    "--data DIR"
)


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What the command line asks for.

    Attributes:
        catalog: the components.
        plan: the bound recipe.
        data: the data folder, None for the sample photographs.
        out: the folder for a new run, None to choose one.
        resume: the run folder to continue, None for a new run.
        device: the device, None for the best available.
        plan_changed: whether options change the recipe of the run that is continued.
        dry_run: print what would be done, and stop.
        as_json: print the result as JSON on stdout.
    """

    catalog: Catalog
    plan: Plan
    data: Path | None
    out: Path | None
    resume: Path | None
    device: str | None
    plan_changed: bool
    dry_run: bool
    as_json: bool


@click.command("run")
@click.option("--recipe", "recipe_name", help="A recipe's name, or a path ending in .toml.  [default: default]")
@click.option(
    "--data",
    "data",
    type=click.Path(path_type=Path),
    help="A folder with train_input/, train_gt/, test_input/, or with photographs.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The run folder.  [default: runs/<date>-<recipe>-<n>]")
@click.option("--resume", type=click.Path(path_type=Path), help="Continue the run in this folder, with its recipe.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training photographs.")
@click.option("--steps", type=click.IntRange(1), help="Stop after this many steps.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after this many minutes.")
@click.option("--size", type=click.IntRange(16), help="Side of the training pictures, in pixels.")
@click.option("--batch", type=click.IntRange(1), help="Pictures per step.")
@click.option("--device", help="cpu, cuda, cuda:1, mps.  [default: the best available]")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16", "fp64"]), help="Arithmetic of the networks.")
@click.option("--seed", type=click.IntRange(0), help="Seed of weights, order, damage and penalties.")
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="Override any setting of the recipe.")
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
    dry_run: bool,
    as_json: bool,
    **settings: Any,  # noqa: ANN401 - the options that are settings of the recipe
) -> None:
    """Train what a recipe describes, score it, and restore the test photographs."""
    if resume is not None and (recipe_name or out):
        raise UsageError("--resume takes the recipe and the folder of the run. Leave out --recipe and --out.")
    catalog = load_catalog(context)
    changes = [*(_as_override(key, value) for key, value in settings.items() if value is not None), *overrides]
    plan, data = _bind_recipe(catalog, recipe_name or "default", data, resume, changes)
    request = RunRequest(
        catalog=catalog,
        plan=plan,
        data=data,
        out=out,
        resume=resume,
        device=device,
        plan_changed=resume is not None and bool(changes),
        dry_run=dry_run,
        as_json=as_json,
    )
    from toolbox.distributed import collectives

    code = collectives.run_with_peers(lambda: _run(request))
    if code:
        raise SystemExit(code)


def _as_override(key: str, value: object) -> str:
    """Return an option of the command line as an override of the recipe."""
    table = {"size": "data.", "seed": ""}.get(key, "training.")
    return f"{table}{key}={value}"


def _bind_recipe(
    catalog: Catalog, name: str, data: Path | None, resume: Path | None, changes: Sequence[str]
) -> tuple[Plan, Path | None]:
    """Return the plan of a new run or of the one in `resume`, and its data folder."""
    from toolbox.config import recipe
    from toolbox.config.binding import bind

    def find(known: str) -> Path:
        return recipe_path(catalog, known)

    if resume is None:
        return bind(recipe.read(name, find, changes, sample=data is None), catalog), data
    from toolbox.training import run_dir, run_records

    run_dir.require_run_dir(resume)
    info = run_records.read_run_info(resume)
    read = recipe.read(str(resume / run_dir.RECIPE), find, changes)
    plan = bind(recipe.Recipe(name=info.recipe or resume.name, tree=read.tree), catalog)
    return plan, Path(info.data) if data is None and info.data else data


def _run(request: RunRequest) -> int:
    """Run, and return the exit code: 0, or 128 plus the signal that stopped the run before its end."""
    from toolbox.cli.console import Console, stop_on_signals
    from toolbox.data import folders, split
    from toolbox.distributed import collectives
    from toolbox.distributed.accelerator import make_accelerator
    from toolbox.models import published
    from toolbox.training import run, run_dir
    from toolbox.training.options import RunOptions

    plan, resume = request.plan, request.resume
    console = Console(json_output=request.as_json, silent=not is_main_process())
    for line in plan.warnings:
        console.print_line(f"warning: {line}")
    initial = None
    if resume is None:
        plan.check()
        initial = published.initial_weights(plan, request.catalog)
    source = folders.open_folder(request.data)
    if source.kind == "sample":
        console.print_line(SAMPLE_LINE.format(count=len(source.items), recipe=plan.name))
    accelerator = make_accelerator(request.device, plan.settings.training.precision, distributed=True)
    collectives.require_row_each(plan.settings.training.batch)
    with collectives.local_main_process_first():  # the others find the scenes in the cache
        data_split = split.split_items(source.items, plan.settings.split, console.print_line)
    processes = collectives.world_size()
    device = f"{accelerator.device.type} in {processes} processes" if processes > 1 else str(accelerator.device)
    folder = resume or Path(collectives.on_main_process(lambda: str(run_dir.choose_run_dir(request.out, plan.name))))
    for line in _outline(plan, source, data_split, device, folder):
        console.print_line(line)
    if request.dry_run:
        console.print_line("Dry run: nothing was written.")
        return 0
    if resume is None:
        collectives.on_main_process(lambda: run_dir.start_run_dir(folder, plan, request.data, device))
    with stop_on_signals("this step, with a checkpoint") as stopped:
        options = RunOptions(
            source=source,
            split=data_split,
            folder=folder,
            device=request.device,
            should_stop=lambda: stopped.signal is not None,
            initial=initial,
            plan_changed=request.plan_changed,
        )
        result = run.train(plan, options, console)
    if not result.finished:
        console.print_line(f"Stopped after step {result.steps}. To continue: toolbox run --resume {folder}")
        return 128 + (stopped.signal or signal.SIGINT)
    if not request.as_json:
        _print_result(console, result, plan, source, data_split, folder)
    elif collectives.is_main_process():
        print_json(_result_as_json(result, folder))
    return 0


def _outline(plan: Plan, source: Source, data_split: DataSplit, device: str, folder: Path) -> Sequence[str]:
    """Return the lines that say what the run is going to do."""
    settings = plan.settings
    losses = ", ".join(f"{bound.label} x{getattr(bound.options, 'weight', 1):g}" for bound in plan.losses)
    discriminator = f" against {plan.discriminator.spec.name}" if plan.discriminator else ""
    leaks = "no scene is in both parts."
    if data_split.leaks:
        leaks = f"{data_split.leaks} validation photographs share a scene with a training photograph"
        leaks += "; split.method=scene keeps scenes apart." if settings.split.method == "random" else "."
    return [
        f"Recipe '{plan.name}': {plan.generator.spec.name}{discriminator}; losses {losses}.",
        f"{source.kind}: {len(data_split.train)} train, {len(data_split.validation)} validate, {len(source.tests)} "
        f"test; split {settings.split.method}: {leaks}",
        f"{settings.data.size} pixels, batch {settings.training.batch}, up to {settings.training.epochs} epochs, "
        f"{settings.training.precision} on {device}, seed {settings.seed}. Run folder: {folder}",
    ]


def _print_result(
    console: Console, result: RunResult, plan: Plan, source: Source, data_split: DataSplit, folder: Path
) -> None:
    from toolbox.training.metric_log import score_table

    before, after = result.pixel_loss
    console.print_line(
        f"\nScore on {len(data_split.validation)} validation photographs at {plan.settings.data.size} pixels:"
    )
    console.print_line(score_table(result.scores))
    console.print_line(
        f"Pixel loss (MSE) on a fixed validation batch: {before:.4f} before the first step, {after:.4f} now."
    )
    if result.submission:
        console.print_line(f"{len(source.tests)} test photographs restored: {result.submission}")
    else:
        console.print_line("There are no test photographs (test_input/), so there is no submission.")
    console.print_line(f"Run folder: {folder}")


def _result_as_json(result: RunResult, folder: Path) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "steps": result.steps,
        "pixel_loss": dict(zip(("before", "after"), result.pixel_loss, strict=True)),
        "scores": {name: asdict(score) for name, score in result.scores.items()},
        "submission": str(result.submission) if result.submission else None,
    }
