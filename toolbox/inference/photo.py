"""Restore one photograph file: decode, find the mask, fill and colour, compose, encode, write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolbox.color import integer_luma
from toolbox.errors import DataError
from toolbox.guidance import provenance
from toolbox.guidance.guide import References
from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.imaging.pixels import as_rgb
from toolbox.imaging.sepia import Toning, apply_toning, measure_toning
from toolbox.inference.damage import Damage, find_damage, lift_damage
from toolbox.inference.guided import Restoration
from toolbox.inference.hint_files import read_hints
from toolbox.inference.options import Keep, PhotoResult, RestoreOptions, is_finished, lacks_pictures, photo_result
from toolbox.inference.output_paths import Job
from toolbox.inference.photo_search import is_same_path
from toolbox.inference.preview import write_preview
from toolbox.inference.print_correction import Sheet, correct_photo, crop_print
from toolbox.inference.reference_files import read_palette, read_references
from toolbox.inference.result_files import write_comparison, write_outputs, write_result
from toolbox.inference.variant_files import write_variants
from toolbox.masks import kinds_of_damage
from toolbox.masks.sources import (
    MaskOptions,
    RefusedMaskError,
    check_share,
    grow_mask,
    mask_from_options,
)
from toolbox.prints.corrections import describe
from toolbox.prints.sheet import cut_sheet
from toolbox.utils import files

if TYPE_CHECKING:
    from toolbox.guidance.reference import Reference
    from toolbox.inference.restorer import Restorer


def restore_photo(
    job: Job, options: RestoreOptions, restorers: Mapping[str, Restorer], warnings: Sequence[str]
) -> PhotoResult:
    """Restore one photograph and write its result.

    Args:
        job: the photograph and the path of its result.
        options: how it is restored.
        restorers: a restorer for each mode of `keep`.
        warnings: the lines with which the restorers have warned about this photograph.

    Raises:
        DataError, OutputError: it can't be read, its mask can't, or its result can't be written.
    """
    photo = io.read(job.photo, max_pixels=options.max_pixels)
    shown = None
    try:
        sheet = crop_print(photo, job, options)
        shown = io.to_rgb8(sheet.photo)
        if job.target.exists() and not (options.overwrite or options.preview or lacks_pictures(job, options)):
            write_comparison(job, shown, io.read_rgb(job.target, max_pixels=options.max_pixels))
            return photo_result(job, status="there already", notes=("before-and-after picture written",))
        toning, mask, damage = find_mask(sheet.photo, shown, job, sheet.mask_options)
        check_share(mask, sheet.mask_options)
    except RefusedMaskError as error:
        # A mask file of the whole photograph is refused before the sheet is cut out.
        return _preview_refused(job, io.to_rgb8(photo) if shown is None else shown, error, is_wanted=options.preview)
    del photo
    if options.preview:
        return _preview(job, shown, mask, kind=toning.kind)
    if damage is not None:
        pixels, mask = lift_damage(sheet.photo.pixels, damage)
        sheet = replace(sheet, photo=replace(sheet.photo, pixels=pixels))
        del pixels
    before = shown if options.before_after else None
    # Of a large photograph each array is hundreds of megabytes, so each is dropped as soon as it is not needed.
    del shown
    return _restore_sheet(job, options, restorers, warnings, (sheet, toning, mask, damage, before))


def _restore_sheet(
    job: Job,
    options: RestoreOptions,
    restorers: Mapping[str, Restorer],
    warnings: Sequence[str],
    found: tuple[Sheet, Toning, np.ndarray, Damage | None, np.ndarray | None],
) -> PhotoResult:
    """Restore a photograph that is cut to its sheet, of known toning and mask, and write its result.

    `found` also has the damage, and the (H, W, 3) uint8 pixels for the before-and-after picture; None: there is none.
    """
    sheet, toning, mask, damage, before = found
    photo, made, toning = correct_photo(sheet.photo, options.corrections, options.auto, toning, mask)
    keep = choose_keep(options, toning)
    keeps_tone = options.keep_tone and toning.kind == "toned" and keep == "luma"
    gives_colors = keep == "luma" and not keeps_tone
    if not gives_colors and is_finished(job, replace(options, variants=0)):
        return photo_result(job, status="there already")
    corrections = describe(made, cropped=sheet.corners is not None)
    if (keep == "rgb" or keeps_tone) and not mask.any():
        if photo is sheet.photo and sheet.corners is None:
            return _leave(job, photo, options, _reason_to_leave(toning, keeps_tone), kind=toning.kind)
        restored = Restoration(pixels=as_rgb(photo.pixels), origin=np.zeros(mask.shape, np.uint8))
    else:
        references = _references(photo, mask, job, options) if options.references else None
        hints = None if options.hints is None else _read_hints(options, sheet, keep)
        palette_path = options.palette if gives_colors else None
        palette = None if palette_path is None else read_palette(palette_path, max_pixels=options.max_pixels)
        if options.variants and gives_colors:
            colorings = restorers[keep].variants(
                luma_of(photo), mask, count=options.variants, reference=references, hints=hints, palette=palette
            )
            restored = write_variants(job, colorings)
        else:
            tone = toning if keeps_tone else None
            restored = restore_pixels(photo, mask, keep, restorers[keep], tone, references, hints, palette)
    if sheet.mask_options.repair is not None:
        corrections = [*corrections, kinds_of_damage.describe({} if damage is None else damage.shares)]
    exif, notes = photo.exif, [*photo.notes, *corrections, *warnings, *restored.notes]
    if options.references and all(is_same_path(path, job.photo) for path in options.references):
        notes.append("--reference is the photo itself and gives no colours")
    del photo, sheet, found
    if toning.kind == "toned" and keep == "luma":
        notes.append("tone kept" if keeps_tone else "tone replaced by colours")
    elif toning.kind == "colour" and keep == "luma":
        notes.append("its own colours discarded; without --keep luma they stay")
    notes += write_outputs(job, restored, exif, options, is_corrected=made.changes_tones)
    if before is not None:
        write_comparison(job, before, io.to_8bit(restored.pixels))
    return photo_result(
        job,
        status="restored",
        kind=toning.kind,
        lost=float(mask.mean()),
        notes=tuple(notes),
        origins=provenance.fractions(restored.origin),
        references={files.printable(name): round(fraction, 6) for name, fraction in restored.used},
    )


def _leave(job: Job, photo: Photo, options: RestoreOptions, reason: str, *, kind: str) -> PhotoResult:
    """Return the result of a photograph that needs nothing; with `auto` it is copied, so that an album is complete."""
    notes = tuple(describe(options.corrections, cropped=False))
    if options.auto is None:
        return photo_result(job, status="left as it is", reason=reason, kind=kind, notes=notes)
    notes += write_result(job.target, as_rgb(photo.pixels), photo.exif)
    return photo_result(job, status="copied", reason="it needs nothing", kind=kind, notes=(*photo.notes, *notes))


def _preview_refused(job: Job, rgb: np.ndarray, error: RefusedMaskError, *, is_wanted: bool) -> PhotoResult:
    """Write a preview of a mask that is refused; raise DataError that names it, if only a preview is not wanted."""
    if is_wanted and len(error.readings) == 1:
        (mask,) = error.readings.values()
        return _preview(job, rgb, mask, notes=(f"not restored: {error}",))
    write_preview(job, rgb, error.readings.values())
    readings = f" (from left to right: {', '.join(error.readings)})" if len(error.readings) > 1 else ""
    raise DataError(f"{error}. {files.printable(job.preview)} shows it in red{readings}") from error


def find_mask(
    photo: Photo, rgb: np.ndarray, job: Job, options: MaskOptions
) -> tuple[Toning, np.ndarray, Damage | None]:
    """Return the toning of a photograph, its mask, (H, W) bool, and the damage in it that was found.

    The first two depend on each other: lost pixels do not count for the toning, and a painted shape counts only in a
    photograph that is gray or toned without it. `rgb` is the photograph as (H, W, 3) uint8.
    """
    marked = mask_from_options(photo, rgb, options, path=job.photo, relative_path=job.relative_path)
    toning, mask = add_detected(rgb, grow_mask(marked, options.grow), options)
    return add_damage(rgb, toning, mask, options)


def add_damage(
    rgb: np.ndarray, toning: Toning, mask: np.ndarray, options: MaskOptions
) -> tuple[Toning, np.ndarray, Damage | None]:
    """Return the toning, the mask with the damage that is found, and the damage; nothing changes without `repair`."""
    if options.repair is None:
        return toning, mask, None
    # Damage is looked for in the luma, as the network has learned it.
    damage = find_damage(integer_luma(rgb), options.repair, mask, grow=options.grow)
    if damage is None:
        return toning, mask, None
    return measure_toning(rgb, damage.mask), damage.mask, damage


def add_detected(rgb: np.ndarray, marked: np.ndarray, options: MaskOptions) -> tuple[Toning, np.ndarray]:
    """Return the toning of a photograph and its mask: what is marked, and what is detected if `options` ask for it."""
    toning = measure_toning(rgb, marked)
    if not options.searches:
        return toning, marked
    detected = options.detector(rgb).mask
    if not detected.any():
        return toning, marked
    mask = marked | grow_mask(detected, options.grow)
    # A shape of another colour makes a gray photograph look coloured. In a colour photograph it is part of the picture.
    toning_outside = measure_toning(rgb, mask)
    if options.detector.gray_only and toning_outside.kind == "colour":
        return toning, marked
    return toning_outside, mask


def choose_keep(options: RestoreOptions, toning: Toning) -> Keep:
    """Return what of a photograph is not changed."""
    if options.keep != "auto":
        return options.keep
    return "rgb" if toning.kind == "colour" else "luma"


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


def _references(photo: Photo, mask: np.ndarray, job: Job, options: RestoreOptions) -> Iterator[Reference]:
    """Yield the references of a photograph: all, or the likeliest ones of many."""
    paths: Sequence[Path] = options.references
    if options.reference_index is not None:
        pixels = io.to_8bit(photo.pixels)
        paths = options.reference_index.candidates(pixels if pixels.ndim == 2 else integer_luma(pixels), mask)
    return read_references(paths, job.photo, max_pixels=options.max_pixels)


def _read_hints(options: RestoreOptions, sheet: Sheet, keep: Keep) -> np.ndarray:
    """Return the strokes of colour for a photograph, (H, W, 4); raise DataError if they can't be used."""
    assert options.hints is not None
    if keep != "luma" or options.keep_tone:
        remedy = "leave out --tone keep" if options.keep_tone else "give it new colours with --keep luma"
        raise DataError(f"{files.printable(options.hints)} can't be used: the photo keeps its colours; {remedy}")
    hints = read_hints(options.hints, sheet.whole_size, max_pixels=options.max_pixels)
    return hints if sheet.corners is None else cut_sheet(hints, sheet.corners, exact=True)


def _preview(job: Job, rgb: np.ndarray, mask: np.ndarray, **facts: object) -> PhotoResult:
    write_preview(job, rgb, [mask])
    lost = float(mask.mean())
    return photo_result(job, status="preview", result=files.printable(job.preview), lost=lost, **facts)


def _reason_to_leave(toning: Toning, keeps_tone: bool) -> str:
    if keeps_tone:
        cause, instead = "its tone is kept", "leave out --tone keep"
    else:
        cause = "in colour" if toning.kind == "colour" else "--keep rgb"
        instead = "give it new colours with --keep luma"
    return f"{cause}, and nothing of it is lost; mark what is lost with --mask, or {instead}"
