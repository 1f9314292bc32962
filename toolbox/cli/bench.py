"""`toolbox bench`: measure which settings of a recipe are the fastest on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolbox.cli.common import FilePath, FiniteRange, as_json, load_catalog, print_json, recipe_path

if TYPE_CHECKING:
    from toolbox.diagnostics.benchmark import BenchmarkRow

WIDTH = 52  # characters of the first column
HEADER = (
    f"{'settings':<{WIDTH}} {'pictures/s':>10} {'ms per step':>11} {'waiting':>8} {'peak MB':>8}  {'memory layout'}"
)


@click.command("bench")
@click.option("--recipe", "name", default="default", show_default=True, help="A recipe's name, or a path to a .toml.")
@click.option("--data", type=FilePath(), help="Photographs.  [default: the package's sample]")
@click.option("--size", type=click.IntRange(16), help="Side of the training pictures, in pixels.")
@click.option("--batch", type=click.IntRange(1), help="Pictures per step.")
@click.option("--device", help="cpu, cuda, cuda:1, mps.  [default: the best available]")
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="Override any setting of the recipe.")
@click.option("--seconds", type=FiniteRange(0), default=5.0, show_default=True, help="Time to measure each variant.")
@click.option("--compile", "compiled", is_flag=True, help="Measure torch.compile too; this takes a minute or more.")
@as_json
@click.pass_context
def command(
    context: click.Context,
    name: str,
    data: Path | None,
    size: int | None,
    batch: int | None,
    device: str | None,
    overrides: tuple[str, ...],
    seconds: float,
    compiled: bool,
    as_json: bool,
) -> None:
    """Train a recipe for some seconds with different settings, and print what each costs on this machine."""
    from toolbox.config import recipe
    from toolbox.config.binding import bind
    from toolbox.data import folders
    from toolbox.diagnostics import benchmark
    from toolbox.distributed.accelerator import make_accelerator

    catalog = load_catalog(context)
    options = {"data.size": size, "training.batch": batch}
    changes = [*(f"{key}={value}" for key, value in options.items() if value is not None), *overrides]
    items = folders.open_folder(data).items
    device_type = make_accelerator(device).device.type
    rows: list[benchmark.BenchmarkRow] = []
    for settings in benchmark.variants(device_type, compiled=compiled):
        variant = [*changes, *settings]
        read = recipe.read(name, lambda each: recipe_path(catalog, each), variant, sample=data is None)
        plan = bind(read, catalog)
        if not rows and not as_json:
            chosen = plan.settings
            click.echo(
                f"Recipe '{plan.name}' on {device_type}: {chosen.data.size} pixels, batch {chosen.training.batch}, "
                f"{len(items)} photographs, {chosen.data.workers} data workers.\n\n{HEADER}"
            )
        rows.append(benchmark.measure_settings(plan, items, device, settings, seconds))
        if not as_json:
            click.echo(_table_row(rows[-1]))
    fastest = benchmark.fastest(rows)
    if as_json:
        print_json({"device": device_type, "rows": [asdict(row) for row in rows], "best": fastest and fastest.settings})
    elif fastest is not None:
        _print_fastest(fastest, device_type)
    if fastest is None:
        context.exit(1)


def _table_row(row: BenchmarkRow) -> str:
    settings = " ".join(setting.removeprefix("training.") for setting in row.settings)
    if row.fault is not None:
        return f"{settings:<{WIDTH}} does not work: {row.fault}"
    peak = f"{row.peak / 1e6:.0f}" if row.peak else "-"
    return (
        f"{settings:<{WIDTH}} {row.pictures:>10.2f} {1000 * row.seconds:>11.0f} {row.waiting:>8.1%} {peak:>8}  "
        f"{row.memory_format}"
    )


def _print_fastest(row: BenchmarkRow, device_type: str) -> None:
    click.echo("\nThe parts of a step with the fastest settings:")
    for part, spent in row.parts.items():
        click.echo(f"  {part:<36} {1000 * spent:>8.0f} ms  {spent / row.seconds:>6.1%}")
    click.echo(f"  {'waiting for data':<36} {1000 * row.waiting * row.seconds:>8.0f} ms  {row.waiting:>6.1%}")
    click.echo("\nTo use them: toolbox run " + " ".join(f"--set {setting}" for setting in row.settings))
    if device_type == "cpu":
        click.echo("Peak memory is that of the whole process. Other programs on this machine change every figure.")
