"""Correct the print in an open photograph, as the options `--contrast`, `--crop print` and `--auto` do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolbox.imaging import io
from toolbox.imaging.encode import encode_png
from toolbox.inference.print_correction import find_corners
from toolbox.prints.corrections import chosen_corrections, crop_photo
from toolbox.web.album import Album
from toolbox.web.settings import AllowedValues, Range

OFFER: Mapping[str, Range | AllowedValues] = {
    "auto": AllowedValues(values=[False, True]),
    "crop": AllowedValues(values=["none", "print"]),
    **{name: Range(low=0, high=1) for name in ("evenness", "contrast", "cast")},
}


def correction_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `RestoreOptions` for the settings of a photograph."""
    chosen = {name: value for name, value in settings.items() if name in OFFER and name != "auto"}
    corrections, auto = chosen_corrections(auto=settings.get("auto", False), **chosen)
    return {"corrections": corrections, "auto": auto}


def sheet_view(album: Album, photo_id: str) -> bytes:
    """Return the print as it was cut out for the last result, without other corrections, as PNG.

    KeyError if it was not cut out.
    """
    fields = correction_options(album.entry(photo_id).settings)
    photo = io.read(album.job(photo_id).photo, max_pixels=album.max_pixels, accept_cut=True)
    corners = find_corners(photo, fields["corrections"], fields["auto"])
    if corners is None:
        raise KeyError(photo_id)
    return encode_png(io.to_rgb8(crop_photo(photo, corners)))
