"""`toolbox mask`: write the lost region that is found in each photograph as an image."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import as_json, load_catalog, print_json
from toolbox.cli.damage_options import damage_options, damage_params
from toolbox.errors import DataError, OutputError, PluginError, UsageError
from toolbox.utils.screen import echo

if TYPE_CHECKING:
    from toolbox.inference.mask_records import MaskRecords
    from toolbox.masks.detectors import LoadedDetector


@click.command("mask")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the masks.")
@click.option(
    "--damage",
    is_flag=True,
    help="Find scratches, folds, dust, stains and torn parts; also write NAME.damage.png, the kinds in colours.",
)
@damage_options
@click.option("--detector", help="What finds it: see `toolbox list detectors`.  [default: painted-shape]")
@click.option(
    "--probabilities", is_flag=True, help="Also write NAME.KIND.png, the probability of each kind of damage, 0 to 255."
)
@click.option("--overwrite", is_flag=True, help="Overwrite existing masks.")
@as_json
@click.pass_context
def command(
    context: click.Context,
    photo: Path,
    out: Path,
    damage: bool,
    kinds: str | None,
    sensitivity: float | None,
    damage_weights: str | None,
    detector: str | None,
    probabilities: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find the lost region in PHOTO, a file or a folder, and write it as a PNG of the same name, in white.

    An existing mask is not changed; you may have corrected it. One of another photograph is refused.
    """
    from toolbox.imaging import io
    from toolbox.imaging.formats import describe_files
    from toolbox.inference.detectors import damage_detector, find_detector
    from toolbox.inference.mask_records import MaskRecords
    from toolbox.utils import files

    params = damage_params("--damage", damage, kinds, sensitivity, damage_weights)
    if damage and detector is not None:
        raise UsageError("--damage and --detector both say what finds the lost region; leave one out.")
    catalog = load_catalog(context)
    detect = damage_detector(params, catalog) or find_detector(detector or "painted-shape", catalog)
    files.require_readable(photo, "")
    is_folder = os.path.isdir(photo)
    photos, others = io.list_images(photo) if is_folder else ([photo], [])
    if not photos:
        line = describe_files(others)
        raise DataError(f"{files.printable(photo)} has no photographs{f' ({line})' if line else ''}.")
    _require_separate_folder(out, photo if is_folder else photo.parent)
    targets = _targets(photos, out)
    files.ensure_folder(out)
    owners = MaskRecords(out)
    write = partial(_write_mask, overwrite=overwrite, as_json=as_json, probabilities=probabilities, kinds=damage)
    try:
        records = [write(path, target, detect, owners) for path, target in zip(photos, targets, strict=True)]
    finally:
        owners.save()
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


def _write_mask(
    path: Path,
    target: Path,
    detector: LoadedDetector,
    owners: MaskRecords,
    *,
    overwrite: bool,
    as_json: bool,
    probabilities: bool,
    kinds: bool,
) -> dict[str, Any]:
    """Write the mask of one photograph, print a line unless JSON was asked for, and return the record for JSON.

    With `kinds`, the picture with the kinds in colours is written too, and the record has the share of each.
    """
    import numpy as np

    from toolbox.imaging import io
    from toolbox.masks import kinds_of_damage
    from toolbox.utils import files

    record: dict[str, Any] = {"file": files.printable(path), "mask": files.printable(target)}
    try:
        if os.path.lexists(target) and not overwrite:
            owners.require_own(target, path)
            if not as_json:
                echo(f"{record['mask']}: there already; replace it with --overwrite")
            return {**record, "there already": True}
        # A painted shape is looked for in the luma alone, whatever the colours around it.
        photo = io.read(path)
        detection = detector(io.to_gray8(photo) if detector.gray_only or kinds else io.to_rgb8(photo))
        mask = detection.mask
        io.write_png(target, mask.astype(np.uint8) * 255)
        owners.add(target, path)
        for kind, values in detection.probabilities.items() if probabilities else ():
            io.write_png(target.with_name(f"{target.stem}.{kind}.png"), np.rint(values * 255).astype(np.uint8))
        if kinds:
            picture = kinds_of_damage.paint(io.to_rgb8(photo), detection)
            io.write_png(target.with_name(f"{target.stem}.damage.png"), picture)
            record["damage"] = kinds_of_damage.shares(detection)
    except (DataError, OutputError, PluginError) as error:
        echo(f"toolbox: {error}", err=True)
        return {"file": record["file"], "error": str(error)}
    lost = float(mask.mean())
    if not as_json and kinds:
        echo(f"{record['mask']}: {kinds_of_damage.describe(record['damage'])}")
    elif not as_json:
        echo(f"{record['mask']}: {100 * lost:.2f} % lost" if mask.any() else f"{record['mask']}: nothing lost")
    return {**record, "lost": lost}
