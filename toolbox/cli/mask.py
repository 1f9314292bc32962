"""`toolbox mask`: write the lost region that is found in each photograph as an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toolbox.cli.common import as_json, print_json
from toolbox.errors import DataError, UsageError


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
    from toolbox.utils import files

    photos = _find_photos(photo, out)
    targets = _targets(photos, out)
    files.ensure_folder(out)
    records = [_write_mask(path, target, overwrite, as_json) for path, target in zip(photos, targets, strict=True)]
    if as_json:
        print_json(records)
    if any("error" in record for record in records):
        context.exit(1 if len(photos) == 1 else 3)


def _find_photos(path: Path, out: Path) -> list[Path]:
    from toolbox.imaging import io

    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder.")
    photos = io.find_images(path) if path.is_dir() else [path]
    if not photos:
        raise DataError(f"{path} has no photographs.")
    folder = path if path.is_dir() else path.parent
    if out.resolve() == folder.resolve():
        raise UsageError(f"-o {out} is the photographs' own folder; choose another, so that none is overwritten.")
    return photos


def _targets(photos: list[Path], out: Path) -> list[Path]:
    """Return the path of each mask: with the stem of its photograph, or the whole name if two have the same stem."""
    stems = [path.stem for path in photos]
    return [out / f"{path.name if stems.count(path.stem) > 1 else path.stem}.png" for path in photos]


def _write_mask(path: Path, target: Path, overwrite: bool, as_json: bool) -> dict[str, Any]:
    """Write the mask of one photograph, print a line unless JSON was asked for, and return the record for JSON."""
    import numpy as np

    from toolbox.imaging import io
    from toolbox.masks.lost_region import find_lost_region

    if target.exists() and not overwrite:
        if not as_json:
            click.echo(f"{target}: there already; replace it with --overwrite")
        return {"file": str(path), "mask": str(target), "there already": True}
    try:
        mask = find_lost_region(io.read_gray(path))
    except DataError as error:
        click.echo(f"toolbox: {error}", err=True)
        return {"file": str(path), "error": str(error)}
    io.write_png(target, mask.astype(np.uint8) * 255)
    lost = float(mask.mean())
    if not as_json:
        click.echo(f"{target}: {100 * lost:.2f} % lost" if mask.any() else f"{target}: nothing lost")
    return {"file": str(path), "mask": str(target), "lost": lost}
