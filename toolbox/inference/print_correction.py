"""Set the print in a photograph right before it is restored: cut it out, then correct its tones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolbox.imaging import io
from toolbox.imaging.io import Photo
from toolbox.imaging.sepia import Toning, measure_toning
from toolbox.masks.sources import MaskOptions, mask_from_options
from toolbox.prints.corrections import Corrections, correct_tones, crop_photo, find_crop
from toolbox.prints.sheet import cut_sheet


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


def crop_print(
    photo: Photo, corrections: Corrections, options: MaskOptions, *, path: Path, relative_path: Path
) -> Sheet:
    """Return the cut print, if the corrections ask for it and a sheet is found; else the photograph as it is.

    A mask and `--color` mark pixels of the whole photograph, so the marked pixels are found before and cut like it.
    Arguments and errors as those of `mask_from_options`.
    """
    size = photo.pixels.shape[:2]
    corners = find_crop(photo) if corrections.crop == "print" else None
    if corners is None:
        return Sheet(photo=photo, mask_options=options, corners=None, whole_size=size)
    marked = mask_from_options(photo, io.to_rgb8(photo), options, path=path, relative_path=relative_path)
    cut = crop_photo(photo, corners)
    highest = np.iinfo(cut.pixels.dtype).max
    alpha = np.where(cut_sheet(marked, corners), 0, highest).astype(cut.pixels.dtype)
    return Sheet(
        photo=replace(cut, alpha=alpha),
        mask_options=replace(options, path=None, color=None, search=options.searches),
        corners=corners,
        whole_size=size,
    )


def correct_photo(photo: Photo, corrections: Corrections, toning: Toning, mask: np.ndarray) -> tuple[Photo, Toning]:
    """Return a photograph with its tones corrected, and its toning then.

    Args:
        photo: the photograph, already cut.
        corrections: the corrections; without those of tones the photograph itself is returned.
        toning: its toning before. A colour photograph stays one.
        mask: (H, W) bool, its lost region, which does not count.
    """
    pixels = correct_tones(photo.pixels, corrections, mask)
    if pixels is photo.pixels:
        return photo, toning
    corrected = replace(photo, pixels=pixels)
    return corrected, toning if toning.kind == "colour" else measure_toning(io.to_rgb8(corrected), mask)


def color_pixels(photo: Photo) -> np.ndarray:
    """Return the pixels of a photograph as (H, W, 3)."""
    return photo.pixels if photo.pixels.ndim == 3 else np.repeat(photo.pixels[..., None], 3, axis=2)
