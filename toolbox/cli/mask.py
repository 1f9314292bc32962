"""`toolbox mask`: write the lost region that is found in each photograph as an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from toolbox.cli.common import as_json, print_json
from toolbox.errors import DataError, OutputError, UsageError
from toolbox.utils.screen import echo


@click.command("mask")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the masks.")
@click.option("--overwrite", is_flag=True, help="Overwrite existing masks.")
@as_json
@click.pass_context
def command(context: click.Context, photo: Path, out: Path, overwrite: bool, as_json: bool) -> None:
    """Find the lost region in PHOTO, a file or a folder, and write it as a PNG of the same name, in white.

    An existing mask is not changed; you may have corrected it.
    """
    from toolbox.imaging import io
    from toolbox.inference.photo_search import describe_files
    from toolbox.utils import files

    files.require_readable(photo, "")
    is_folder = os.path.isdir(photo)
    photos, others = io.list_images(photo) if is_folder else ([photo], [])
    if not photos:
        line = describe_files(others)
        raise DataError(f"{files.printable(photo)} has no photographs{f' ({line})' if line else ''}.")
    _require_separate_folder(out, photo if is_folder else photo.parent)
    targets = _targets(photos, out)
    files.ensure_folder(out)
    records = [_write_mask(path, target, overwrite, as_json) for path, target in zip(photos, targets, strict=True)]
    if as_json:
        print_json(records)
    if others:
        echo(describe_files(others), err=as_json)
    if any("error" in record for record in records):
        context.exit(1 if len(photos) == 1 else 3)


def _require_separate_folder(out: Path, folder: Path) -> None:
    from toolbox.inference.photo_search import is_same_path
    from toolbox.utils import files

    if is_same_path(out, folder):
        raise UsageError(
            f"-o {files.printable(out)} is the photographs' own folder; choose another, so that none is overwritten."
        )


def _targets(photos: list[Path], out: Path) -> list[Path]:
    """Return the path of each mask: with the stem of its photograph, or the whole name if two have the same stem."""
    stems = [path.stem.casefold() for path in photos]
    return [out / f"{path.name if stems.count(path.stem.casefold()) > 1 else path.stem}.png" for path in photos]


def _write_mask(path: Path, target: Path, overwrite: bool, as_json: bool) -> dict[str, Any]:
    """Write the mask of one photograph, print a line unless JSON was asked for, and return the record for JSON."""
    import numpy as np

    from toolbox.imaging import io
    from toolbox.masks.lost_region import find_lost_region
    from toolbox.utils import files

    record: dict[str, Any] = {"file": files.printable(path), "mask": files.printable(target)}
    try:
        if os.path.lexists(target) and not overwrite:
            if not as_json:
                echo(f"{record['mask']}: there already; replace it with --overwrite")
            return {**record, "there already": True}
        mask = find_lost_region(io.read_gray(path))
        io.write_png(target, mask.astype(np.uint8) * 255)
    except (DataError, OutputError) as error:
        echo(f"toolbox: {error}", err=True)
        return {"file": record["file"], "error": str(error)}
    lost = float(mask.mean())
    if not as_json:
        echo(f"{record['mask']}: {100 * lost:.2f} % lost" if mask.any() else f"{record['mask']}: nothing lost")
    return {**record, "lost": lost}
