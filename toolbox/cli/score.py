"""`toolbox score`: the competition's score of a folder or a submission zip."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolbox.cli.common import as_json, print_json, print_table
from toolbox.errors import UsageError

if TYPE_CHECKING:
    from toolbox.imaging.mask_meaning import MaskMeaning


@click.command("score")
@click.argument("predictions", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--masks", type=click.Path(path_type=Path), help="Folder of masks, with the lost region in white.")
@click.option(
    "--inputs", type=click.Path(path_type=Path), help="Folder of damaged inputs, to find the lost regions in."
)
@click.option(
    "--mask-means",
    type=click.Choice(["auto", "painted", "transparent", "white"]),
    default="auto",
    show_default=True,
    help="What is lost in a mask file. auto: white, or what its transparency shows.",
)
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write the scores of each image to this file.")
@click.option("--overwrite", is_flag=True, help="Overwrite an existing --csv file.")
@as_json
def command(
    predictions: Path,
    truth: Path,
    masks: Path | None,
    inputs: Path | None,
    mask_means: MaskMeaning,
    table: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score PREDICTIONS, a folder or a submission zip, against TRUTH by the competition's formula.

    S is the SSIM of the whole image, M the SSIM inside the lost region, C the correlation of the hue histograms. The
    score is 0.2 S + 0.4 M + 0.4 C, averaged over the images. M and the score need --masks or --inputs.
    """
    if masks is not None and inputs is not None:
        raise UsageError("--masks and --inputs can't be combined; leave one out.")
    from toolbox.evaluation import score_files

    if table is not None:
        _check_table(table, overwrite, [path for path in (predictions, truth, masks, inputs) if path])
    scores = score_files.score_files(predictions, truth, masks=masks, inputs=inputs, mask_means=mask_means)
    if table is not None:
        score_files.write_csv(table, scores.images)
    if as_json:
        images = [{"name": name, **asdict(score)} for name, score in scores.images.items()]
        print_json({"mean": asdict(scores.mean), "images": images, "notes": list(scores.notes)})
        return
    rows = [(name, *map(_format, asdict(score).values())) for name, score in scores.images.items()]
    rows.append(("mean", *map(_format, asdict(scores.mean).values())))
    print_table(rows, ("IMAGE", "S", "M", "C", "SCORE"))
    for note in scores.notes:
        click.echo(f"note: {note}", err=True)


def _check_table(table: Path, overwrite: bool, inputs: list[Path]) -> None:
    """Raise UsageError if the table would replace a scored file, or another file without --overwrite."""
    from toolbox.imaging import io
    from toolbox.inference import output_paths

    scored = [path for source in inputs for path in (io.find_images(source) if source.is_dir() else [source])]
    if table.exists() and any(output_paths.is_same_path(table, path) for path in scored):
        raise UsageError(f"--csv {table} is one of the scored files; choose another name.")
    if os.path.lexists(table) and not overwrite:
        raise UsageError(f"--csv {table} exists; choose another name, or add --overwrite.")


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"
