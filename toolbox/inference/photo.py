"""Restore one photograph file: decode, find the mask, fill and colour, compose, encode, write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolbox.color import integer_luma
from toolbox.errors import DataError
from toolbox.guidance import provenance
from toolbox.guidance.guide import References
from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.imaging.pixels import as_rgb, to_8bit
from toolbox.imaging.sepia import Toning, apply_toning
from toolbox.inference.color_notes import color_notes, reason_to_copy, reason_to_leave, unused_options
from toolbox.inference.damage import Damage, lift_damage
from toolbox.inference.guided import Restoration
from toolbox.inference.hint_files import read_sheet_hints
from toolbox.inference.options import (
    Keep,
    PhotoResult,
    RestoreOptions,
    choose_keep,
    is_complete,
    is_finished,
    lacks_pictures,
    photo_result,
)
from toolbox.inference.output_paths import Job
from toolbox.inference.photo_mask import find_mask
from toolbox.inference.preview import write_preview
from toolbox.inference.print_correction import Sheet, correct_photo, crop_print
from toolbox.inference.reference_files import read_palette, read_references, unreadable_notes
from toolbox.inference.result_files import write_comparison, write_outputs, write_result
from toolbox.inference.variant_files import write_variants
from toolbox.masks import kinds_of_damage
from toolbox.masks.sources import RefusedMaskError, check_share
from toolbox.prints.corrections import Corrections, describe
from toolbox.utils import files, surface
from toolbox.utils.cancelling import check_cancelled

if TYPE_CHECKING:
    from toolbox.guidance.reference import Reference
    from toolbox.inference.restorer import Restorer


def restore_photo(
    job: Job, options: RestoreOptions, restorers: Mapping[str, Restorer], warn: Callable[[str], None]
) -> PhotoResult:
    """Restore one photograph and write its result.

    Args:
        job: the photograph and the path of its result.
        options: how it is restored.
        restorers: a restorer for each mode of `keep`.
        warn: called with a line for each caution about its file and those that it is restored with.

    Raises:
        DataError, OutputError: it can't be read, its mask can't, or its result can't be written.
        CancelledError: see `toolbox.utils.cancelling`. Nothing was written then.
    """
    examined = _examine(job, options, warn)
    if isinstance(examined, PhotoResult):
        return examined
    check_cancelled()
    restored = _restore_sheet(job, options, restorers, warn, examined)
    # Of a large photograph each array is hundreds of megabytes, so it is dropped before the result is encoded.
    before = examined.before
    del examined
    if isinstance(restored, PhotoResult):
        return restored
    check_cancelled()
    return _write(job, options, restored, before)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Examined:
    """A photograph that is cut to its sheet, and what was found in it.

    Attributes:
        sheet: the photograph.
        toning: its toning.
        mask: (H, W) bool, its lost region.
        damage: the damage that was found; None: there is none.
        before: (H, W, 3) uint8, its pixels for the before-and-after picture; None if that is not asked for.
    """

    sheet: Sheet
    toning: Toning
    mask: np.ndarray
    damage: Damage | None
    before: np.ndarray | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Restored:
    """A restored photograph, and what is written and recorded with it.

    Attributes:
        restoration: its pixels, and where they come from.
        exif: EXIF for the result.
        notes: what was done.
        kind: the kind of its toning before.
        lost: the fraction of it that was lost.
        is_corrected: whether contrast, cast or evenness was changed.
    """

    restoration: Restoration
    exif: bytes | None
    notes: Sequence[str]
    kind: str
    lost: float
    is_corrected: bool


def _examine(job: Job, options: RestoreOptions, warn: Callable[[str], None]) -> _Examined | PhotoResult:
    """Read a photograph and find its sheet, toning and lost region; or return its result if it is not restored."""
    options = replace(options, mask_options=replace(options.mask_options, warn=warn))
    photo = io.read(job.photo, max_pixels=options.max_pixels, accept_cut=True)
    for caution in photo.cautions:
        warn(caution)
    rgb = None
    try:
        sheet = crop_print(photo, job, options)
        rgb = io.to_rgb8(sheet.photo)
        if is_complete(job.target) and not (options.overwrite or options.preview or lacks_pictures(job, options)):
            write_comparison(job, rgb, io.read_rgb(job.target, max_pixels=options.max_pixels))
            return photo_result(job, status="there already", notes=("before-and-after picture written",))
        toning, mask, damage = find_mask(sheet.photo, rgb, job, sheet.mask_options)
        check_share(mask, sheet.mask_options)
    except RefusedMaskError as error:
        # A mask file of the whole photograph is refused before the sheet is cut out.
        return _preview_refused(job, io.to_rgb8(photo) if rgb is None else rgb, error, is_wanted=options.preview)
    if options.preview:
        return _preview(job, rgb, mask, kind=toning.kind)
    if damage is not None:
        pixels, mask = lift_damage(sheet.photo.pixels, damage)
        sheet = replace(sheet, photo=replace(sheet.photo, pixels=pixels))
    before = rgb if options.before_after else None
    return _Examined(sheet=sheet, toning=toning, mask=mask, damage=damage, before=before)


def _restore_sheet(
    job: Job,
    options: RestoreOptions,
    restorers: Mapping[str, Restorer],
    warn: Callable[[str], None],
    examined: _Examined,
) -> _Restored | PhotoResult:
    """Restore a photograph of known toning and mask; or return its result if it is not restored."""
    sheet, mask = examined.sheet, examined.mask
    photo, applied, toning = correct_photo(sheet.photo, options.corrections, options.auto, examined.toning, mask)
    keep = choose_keep(options, toning)
    keeps_tone = options.keep_tone and toning.kind == "toned" and keep == "luma"
    gives_colors = keep == "luma" and not keeps_tone
    if not gives_colors and is_finished(job, replace(options, variants=0)):
        return photo_result(job, status="there already")
    unreadable: list[Path] = []
    unused = [] if gives_colors else unused_options(options, restorers[keep], mask, keeps_tone=keeps_tone)
    hints = read_sheet_hints(options, sheet, warn, gives_colors=gives_colors, keeps_tone=keeps_tone)
    if (keep == "rgb" or keeps_tone) and not mask.any():
        if photo is sheet.photo and sheet.corners is None:
            reason = "; ".join([reason_to_leave(toning, keeps_tone=keeps_tone), *unused])
            reason = reason if options.auto is None else reason_to_copy(keeps_tone=keeps_tone)
            return _leave(job, photo, options, applied, reason, kind=toning.kind)
        restored = Restoration(pixels=as_rgb(photo.pixels), origin=np.zeros(mask.shape, np.uint8))
    else:
        references = _references(photo, mask, job, options, unreadable, warn) if options.references else None
        palette_path = options.palette if gives_colors else None
        palette = None
        if palette_path is not None:
            palette = read_palette(palette_path, max_pixels=options.max_pixels, warn=warn)
        if options.variants and gives_colors:
            colorings = restorers[keep].variants(
                luma_of(photo), mask, count=options.variants, reference=references, hints=hints, palette=palette
            )
            restored = write_variants(job, colorings)
        else:
            tone = toning if keeps_tone else None
            restored = restore_pixels(photo, mask, keep, restorers[keep], tone, references, hints, palette)
    notes = [
        *photo.notes,
        *_describe_changes(applied, examined),
        *restored.notes,
        *unreadable_notes(unreadable),
        *color_notes(job, options, toning, keep, keeps_tone=keeps_tone),
        *unused,
    ]
    return _Restored(
        restoration=restored,
        exif=photo.exif,
        notes=notes,
        kind=toning.kind,
        lost=float(mask.mean()),
        is_corrected=applied.changes_tones,
    )


def _describe_changes(applied: Corrections, examined: _Examined) -> list[str]:
    """Return the corrections of a photograph and the damage that was found in it, in words."""
    changes = describe(applied, cropped=examined.sheet.corners is not None)
    if examined.sheet.mask_options.repair is not None:
        changes = [*changes, kinds_of_damage.describe({} if examined.damage is None else examined.damage.shares)]
    return changes


def _write(job: Job, options: RestoreOptions, restored: _Restored, before: np.ndarray | None) -> PhotoResult:
    """Write a restored photograph, and with the pixels `before` the before-and-after picture; return its result."""
    restoration = restored.restoration
    notes = write_outputs(job, restoration, restored.exif, options, is_corrected=restored.is_corrected)
    if before is not None:
        write_comparison(job, before, to_8bit(restoration.pixels))
    return photo_result(
        job,
        status="restored",
        kind=restored.kind,
        lost=restored.lost,
        notes=(*restored.notes, *notes),
        origins=provenance.fractions(restoration.origin),
        references={files.printable(name): round(fraction, 6) for name, fraction in restoration.used},
    )


def _leave(
    job: Job, photo: Photo, options: RestoreOptions, applied: Corrections, reason: str, *, kind: str
) -> PhotoResult:
    """Return the result of a photograph that needs nothing; with `auto` it is copied, so that an album is complete."""
    notes = tuple(describe(applied, cropped=False))
    if options.auto is None:
        return photo_result(job, status="left as it is", reason=reason, kind=kind, notes=notes)
    notes += write_result(job.target, as_rgb(photo.pixels), photo.exif)
    return photo_result(job, status="copied", reason=reason, kind=kind, notes=(*photo.notes, *notes))


def _preview_refused(job: Job, rgb: np.ndarray, error: RefusedMaskError, *, is_wanted: bool) -> PhotoResult:
    """Write a preview of a mask that is refused; raise DataError that names it, if only a preview is not wanted."""
    if is_wanted and len(error.readings) == 1:
        (mask,) = error.readings.values()
        return _preview(job, rgb, mask, notes=(f"not restored: {error}",))
    if surface.current() == "page":  # it shows the marks itself
        raise DataError(str(error)) from error
    write_preview(job, rgb, error.readings.values())
    readings = f" (from left to right: {', '.join(error.readings)})" if len(error.readings) > 1 else ""
    raise DataError(f"{error}. {files.printable(job.preview)} shows it in red{readings}") from error


def restore_pixels(
    photo: Photo,
    mask: np.ndarray,
    keep: Keep,
    restorer: Restorer,
    tone: Toning | None,
    references: References | None = None,
    hints: np.ndarray | None = None,
    palette: np.ndarray | None = None,
) -> Restoration:
    """Return the restored pixels, (H, W, 3) of the type of the photograph's, and where each comes from.

    With a `tone`, the result has this tone instead of colours, and known pixels are not changed.
    """
    image = luma_of(photo) if keep == "luma" else photo.pixels
    restored = restorer.restore(image, mask, reference=references, hints=hints, palette=palette)
    if tone is None:
        return restored
    pixels = np.where(mask[..., None], apply_toning(integer_luma(restored.pixels), tone), photo.pixels)
    origin = np.where(mask, restored.origin, np.uint8(provenance.Origin.KNOWN))
    return replace(restored, pixels=pixels, origin=origin)


def luma_of(photo: Photo) -> np.ndarray:
    """Return the luma of a photograph, (H, W) of its type."""
    return photo.pixels if photo.pixels.ndim == 2 else integer_luma(photo.pixels)


def _references(
    photo: Photo,
    mask: np.ndarray,
    job: Job,
    options: RestoreOptions,
    unreadable: list[Path],
    warn: Callable[[str], None],
) -> Iterator[Reference]:
    """Yield the references of a photograph, all or the likeliest ones of many; see `read_references`."""
    paths: Sequence[Path] = options.references
    if options.reference_index is not None:
        pixels = to_8bit(photo.pixels)
        paths = options.reference_index.candidates(pixels if pixels.ndim == 2 else integer_luma(pixels), mask)
    return read_references(paths, job.photo, unreadable, max_pixels=options.max_pixels, warn=warn)


def _preview(job: Job, rgb: np.ndarray, mask: np.ndarray, **facts: object) -> PhotoResult:
    write_preview(job, rgb, [mask])
    lost = float(mask.mean())
    return photo_result(job, status="preview", result=files.printable(job.preview), lost=lost, **facts)
