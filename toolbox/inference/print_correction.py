"""Correct the print in a photograph before it is restored: cut it out, then correct its tones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.imaging.sepia import Toning, measure_toning
from toolbox.inference.options import RestoreOptions
from toolbox.inference.output_paths import Job
from toolbox.masks.sources import MaskOptions, mask_from_options
from toolbox.prints.corrections import Corrections, correct_tones, crop_photo, faded_toning
from toolbox.prints.diagnosis import diagnose, find_certain_sheet
from toolbox.prints.sheet import cut_sheet, find_sheet, is_cuttable

# The names of the corrections that a diagnosis decides.
Auto = frozenset[str] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """The sheet of a print, cut out of the photograph that shows it, or a photograph that is not cut.

    Attributes:
        photo: the photograph. If it is cut, its transparent pixels are those that were marked as lost.
        mask_options: how its lost region is found; if it is cut, without what marks the whole photograph.
        corners: (4, 2), the sheet's corners in the whole photograph; None if it is not cut.
        whole_size: height and width of the whole photograph.
    """

    photo: Photo
    mask_options: MaskOptions
    corners: np.ndarray | None
    whole_size: tuple[int, ...]


def find_corners(photo: Photo, corrections: Corrections, auto: Auto) -> np.ndarray | None:
    """Return the corners (4, 2) of the sheet to cut out; None if none is asked for, or none is found.

    Args:
        photo: the whole photograph.
        corrections: those that are asked for.
        auto: the names of the corrections that a diagnosis decides; None: none.
    """
    if corrections.crop == "print":
        find = find_sheet
    elif auto and "crop" in auto:
        find = find_certain_sheet
    else:
        return None
    sheet = find(io.to_rgb8(photo))
    return sheet.corners if sheet is not None and is_cuttable(photo.pixels.shape, sheet.corners) else None


def crop_print(photo: Photo, job: Job, options: RestoreOptions) -> Sheet:
    """Return the cut print, if the options ask for it and a sheet is found; else the photograph as it is.

    A mask and `--color` mark pixels of the whole photograph, so the marked pixels are found before and cut like it.

    Raises:
        DataError, RefusedMaskError: as `mask_from_options`.
    """
    size, mask_options = photo.pixels.shape[:2], options.mask_options
    corners = find_corners(photo, options.corrections, options.auto)
    if corners is None:
        return Sheet(photo=photo, mask_options=mask_options, corners=None, whole_size=size)
    rgb = io.to_rgb8(photo)
    marked = mask_from_options(
        photo, rgb, mask_options, path=job.photo, relative_path=job.relative_path, result=job.target
    )
    cut = crop_photo(photo, corners)
    highest = np.iinfo(cut.pixels.dtype).max
    alpha = np.where(cut_sheet(marked, corners), 0, highest).astype(cut.pixels.dtype)
    return Sheet(
        photo=replace(cut, alpha=alpha),
        mask_options=replace(mask_options, path=None, color=None, search=mask_options.searches),
        corners=corners,
        whole_size=size,
    )


def correct_photo(
    photo: Photo, corrections: Corrections, auto: Auto, toning: Toning, mask: np.ndarray
) -> tuple[Photo, Corrections, Toning]:
    """Return a photograph with its tones corrected, the corrections that were made, and its toning.

    A correction adds no colours, so the kind of its toning before stays; the curve is that of the corrected photograph.

    Args:
        photo: the photograph, already cut. It is returned itself if no tone is corrected.
        corrections: those that are asked for.
        auto: the names of the corrections that a diagnosis decides; None: none.
        toning: its toning before. If it is toned and contrast or cast is corrected, it may turn out to be in colour.
        mask: (H, W) bool, its lost region, which does not count.
    """
    if names := (auto or frozenset()) & {"contrast", "cast"}:
        needed = diagnose(io.to_rgb8(photo), mask, may_be_on_table=False).corrections
        corrections = replace(corrections, **{name: getattr(needed, name) for name in names})
    if toning.kind == "gray":
        corrections = replace(corrections, cast=0.0)
    pixels = correct_tones(photo.pixels, corrections, mask)
    if pixels is photo.pixels:
        return photo, corrections, toning
    original, photo = photo, replace(photo, pixels=pixels)
    if toning.kind == "toned" and (corrections.contrast or corrections.cast):
        toning = faded_toning(io.to_rgb8(original), mask, toning)
    if toning.kind == "toned":
        toning = replace(toning, curve=measure_toning(io.to_rgb8(photo), mask).curve)
    return photo, corrections, toning
