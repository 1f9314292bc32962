"""`toolbox mask`: write the lost region that is found in each photograph as an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolbox.cli.common import FilePath, as_json, load_catalog, max_pixels, print_json
from toolbox.cli.damage_options import damage_options, damage_params
from toolbox.errors import DataError, OutputError, PluginError, UsageError
from toolbox.utils.screen import echo

if TYPE_CHECKING:
    import numpy as np

    from toolbox.inference.mask_records import MaskRecords
    from toolbox.inference.photo_search import LeftOut
    from toolbox.masks.detectors import LoadedDetector

LOCK = ".masks.lock"
# The arguments that do not affect what is found. If any other option differs, the masks differ.
OUTPUT = ("photo", "out", "probabilities", "overwrite", "max_pixels", "as_json")


@click.command("mask")
@click.argument("photo", type=FilePath())
@click.option("-o", "--out", type=FilePath(), required=True, help="Folder for the masks.")
@click.option(
    "--damage",
    is_flag=True,
    help="Find scratches, folds, dust, stains and torn parts; also write NAME.damage.png, the kinds in colours.",
)
@damage_options
@click.option("--detector", help="The detector: see `toolbox list detectors`.  [default: painted-shape]")
@click.option(
    "--probabilities", is_flag=True, help="Also write NAME.KIND.png, the probability of each kind of damage, 0 to 255."
)
@click.option("--overwrite", is_flag=True, help="Overwrite existing masks.")
@max_pixels
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
    max_pixels: int,
    as_json: bool,
) -> None:
    """Find the lost region in PHOTO, a file or a folder, and write it as a PNG of the same name, in white.

    Subfolders are searched too. An existing mask is not changed; you may have corrected it. A mask of another
    photograph, or one that was made with other options, is refused.
    """
    from toolbox.inference.mask_paths import mask_targets
    from toolbox.inference.mask_records import MaskRecords
    from toolbox.inference.photo_search import LeftOut
    from toolbox.utils import files, locks

    params = damage_params("--damage", damage, kinds, sensitivity, damage_weights)
    if damage and detector is not None:
        raise UsageError("--damage and --detector both say what finds the lost region; leave one out.")
    detect = _find_detector(context, detector, params)
    left_out = LeftOut()
    photos, folder = _find_photos(photo, out, left_out)
    targets = mask_targets([path.relative_to(folder) for path in photos], with_pictures=damage or probabilities)
    files.ensure_folder(out)
    try:
        with locks.hold_lock(out / LOCK, remove=True):
            mask_records = MaskRecords(out, _flags(context))
            options = {"overwrite": overwrite, "as_json": as_json, "probabilities": probabilities, "kinds": damage}
            try:
                records = [
                    _write_mask(path, out / target, detect, mask_records, max_pixels=max_pixels, **options)
                    for path, target in zip(photos, targets, strict=True)
                ]
            finally:
                save_error = _save(mask_records)
    except locks.BusyError:
        raise OutputError(f"Another process writes masks into {files.printable(out)}; wait until it ends.") from None
    for path, reason in left_out.folders.items():
        echo(f"toolbox: {reason}", err=True)
        records.append({"file": files.printable(path), "error": reason})
    if as_json:
        print_json(records)
    for line in left_out.describe():
        echo(line, err=as_json)
    if save_error is not None:
        raise save_error
    if any("error" in record for record in records):
        context.exit(1 if len(records) == 1 else 3)


def _save(mask_records: MaskRecords) -> OutputError | None:
    """Save the records; return the error if they can't be written, so that the results are printed nevertheless."""
    try:
        mask_records.save()
    except OutputError as error:
        return error
    return None


def _find_detector(context: click.Context, name: str | None, params: dict[str, object] | bool) -> LoadedDetector:
    """Return the detector of that name, or of damage with these params; by default that of painted shapes."""
    from toolbox.masks.detectors import PAINTED_SHAPE

    if name is None and params is False:
        return PAINTED_SHAPE  # it needs neither the plugins nor torch, which take long to load

    from toolbox.inference.detectors import damage_detector, find_detector

    catalog = load_catalog(context)
    return damage_detector(params, catalog) or find_detector(name or PAINTED_SHAPE.name, catalog)


def _flags(context: click.Context) -> dict[str, str]:
    """Return the options that say what is found, as texts, without those that have their default."""
    from toolbox.inference.flag_changes import identify_file

    chosen = {name: value for name, value in context.params.items() if name not in OUTPUT}
    if chosen.get("damage_weights") is not None:
        chosen["damage_weights"] = identify_file(chosen["damage_weights"], photos=False)
    return {name.replace("_", "-"): str(value) for name, value in chosen.items() if value not in (None, False)}


def _find_photos(photo: Path, out: Path, left_out: LeftOut) -> tuple[list[Path], Path]:
    """Return the photographs that PHOTO names, and the folder that their paths are relative to."""
    from toolbox.inference.output_folders import has_reports
    from toolbox.inference.output_paths import require_separate_folder
    from toolbox.inference.photo_search import find_photos
    from toolbox.utils import files

    files.require_readable(photo, "")
    is_folder = os.path.isdir(photo)
    folder = photo if is_folder else photo.parent
    require_separate_folder(out, folder, "the photographs'")
    if has_reports(out):
        raise UsageError(f"-o {files.printable(out)} has results of `toolbox restore`; choose another folder.")
    if not is_folder:
        return [photo], folder
    photos = find_photos(photo, left_out, skip=(out,))
    if not photos:
        raise DataError(f"{files.printable(photo)}: {left_out.why_none()}")
    return photos, folder


def _write_mask(
    path: Path,
    target: Path,
    detector: LoadedDetector,
    mask_records: MaskRecords,
    *,
    max_pixels: int,
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
    from toolbox.inference.mask_paths import picture_beside
    from toolbox.inference.options import is_complete
    from toolbox.masks import kinds_of_damage
    from toolbox.masks.sources import transparent_pixels
    from toolbox.utils import files, memory

    record: dict[str, Any] = {"file": files.printable(path), "mask": files.printable(target)}
    try:
        if os.path.lexists(target) and not overwrite:
            mask_records.require_same_origin(target, path)
            if all(map(is_complete, [target, *([picture_beside(target, "damage")] if kinds else [])])):
                if not as_json:
                    echo(f"{record['mask']}: there already; replace it with --overwrite")
                return {**record, "there already": True}
        # A painted shape is looked for in the luma alone, whatever the colours around it.
        photo = io.read(path, max_pixels=max_pixels, accept_cut=True)
        detection = detector(io.to_gray8(photo) if detector.gray_only or kinds else io.to_rgb8(photo))
        transparent = transparent_pixels(photo)
        mask = detection.mask | transparent
        files.ensure_folder(target.parent)
        io.write_png(target, mask.astype(np.uint8) * 255)
        mask_records.add(target, path)
        for kind, values in detection.probabilities.items() if probabilities else ():
            io.write_png(picture_beside(target, kind), np.rint(values * 255).astype(np.uint8))
        if kinds:
            picture = kinds_of_damage.paint(io.to_rgb8(photo), detection)
            io.write_png(picture_beside(target, "damage"), picture)
            record["damage"] = kinds_of_damage.shares(detection)
    except Exception as error:
        if not isinstance(error, DataError | OutputError | PluginError) and not memory.is_out_of_memory(error):
            raise
        reason = f"{record['file']}: {memory.explain(error)}" if memory.is_out_of_memory(error) else str(error)
        echo(f"toolbox: {reason}", err=True)
        return {"file": record["file"], "error": reason}
    if not as_json:
        # A JPEG has no transparency: what is missing of one that is cut short is named by the caution.
        is_transparent = transparent if photo.format != "JPEG" else np.zeros_like(transparent)
        summary = _summarize(mask, is_transparent, record.get("damage"))
        if probabilities and not detection.probabilities:
            summary += f"; --probabilities writes nothing: {_why_no_probabilities(detector)}"
        echo(f"{record['mask']}: {'; '.join([summary, *photo.cautions])}")
    if photo.cautions:
        record["cautions"] = list(photo.cautions)
    return {**record, "lost": float(mask.mean())}


def _why_no_probabilities(detector: LoadedDetector) -> str:
    """Return why there are no probabilities, and what to do."""
    from toolbox.hooks.specs import DetectorSpec
    from toolbox.masks.detectors import PAINTED_SHAPE

    spec = None if detector.entry is None else detector.entry.spec
    if isinstance(spec, DetectorSpec) and spec.kinds:
        return f"{detector.name} gave none for this photo"
    remedy = "add --damage" if detector.name == PAINTED_SHAPE.name else "use --damage instead of --detector"
    return f"{detector.name} finds no kinds of damage; {remedy}"


def _summarize(mask: np.ndarray, transparent: np.ndarray, damage: dict[str, float] | None) -> str:
    """Return in words how much of a photograph a mask marks, (H, W) bool; `damage` has the share of each kind."""
    from toolbox.masks import kinds_of_damage

    if damage is not None:
        summary = kinds_of_damage.describe(damage)
    else:
        summary = f"{100 * mask.mean():.2f} % lost" if mask.any() else "nothing lost"
    return f"{summary}, {100 * transparent.mean():.2f} % transparent" if transparent.any() else summary
