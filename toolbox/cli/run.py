"""`toolbox run`: train what a recipe describes, score it, restore the test photographs."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import as_json, is_main_process, load_catalog, print_json, recipe_path
from toolbox.errors import UsageError

if TYPE_CHECKING:
    from toolbox.config.plan import Plan
    from toolbox.data.folders import Source
    from toolbox.data.split import DataSplit
    from toolbox.hooks.catalog import Catalog

SAMPLE_LINE = (
    "No --data, so this runs on the {count} sample photographs of the package, small and for a few minutes: it shows "
    "that everything works and is no finished restorer. For your own: toolbox run --recipe {recipe} --data DIR"
)


@click.command("run")
@click.option("--recipe", "recipe_name", help="A recipe's name, or a path ending in .toml.  [default: default]")
@click.option(
    "--data", "data", type=click.Path(path_type=Path), help="train_input/, train_gt/, test_input/, or photos."
)
@click.option("--out", type=click.Path(path_type=Path), help="The run folder.  [default: runs/<date>-<recipe>-<n>]")
@click.option("--resume", type=click.Path(path_type=Path), help="Continue this run folder, by the recipe in it.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training photographs.")
@click.option("--steps", type=click.IntRange(1), help="Stop after so many steps.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so many minutes.")
@click.option("--size", type=click.IntRange(16), help="Side of the training pictures, in pixels.")
@click.option("--batch", type=click.IntRange(1), help="Pictures a step.")
@click.option("--device", help="cpu, cuda, cuda:1, mps.  [default: the best there is]")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16", "fp64"]), help="Arithmetic of the networks.")
@click.option("--seed", type=click.IntRange(0), help="Seed of weights, order, damage and penalties.")
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="Override any setting of the recipe.")
@click.option("--dry-run", is_flag=True, help="Check the recipe and the data, say what would be done, and stop.")
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
    **limits: Any,  # noqa: ANN401 - the options that are settings of the recipe
) -> None:
    """Train what a recipe describes, score it, and restore the test photographs."""
    if resume is not None and (recipe_name or out):
        raise UsageError("--resume takes the recipe and the folder of the run; leave --recipe and --out out.")
    from toolbox.config import recipe
    from toolbox.config.binding import bind
    from toolbox.training import run_dir

    catalog = load_catalog(context)
    changes = [*(_as_setting(key, value) for key, value in limits.items() if value is not None), *overrides]
    if resume is not None:
        facts = run_dir.read_run_info(resume)
        if data is None and facts.get("data"):
            data = Path(facts["data"])
        read = recipe.read(str(resume / run_dir.RECIPE), lambda name: recipe_path(catalog, name), changes)
        read = recipe.Recipe(name=facts.get("recipe", resume.name), tree=read.tree)
    else:
        read = recipe.read(
            recipe_name or "default", lambda name: recipe_path(catalog, name), changes, sample=data is None
        )
    plan = bind(read, catalog)
    from toolbox.distributed import collectives

    changed = resume is not None and bool(changes)
    code = collectives.run_with_peers(lambda: _run(catalog, plan, data, out, resume, device, dry_run, as_json, changed))
    if code:
        raise SystemExit(code)


def _as_setting(key: str, value: object) -> str:
    table = "data" if key == "size" else "" if key == "seed" else "training"
    return f"{table}.{key}={value}" if table else f"{key}={value}"


def _run(
    catalog: Catalog,
    plan: Plan,
    data: Path | None,
    out: Path | None,
    resume: Path | None,
    device: str | None,
    dry_run: bool,
    as_json: bool,
    changed: bool,
) -> int:
    """Run, and return the exit code: 0, or 128 and the signal that stopped it before its end."""
    from toolbox.cli.console import Console, stop_on_signals
    from toolbox.data import folders, split
    from toolbox.distributed import collectives
    from toolbox.distributed.accelerator import make_accelerator
    from toolbox.models import published
    from toolbox.training import metric_log, run, run_dir
    from toolbox.training.options import RunOptions

    console = Console(json_output=as_json, silent=not is_main_process())
    for line in plan.warnings:
        console.print_line(f"warning: {line}")
    initial = None
    if resume is None:
        plan.check()
        initial = published.initial_weights(plan, catalog)
    source = folders.open_folder(data)
    if source.kind == "sample":
        console.print_line(SAMPLE_LINE.format(count=len(source.items), recipe=plan.name))
    accelerator = make_accelerator(device, plan.settings.training.precision, several=True)
    collectives.require_rows(plan.settings.training.batch)
    with accelerator.local_main_process_first():  # the scenes are then in the machine's cache
        sides = split.split_items(source.items, plan.settings.split, console.print_line)
    chosen = (
        f"{accelerator.device.type} in {accelerator.num_processes} processes"
        if accelerator.num_processes > 1
        else str(accelerator.device)
    )
    folder = resume or Path(collectives.on_main_process(lambda: str(run_dir.choose_run_dir(out, plan.name))))
    for line in _outline(plan, source, sides, chosen, folder):
        console.print_line(line)
    if dry_run:
        console.print_line("Dry run: nothing was written.")
        return 0
    if resume is None:
        collectives.on_main_process(lambda: run_dir.begin_run_dir(folder, plan, data, chosen))
    with stop_on_signals("this step, with a checkpoint") as request:
        options = RunOptions(
            source=source,
            split=sides,
            folder=folder,
            device=device,
            stop=lambda: request.signal is not None,
            initial=initial,
            changed=changed,
        )
        result = run.train(plan, options, console)
    if not result.finished:
        console.print_line(f"Stopped after step {result.steps}. To go on: toolbox run --resume {folder}")
        return 128 + (request.signal or signal.SIGINT)
    if as_json and collectives.is_main_process():
        scores = {name: asdict(score) for name, score in result.scores.items()}
        print_json(
            {
                "folder": str(folder),
                "steps": result.steps,
                "pixel_loss": dict(zip(("before", "after"), result.pixel_loss, strict=True)),
                "scores": scores,
                "submission": str(result.submission) if result.submission else None,
            }
        )
    if as_json:
        return 0
    before, after = result.pixel_loss
    console.print_line(
        f"\nScore on {len(sides.validation)} validation photographs at {plan.settings.data.size} pixels:"
    )
    console.print_line(metric_log.score_table(result.scores))
    console.print_line(
        f"Pixel loss (MSE) on a fixed validation batch: {before:.4f} before the first step, {after:.4f} now."
    )
    if result.submission:
        console.print_line(f"{len(source.tests)} test photographs restored: {result.submission}")
    else:
        console.print_line("No test photographs (test_input/), so there is no submission.")
    console.print_line(f"Run folder: {folder}")
    return 0


def _outline(plan: Plan, source: Source, sides: DataSplit, device: str, folder: Path) -> Sequence[str]:
    settings = plan.settings
    names = ", ".join(f"{bound.label} x{getattr(bound.options, 'weight', 1):g}" for bound in plan.losses)
    against = f" against {plan.discriminator.spec.name}" if plan.discriminator else ""
    leak = (
        f"{sides.leaks} validation photographs share a scene with a training one"
        + ("; split.method=scene keeps scenes apart." if settings.split.method == "random" else ".")
        if sides.leaks
        else "no scene lies on both sides."
    )
    return [
        f"Recipe '{plan.name}': {plan.generator.spec.name}{against}; losses {names}.",
        f"{source.kind}: {len(sides.train)} train, {len(sides.validation)} validate, {len(source.tests)} test; "
        f"split {settings.split.method}: {leak}",
        f"{settings.data.size} pixels, batch {settings.training.batch}, up to {settings.training.epochs} epochs, "
        f"{settings.training.precision} on {device}, seed {settings.seed}. Run folder: {folder}",
    ]
