"""`toolbox score`: the competition's score of a folder or a submission zip."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from toolbox.cli.common import as_json, print_json, print_table
from toolbox.errors import UsageError


@click.command("score")
@click.argument("predictions", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--masks", type=click.Path(path_type=Path), help="Folder of masks: white is lost.")
@click.option("--inputs", type=click.Path(path_type=Path), help="Folder of damaged inputs, to find the masks in.")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write the figures of each image to this file.")
@click.option("--overwrite", is_flag=True, help="Write the file of --csv again if it is there.")
@as_json
def command(
    predictions: Path,
    truth: Path,
    masks: Path | None,
    inputs: Path | None,
    table: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score PREDICTIONS, a folder or a submission zip, against TRUTH by the competition's formula.

    S is the SSIM of the whole image, M that inside the lost region, C the correlation of the hue histograms; the score
    is 0.2 S + 0.4 M + 0.4 C, averaged over the images. M, and so the score, needs --masks or --inputs.
    """
    if masks is not None and inputs is not None:
        raise UsageError("Give --masks or --inputs, not both.")
    from toolbox.evaluation import score_files

    if table is not None:
        _demand_free(table, overwrite, [place for place in (predictions, truth, masks, inputs) if place])
    scored = score_files.score_files(predictions, truth, masks=masks, inputs=inputs)
    if table is not None:
        score_files.write_csv(table, scored.images)
    if as_json:
        listed = [{"name": name, **asdict(score)} for name, score in scored.images.items()]
        print_json({"mean": asdict(scored.mean), "images": listed, "notes": list(scored.notes)})
        return
    rows = [(name, *map(_figure, asdict(score).values())) for name, score in scored.images.items()]
    rows.append(("mean", *map(_figure, asdict(scored.mean).values())))
    print_table(rows, ("IMAGE", "S", "M", "C", "SCORE"))
    for note in scored.notes:
        click.echo(f"note: {note}", err=True)


def _demand_free(table: Path, overwrite: bool, given: list[Path]) -> None:
    """Raise UsageError if the table would go over what is scored, or over anything else unless that is asked for."""
    from toolbox.imaging import io
    from toolbox.inference import output_paths

    read = [path for place in given for path in (io.find_images(place) if place.is_dir() else [place])]
    if table.exists() and any(output_paths.is_same_path(table, path) for path in read):
        raise UsageError(f"--csv {table} is one of the files that are scored; choose another name.")
    if os.path.lexists(table) and not overwrite:
        raise UsageError(f"--csv {table} is there already; choose another name, or --overwrite it.")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"
