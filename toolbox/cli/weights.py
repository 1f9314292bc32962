"""`toolbox weights`: list and verify published weights; export, average and calibrate weights."""

from __future__ import annotations

from pathlib import Path

import click

from toolbox.cli.common import FilePath, FiniteRange, as_json, load_catalog, print_json, print_table, require_new_file
from toolbox.errors import UsageError


@click.group("weights", invoke_without_command=True)
@as_json
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the published weights and verify each file. The exit code is 1 if a file is missing or has changed."""
    if context.invoked_subcommand is not None:
        return
    from toolbox.models.published import find_weight_damage, list_published, published_spec

    entries = list_published(load_catalog(context))
    published = [(entry, published_spec(entry), find_weight_damage(entry)) for entry in entries]
    if as_json:
        print_json(
            [
                {
                    "name": spec.name,
                    "summary": spec.summary,
                    "recipe": spec.recipe,
                    "licence": spec.licence,
                    "plugin": entry.plugin,
                    "origin": entry.origin,
                    "file": str(spec.path),
                    "sha256": spec.sha256,
                    "fault": damage,
                }
                for entry, spec, damage in published
            ]
        )
    elif not published:
        click.echo("There are no published weights. A run writes its own to best.safetensors.")
    else:
        rows = [
            (spec.name, spec.recipe, spec.licence, entry.origin or entry.plugin, damage or "ok")
            for entry, spec, damage in published
        ]
        print_table(rows, ("NAME", "RECIPE", "LICENCE", "FROM", "FILE"))
    if any(damage for *_, damage in published):
        context.exit(1)


@command.command("export")
@click.argument("weights")
@click.argument("file", required=False, type=FilePath())
@click.option("-o", "--output", type=FilePath(), help="The file to write, instead of FILE.")
@click.option("--half", is_flag=True, help="Write half precision: half the size, loaded as float32 again.")
@click.pass_context
def export(context: click.Context, weights: str, file: Path | None, output: Path | None, half: bool) -> None:
    """Write WEIGHTS (a run, a checkpoint, a file, a published name) to FILE for others, and print its sha256.

    A FILE that ends in .safetensors is for toolbox. One that ends in .onnx restores photographs with onnxruntime alone:
    it has the network with its pre- and post-processing, for photographs of any size.
    """
    from toolbox.utils import files

    target = output or file
    if target is None or (output is not None and file is not None):
        raise UsageError("Name one file to write: FILE, or -o FILE.")
    require_new_file(target, ".safetensors", ".onnx")
    files.require_writable(target)
    if target.suffix.lower() == ".onnx":
        from toolbox.inference.onnx_export import export_onnx

        if half:
            raise UsageError("--half is for .safetensors files; an .onnx file has float32.")
        export_onnx(weights, target, load_catalog(context))
    else:
        from toolbox.models.weights import export_weights

        export_weights(weights, target, load_catalog(context), half=half)
    click.echo(f"{files.sha256(target)}  {target}")


@command.command("average")
@click.argument("weights", nargs=-1, required=True)
@click.option("-o", "--output", "file", type=FilePath(), required=True, help="The file to write.")
@click.pass_context
def average(context: click.Context, weights: tuple[str, ...], file: Path) -> None:
    """Write the mean of several WEIGHTS of the same network (run folders, files, or published names).

    The mean of runs that started from the same weights is often better than each of them. Measure it first.
    """
    from toolbox.models.average import average_weights
    from toolbox.utils import files

    require_new_file(file, ".safetensors")
    files.require_writable(file)
    average_weights(weights, file, load_catalog(context))
    click.echo(f"{files.sha256(file)}  {file}")


@command.command("calibrate")
@click.argument("weights")
@click.option(
    "--data",
    type=FilePath(exists=True),
    required=True,
    help="Colour photographs, a folder or a file, that the weights were not trained on; 100 are enough.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=300, show_default=True, help="Use at most this many photographs."
)
@click.option(
    "--colorfulness",
    type=FiniteRange(0, 2),
    default=0.65,
    show_default=True,
    help="Minimum colourfulness of the results, as a fraction of that of the photographs.",
)
@click.option("-o", "--output", "file", type=FilePath(), required=True, help="The file to write.")
@click.pass_context
def calibrate(context: click.Context, weights: str, data: Path, limit: int, colorfulness: float, file: Path) -> None:
    """Fit the certainty, the tint and the saturation of the colours of WEIGHTS to photographs, without training."""
    from toolbox.imaging import io
    from toolbox.models.calibrate import calibrate_weights
    from toolbox.utils import files

    require_new_file(file, ".safetensors")
    files.require_writable(file)
    photos = io.find_images(data) if data.is_dir() else [data]
    if not photos:
        raise UsageError(f"--data {files.printable(data)} has no photographs; choose another folder.")
    photos = photos[:: -(-len(photos) // limit) or 1]
    changed = calibrate_weights(weights, photos, file, load_catalog(context), {"colorfulness": colorfulness})
    for name, value in changed.items():
        click.echo(f"{name} = {value}")
    click.echo(f"{files.sha256(file)}  {file}")
