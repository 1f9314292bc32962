"""What guides the restoration of an open photograph: strokes of colour, and a second photograph of the scene."""

from __future__ import annotations

from toolbox.imaging import io
from toolbox.imaging.formats import format_named, format_of_content
from toolbox.imaging.pixels import shrink
from toolbox.inference.hint_files import read_hints
from toolbox.utils import files
from toolbox.web.album import (
    HINTS,
    REFERENCE,
    REFERENCE_VIEW,
    SMALL_SIDE,
    Album,
    clean_name,
    reference_files,
)
from toolbox.web.photo_entry import PhotoEntry


def set_hints(album: Album, photo_id: str, data: bytes) -> PhotoEntry:
    """Replace the strokes of colour of a photograph by a PNG that is transparent elsewhere.

    Raises:
        DataError: it is no image, has another size than the photograph, or no stroke.
    """
    entry = album.entry(photo_id)
    with album.upload(photo_id, data, "The layer of hints") as path:
        hints = read_hints(path, (entry.height, entry.width), max_pixels=album.max_pixels)
    row = format_of_content(data)
    if row is not None and row.name == "PNG":
        files.write_bytes(album.path(photo_id, HINTS), data)  # to encode it again would take more time
    else:
        io.write_png(album.path(photo_id, HINTS), hints[..., :3], alpha=hints[..., 3])
    return album.edit(photo_id, has_hints=True)


def remove_hints(album: Album, photo_id: str) -> PhotoEntry:
    """Remove the strokes of colour of a photograph."""
    entry = album.edit(photo_id, has_hints=False)
    album.path(photo_id, HINTS).unlink(missing_ok=True)
    return entry


def set_reference(album: Album, photo_id: str, data: bytes, name: str) -> PhotoEntry:
    """Replace the reference photograph of a photograph.

    Raises:
        DataError: it is no image that can be read, or it is too large.
    """
    name = clean_name(name)
    photo = io.decode(data, name, max_pixels=album.max_pixels, accept_cut=True)
    path = album.path(photo_id, f"{REFERENCE}{format_named(photo.format).suffixes[0]}")
    # On a full disk, the earlier one stays.
    files.write_bytes(path, data)
    io.write_png(album.path(photo_id, REFERENCE_VIEW), shrink(io.to_rgb8(photo), SMALL_SIDE))
    for other in reference_files(album.path(photo_id, "")):
        if other != path:
            other.unlink(missing_ok=True)
    return album.edit(photo_id, reference=name)


def remove_reference(album: Album, photo_id: str) -> PhotoEntry:
    """Remove the reference photograph of a photograph."""
    entry = album.edit(photo_id, reference="")
    for path in (*reference_files(album.path(photo_id, "")), album.path(photo_id, REFERENCE_VIEW)):
        path.unlink(missing_ok=True)
    return entry
