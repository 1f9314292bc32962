"""EXIF: the orientation and the tags that are kept, read from any format and written to any other."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageFile, TiffImagePlugin

ORIENTATION = 274
_SUBDIRECTORIES = (34665, 34853)  # camera settings; GPS
# The directory of a TIFF file is its EXIF too. These tags describe the photograph, the others the file's layout.
_PHOTO_TAGS = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853, *range(40091, 40096)}


@dataclass(frozen=True, kw_only=True)
class Exif:
    """The EXIF of an image file.

    Attributes:
        orientation: 1 to 8; 1 is upright.
        data: the other tags, as bytes that open with ``Exif``, or None. Without the thumbnail.
        notes: what was left out.
    """

    orientation: int = 1
    data: bytes | None = None
    notes: tuple[str, ...] = ()


def read_exif(image: ImageFile.ImageFile) -> Exif:
    """Return the EXIF of an opened image file. EXIF that cannot be read is left out with a note."""
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    if not is_tiff and not image.info.get("exif"):
        return Exif()
    orientation = 1
    try:
        exif = image.getexif() if is_tiff else _parse(image.info["exif"])
        stated = exif.get(ORIENTATION, 1)
        orientation = stated if stated in range(1, 9) else 1
        kept = Image.Exif()
        for tag in exif:
            if tag != ORIENTATION and (not is_tiff or tag in _PHOTO_TAGS):
                kept[tag] = _value(exif, tag)
        return Exif(orientation=orientation, data=kept.tobytes() if len(kept) else None)
    except Exception:  # a photograph is not refused for its EXIF, which anything may have written
        return Exif(orientation=orientation, notes=("unreadable EXIF left out",))


def copy_photo_tags(data: bytes, directory: TiffImagePlugin.ImageFileDirectory_v2) -> None:
    """Copy the tags that describe the photograph from EXIF bytes into the directory of a TIFF file."""
    exif = _parse(data)
    for tag in set(exif) & _PHOTO_TAGS:
        directory[tag] = _value(exif, tag)


def _parse(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


def _value(exif: Image.Exif, tag: int) -> object:
    """Return the value of a tag, or the directory below it, so that Pillow writes the bytes that it read."""
    if tag in _SUBDIRECTORIES:
        return {key: _as_read(value) for key, value in exif.get_ifd(tag).items()}
    return _as_read(exif[tag])


def _as_read(value: object) -> object:
    return _Latin1(value) if isinstance(value, str) else value


class _Latin1(str):
    """Text that is encoded as Latin-1, as Pillow has decoded it.

    Pillow decodes all text of EXIF as Latin-1, and would write "?" for what is not ASCII. It would not write bytes
    as text.
    """

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return super().encode("latin-1")
