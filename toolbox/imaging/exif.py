"""EXIF: the orientation and the tags that are kept, read from any format and written to any other."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import Base as Tag

_INCH, _SRGB, _ADOBE_RGB = 2, 1, 2  # values of Tag.ResolutionUnit and Tag.ColorSpace; the last is not in the standard
_INTEROP_INDEX = 1
_SRGB_INDEX, _ADOBE_RGB_INDEX = "R98", "R03"  # values of it: DCF 2.0
_MIN_EXIF_BYTES = 14  # the header and an empty directory
# Directories: the settings of the camera, GPS.
_EXIF, _GPS = Tag.ExifOffset, Tag.GPSInfo
# The directory of a TIFF file is its EXIF too. These tags describe the photograph, the others the file's layout.
_PHOTO_TAGS = {
    *(Tag.DocumentName, Tag.PageName, Tag.PageNumber, Tag.HostComputer),
    *(Tag.ImageDescription, Tag.Make, Tag.Model, Tag.XResolution, Tag.YResolution, Tag.ResolutionUnit, Tag.Software),
    *(Tag.DateTime, Tag.Artist, Tag.Copyright, _EXIF, _GPS),
    *(Tag.XPTitle, Tag.XPComment, Tag.XPAuthor, Tag.XPKeywords, Tag.XPSubject),
}
_HASSELBLAD_RAW, _GLOBAL_PARAMETERS, _KODAK = 46275, 400, 33424  # not in Pillow's table
# Tags of other files that say where something is in the file: strips, tiles, thumbnails, further directories.
_LAYOUT_TAGS = {
    *(Tag.StripOffsets, Tag.StripByteCounts, Tag.RowsPerStrip, Tag.FreeOffsets, Tag.FreeByteCounts),
    *(Tag.TileWidth, Tag.TileLength, Tag.TileOffsets, Tag.TileByteCounts, Tag.SubIFDs),
    *(Tag.JpegIFOffset, Tag.JpegIFByteCount, Tag.JpegQTables, Tag.JpegDCTables, Tag.JpegACTables),
    *(_HASSELBLAD_RAW, _GLOBAL_PARAMETERS, _KODAK, Tag.DNGPrivateData),
    # These say how the samples of the file are stored, and which colours they mean. The result has others.
    *(Tag.BitsPerSample, Tag.SamplesPerPixel, Tag.SampleFormat, Tag.Compression, Tag.PhotometricInterpretation),
    *(Tag.PlanarConfiguration, Tag.WhitePoint, Tag.PrimaryChromaticities, Tag.TransferFunction),
}
# A description for programs, not for people: of the pictures, channels and sizes of the file that had it. ImageJ,
# tifffile, scanners of microscopes and OME-XML; a reader of the result would look for what is not there.
_STRUCTURE = re.compile(r"\s*(?:ImageJ=|\{\s*\"shape\"|Aperio )|.{0,2000}<(?:\w+:)?OME[\s>]", re.DOTALL)
# A directory below may point to the one above it, to itself or to others: what has no place in it is left out.
_DIRECTORIES = {_EXIF, _GPS, Tag.SubIFDs}
_NOT_SETTINGS = _LAYOUT_TAGS | _PHOTO_TAGS | {Tag.Orientation, Tag.ImageWidth, Tag.ImageLength}
_GPS_TAGS = range(32)
_INTEROP_TAGS = {1, 2, 0x1000, 0x1001, 0x1002}
_INCHES_PER_METRE = 0.0254
_PREFIX = b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])\s*[\"'<]")
# The keyword of a PNG text before the kind of data that it holds.
RAW_PROFILE = "Raw profile type "
EXIF_PROFILES = ("exif", "APP1")
_RAW_PROFILE = re.compile(rb"\s*\S[^\n]*?\s+(\d+)\s([0-9a-fA-F\s]*)")


@dataclass(frozen=True, kw_only=True)
class Exif:
    """The EXIF of an image file.

    Attributes:
        orientation: 1 to 8; 1 is upright.
        data: the other tags, as bytes that begin with ``Exif``, or None. Without the thumbnail.
        notes: what was left out.
        is_adobe_rgb: whether it states that the colours are Adobe RGB. Cameras write such files without a profile.
    """

    orientation: int = 1
    data: bytes | None = None
    notes: tuple[str, ...] = ()
    is_adobe_rgb: bool = False


def read_exif(
    image: Image.Image,
    *,
    raw: bytes | None = None,
    xmp: bytes = b"",
    resolution: tuple[float, float] | None = None,
) -> Exif:
    """Return the EXIF of an opened image file. EXIF that cannot be read is left out with a note.

    Sizes and the colour space in it become those of the result: upright, in sRGB.

    Args:
        image: the file, not loaded yet.
        raw: EXIF that Pillow does not see; used if it sees none.
        xmp: the XMP packet, whose orientation counts if EXIF has none.
        resolution: pixels per inch, kept if EXIF has none.
    """
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    data = image.info.get("exif") or raw
    orientation = 1
    unreadable = ("unreadable EXIF left out",)
    try:
        exif = image.getexif() if is_tiff else _parse(data) if data else Image.Exif()
        stated = exif.get(Tag.Orientation, _orientation_of_xmp(xmp))
        orientation = stated if stated in range(1, 9) else 1
        width, height = image.size
        # Pillow gives the size of a TIFF upright, and that of other formats as stored.
        size = (height, width) if orientation >= 5 and not is_tiff else (width, height)
        kept = Image.Exif()
        is_structure = _STRUCTURE.match(str(exif.get(Tag.ImageDescription, ""))) is not None
        structure_note = ("description of the file's structure left out",) if is_structure else ()
        for tag in exif:
            # The program that wrote such a description is not one that made the photograph.
            if is_structure and tag in (Tag.ImageDescription, Tag.Software):
                continue
            if tag != Tag.Orientation and (tag in _PHOTO_TAGS if is_tiff else tag not in _LAYOUT_TAGS):
                value = _value(exif, tag, size)
                if value != {}:  # a directory without any tag
                    kept[tag] = value
        if resolution is not None and Tag.XResolution not in kept:
            kept[Tag.XResolution], kept[Tag.YResolution], kept[Tag.ResolutionUnit] = (*resolution, _INCH)
        if orientation >= 5 and Tag.XResolution in kept and Tag.YResolution in kept:
            kept[Tag.XResolution], kept[Tag.YResolution] = kept[Tag.YResolution], kept[Tag.XResolution]
        is_lost = not is_tiff and data is not None and not len(exif) and len(data) > _MIN_EXIF_BYTES + len(_PREFIX)
        return Exif(
            orientation=orientation,
            data=kept.tobytes() if len(kept) else None,
            notes=unreadable if is_lost else (*structure_note, *_notes(exif)),
            is_adobe_rgb=_states_adobe_rgb(exif),
        )
    except Exception:  # a photograph is not refused for its EXIF, which anything may have written
        return Exif(orientation=orientation, notes=unreadable)


def raw_profile(text: Mapping[str, bytes]) -> bytes | None:
    """Return the EXIF that ImageMagick and others write as text into a PNG file, or None."""
    for kind in EXIF_PROFILES:
        match = _RAW_PROFILE.match(text.get(RAW_PROFILE + kind, b""))
        if match:
            with contextlib.suppress(ValueError):
                data = bytes.fromhex(match[2].decode())[: int(match[1])]
                if data[:6] == _PREFIX or data[:4] in (b"II*\0", b"MM\0*"):
                    return data
    return None


def resolution_of(data: bytes | None) -> tuple[int, int] | None:
    """Return pixels per metre, horizontally and vertically, of EXIF bytes; None if they do not state them."""
    if not data:
        return None
    try:
        exif = _parse(data)
        unit = {2: _INCHES_PER_METRE, 3: 0.01}[exif.get(Tag.ResolutionUnit, _INCH)]
        horizontal, vertical = (round(float(exif[tag]) / unit) for tag in (Tag.XResolution, Tag.YResolution))
    except Exception:  # anything may have written it
        return None
    return (horizontal, vertical) if 0 < min(horizontal, vertical) <= max(horizontal, vertical) < 1 << 31 else None


def copy_photo_tags(data: bytes, directory: TiffImagePlugin.ImageFileDirectory_v2) -> None:
    """Copy the tags that describe the photograph from EXIF bytes into the directory of a TIFF file."""
    exif = _parse(data)
    for tag in set(exif) & _PHOTO_TAGS:
        directory[tag] = _value(exif, tag)


def _notes(exif: Image.Exif) -> tuple[str, ...]:
    is_nested = any(_DIRECTORIES & exif.get_ifd(tag).keys() for tag in (_EXIF, _GPS) if tag in exif)
    return ("EXIF directories inside others left out",) if is_nested else ()


def _states_adobe_rgb(exif: Image.Exif) -> bool:
    """Return whether EXIF states Adobe RGB: by the index of interoperability, or by a colour space of 2."""
    try:
        index = exif.get_ifd(Tag.ExifInteroperabilityOffset).get(_INTEROP_INDEX)
        space = exif.get_ifd(_EXIF).get(Tag.ColorSpace)
    except Exception:  # anything may have written it
        return False
    return space == _ADOBE_RGB or (space != _SRGB and _is_adobe_rgb_index(index))


def _is_adobe_rgb_index(index: object) -> bool:
    return str(index).strip("\0 ") == _ADOBE_RGB_INDEX


def _parse(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


def _orientation_of_xmp(xmp: bytes) -> int:
    match = _XMP_ORIENTATION.search(xmp)
    return int(match[1]) if match else 1


def _value(exif: Image.Exif, tag: int, size: tuple[int, int] | None = None) -> object:
    """Return the value of a tag, or the directory below it, so that Pillow writes the bytes that it read.

    With a `size` (width and height), tags that state a size get this one.
    """
    if tag == _EXIF:
        return _camera_settings(exif, size)
    if tag == _GPS:
        return {key: _as_read(value) for key, value in exif.get_ifd(tag).items() if key in _GPS_TAGS}
    if size is not None and tag in (Tag.ImageWidth, Tag.ImageLength):
        return size[tag - Tag.ImageWidth]
    return _as_read(exif[tag])


def _camera_settings(exif: Image.Exif, size: tuple[int, int] | None) -> dict[int, object]:
    settings = {key: _as_read(value) for key, value in exif.get_ifd(_EXIF).items() if key not in _NOT_SETTINGS}
    # The offset of the directory below is not valid in another file: write the directory itself, or nothing.
    if settings.pop(Tag.ExifInteroperabilityOffset, None) is not None:
        interop: dict[int, object] = {}
        with contextlib.suppress(Exception):  # anything may have written it
            read = exif.get_ifd(Tag.ExifInteroperabilityOffset)
            interop = {key: _as_read(value) for key, value in read.items() if key in _INTEROP_TAGS}
        if size is not None and _is_adobe_rgb_index(interop.get(_INTEROP_INDEX)):
            interop[_INTEROP_INDEX] = _SRGB_INDEX
        if interop:
            settings[Tag.ExifInteroperabilityOffset] = interop
    if size is not None:
        stated = {Tag.ExifImageWidth: size[0], Tag.ExifImageHeight: size[1], Tag.ColorSpace: _SRGB}
        settings |= {key: value for key, value in stated.items() if key in settings}
    return settings


def _as_read(value: object) -> object:
    return _Latin1(value) if isinstance(value, str) else value


class _Latin1(str):
    """Text that is encoded as Latin-1, as Pillow has decoded it.

    Pillow decodes all text of EXIF as Latin-1, and would write "?" for what is not ASCII. It would not write bytes
    as text.
    """

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return super().encode("latin-1")
