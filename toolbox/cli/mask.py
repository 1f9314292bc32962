"""`toolbox mask`: the lost region that is found in each photograph, as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from toolbox.cli.common import as_json, print_json
from toolbox.errors import DataError, UsageError


@click.command("mask")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The folder for the masks.")
@click.option("--overwrite", is_flag=True, help="Make masks again that are there.")
@as_json
@click.pass_context
def command(context: click.Context, photo: Path, out: Path, overwrite: bool, as_json: bool) -> None:
    """Write the lost region found in PHOTO, a file or a folder of them, as PNG of the same name: white is lost.

    A mask that is there already, perhaps mended by hand, stays as it is.
    """
    import numpy as np

    from toolbox.imaging import io
    from toolbox.masks import lost_region
    from toolbox.utils import files

    if not photo.exists():
        raise UsageError(f"{photo}: there is no such file or folder.")
    photos = io.find_images(photo) if photo.is_dir() else [photo]
    if not photos:
        raise DataError(f"{photo} holds no photographs.")
    source = photo if photo.is_dir() else photo.parent
    if out.resolve() == source.resolve():
        raise UsageError(f"-o {out} is the photographs' own folder; choose another, so that none is overwritten.")
    twice = {path.stem for path in photos if sum(path.stem == other.stem for other in photos) > 1}
    files.ensure_folder(out)
    report: list[dict[str, object]] = []
    failed = False
    for path in photos:
        target = out / f"{path.name if path.stem in twice else path.stem}.png"
        if target.exists() and not overwrite:
            report.append({"file": str(path), "mask": str(target), "there already": True})
            if not as_json:
                click.echo(f"{target}: there already; --overwrite makes it again")
            continue
        try:
            mask = lost_region.find_lost_region(io.read_gray(path))
        except DataError as error:
            failed = True
            report.append({"file": str(path), "error": str(error)})
            click.echo(f"toolbox: {error}", err=True)
            continue
        io.write_png(target, mask.astype(np.uint8) * 255)
        share = float(mask.mean())
        report.append({"file": str(path), "mask": str(target), "lost": share})
        if not as_json:
            click.echo(f"{target}: {100 * share:.2f} % lost" if mask.any() else f"{target}: nothing lost")
    if as_json:
        print_json(report)
    if failed:
        context.exit(1 if len(photos) == 1 else 3)
