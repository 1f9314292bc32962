"""EXIF: the orientation and the tags that are kept, read from any format and written to any other."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import Base as Tag

from toolbox.imaging.exif_block import (
    ASCII,
    LONG,
    RATIONAL,
    SHORT,
    Block,
    Directory,
    Entry,
    Order,
    can_stay,
    pack_numbers,
    write_block,
)

_INCH, _SRGB, _ADOBE_RGB = 2, 1, 2  # values of Tag.ResolutionUnit and Tag.ColorSpace; the last is not in the standard
_INTEROP_INDEX = 1
_SRGB_INDEX, _ADOBE_RGB_INDEX = "R98", "R03"  # values of it: DCF 2.0
_MIN_EXIF_BYTES = 14  # the header and an empty directory
_NO_TAGS = b"II*\0\x08\0\0\0"
# A segment of a JPEG holds a block of EXIF of at most so many bytes.
_MAX_SEGMENT_BYTES = 65_527
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
_STRUCTURE_WRITERS = re.compile(r"tifffile|ImageJ|Fiji|OME|Bio-?Formats|Aperio", re.IGNORECASE)
_STRUCTURE = re.compile(r"\s*(?:ImageJ=|\{\s*\"shape\"|Aperio )|.{0,2000}<(?:\w+:)?OME[\s>]", re.DOTALL)
# A directory below may point to the one above it, to itself or to others: what has no place in it is left out.
_DIRECTORIES = {_EXIF, _GPS, Tag.SubIFDs}
_NOT_SETTINGS = _LAYOUT_TAGS | _PHOTO_TAGS | {Tag.Orientation, Tag.ImageWidth, Tag.ImageLength}
_GPS_TAGS = range(32)
_INTEROP_TAGS = {1, 2, 0x1000, 0x1001, 0x1002}
_INCHES_PER_METRE = 0.0254
_UNKNOWN_RESOLUTION = (2835, 2835)  # 72 pixels per inch, in pixels per metre
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

    Sizes and the colour space in it become those of the result: upright, in sRGB. Byte order and types stay, and the
    MakerNote stays at its place.

    Args:
        image: the file, not loaded yet.
        raw: EXIF that Pillow does not see; used if it sees none. The whole file, if it is a TIFF.
        xmp: the XMP packet, whose orientation counts if EXIF has none.
        resolution: pixels per inch that the file states outside of EXIF. It counts if EXIF has none, or 72, which means
            that it is unknown (programs that add a tag write it); in a PNG always, as for editors.
    """
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    data = image.info.get("exif") or raw or _NO_TAGS
    orientation = 1
    unreadable = ("unreadable EXIF left out",)
    try:
        block = Block(data)
        stated = block.number(block.first.get(Tag.Orientation)) or _orientation_of_xmp(xmp)
        orientation = stated if stated in range(1, 9) else 1
        width, height = image.size
        # Pillow gives the size of a TIFF upright, and that of other formats as stored.
        size = (height, width) if orientation >= 5 and not is_tiff else (width, height)
        kept = _kept_tags(block, _PHOTO_TAGS if is_tiff else block.first.keys() - _LAYOUT_TAGS, size)
        notes = _leave_out(kept, _MAX_SEGMENT_BYTES if is_tiff else max(_MAX_SEGMENT_BYTES, len(data)))
        if resolution is not None and _is_better(resolution, resolution_of(data), is_png=image.format == "PNG"):
            kept |= _resolution_tags(block, resolution)
        if orientation >= 5 and Tag.XResolution in kept and Tag.YResolution in kept:
            kept[Tag.XResolution], kept[Tag.YResolution] = kept[Tag.YResolution], kept[Tag.XResolution]
        is_lost = not is_tiff and not block.first and len(data) > _MIN_EXIF_BYTES + len(_PREFIX)
        return Exif(
            orientation=orientation,
            data=_PREFIX + write_block(block.order, kept) if kept else None,
            notes=unreadable if is_lost else (*notes, *_notes(block)),
            is_adobe_rgb=_states_adobe_rgb(block),
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


def photo_tags(data: bytes) -> tuple[Order, dict[int, Entry | Directory]]:
    """Return the byte order of EXIF bytes, and the tags in them that describe the photograph."""
    block = Block(data)
    return block.order, _kept_tags(block, _PHOTO_TAGS)


def _notes(block: Block) -> tuple[str, ...]:
    is_nested = any(_DIRECTORIES & block.directory(block.first.get(tag)).keys() for tag in (_EXIF, _GPS))
    return ("EXIF directories inside others left out",) if is_nested else ()


def _leave_out(kept: dict[int, Entry | Directory], limit: int) -> tuple[str, ...]:
    """Remove what a result must not have or can't have in a block of at most `limit` bytes; return notes on it."""
    notes, description, settings = [], kept.get(Tag.ImageDescription), kept.get(_EXIF)
    if isinstance(description, Entry) and _STRUCTURE.match(description.text):
        del kept[Tag.ImageDescription]
        software = kept.get(Tag.Software)
        # A program that wrote such a description by itself is not one that made the photograph.
        if isinstance(software, Entry) and _STRUCTURE_WRITERS.match(software.text):
            del kept[Tag.Software]
        notes.append("image description with the file's structure left out")
    maker_note = settings.get(Tag.MakerNote) if isinstance(settings, dict) else None
    if isinstance(maker_note, Entry) and isinstance(settings, dict) and not can_stay(maker_note, limit):
        del settings[Tag.MakerNote]
        notes.append("MakerNote (the camera's own data) left out")
    return tuple(notes)


def _is_better(resolution: tuple[float, float], in_exif: tuple[int, int] | None, *, is_png: bool) -> bool:
    """Return whether a resolution in pixels per inch counts and not that of EXIF, in pixels per metre."""
    is_same = in_exif == tuple(round(value / _INCHES_PER_METRE) for value in resolution)
    return not is_same and (is_png or in_exif in (None, _UNKNOWN_RESOLUTION))


def _resolution_tags(block: Block, resolution: tuple[float, float]) -> dict[int, Entry | Directory]:
    horizontal, vertical = (pack_numbers(block.order, RATIONAL, *_ratio(value)) for value in resolution)
    unit = pack_numbers(block.order, SHORT, _INCH)
    return {Tag.XResolution: horizontal, Tag.YResolution: vertical, Tag.ResolutionUnit: unit}


def _ratio(value: float) -> tuple[int, int]:
    """Return numerator and denominator of a positive number, each with at most 32 bits."""
    is_large = value > 1
    ratio = Fraction(1 / value if is_large else value).limit_denominator((1 << 32) - 1)
    return (ratio.denominator, ratio.numerator) if is_large else (ratio.numerator, ratio.denominator)


def _states_adobe_rgb(block: Block) -> bool:
    """Return whether EXIF states Adobe RGB: by the index of interoperability, or by a colour space of 2."""
    settings = block.directory(block.first.get(_EXIF))
    index = block.directory(settings.get(Tag.ExifInteroperabilityOffset)).get(_INTEROP_INDEX)
    space = block.number(settings.get(Tag.ColorSpace))
    return space == _ADOBE_RGB or (space != _SRGB and _is_adobe_rgb_index(index))


def _is_adobe_rgb_index(index: Entry | None) -> bool:
    return index is not None and index.text.strip("\0 ") == _ADOBE_RGB_INDEX


def _parse(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


def _orientation_of_xmp(xmp: bytes) -> int:
    match = _XMP_ORIENTATION.search(xmp)
    return int(match[1]) if match else 1


def _kept_tags(
    block: Block, tags: Collection[int], size: tuple[int, int] | None = None
) -> dict[int, Entry | Directory]:
    """Return these tags of the first directory, with the directories below it, without the orientation.

    With a `size` (width and height), tags that state a size get this one.
    """
    kept: dict[int, Entry | Directory] = {}
    for tag, entry in block.first.items():
        if tag not in tags or tag in (Tag.Orientation, Tag.ExifInteroperabilityOffset):
            continue
        if tag == _EXIF:
            value: Entry | Directory = _camera_settings(block, entry, size)
        elif tag == _GPS:
            value = {key: found for key, found in block.directory(entry).items() if key in _GPS_TAGS}
        elif size is not None and tag in (Tag.ImageWidth, Tag.ImageLength):
            value = _side(block, entry, size[tag - Tag.ImageWidth])
        else:
            value = entry
        if value:  # not a directory without any tag
            kept[tag] = value
    return kept


def _camera_settings(block: Block, entry: Entry, size: tuple[int, int] | None) -> dict[int, Entry | Directory]:
    settings: dict[int, Entry | Directory] = {
        key: value for key, value in block.directory(entry).items() if key not in _NOT_SETTINGS
    }
    # The offset of the directory below is not valid in another file: write the directory itself, or nothing.
    pointer = settings.pop(Tag.ExifInteroperabilityOffset, None)
    if isinstance(pointer, Entry):
        interop = {key: value for key, value in block.directory(pointer).items() if key in _INTEROP_TAGS}
        if size is not None and _is_adobe_rgb_index(interop.get(_INTEROP_INDEX)):
            interop[_INTEROP_INDEX] = Entry(ASCII, _SRGB_INDEX.encode() + b"\0")
        if interop:
            settings[Tag.ExifInteroperabilityOffset] = interop
    if size is not None:
        for key, side in ((Tag.ExifImageWidth, size[0]), (Tag.ExifImageHeight, size[1])):
            if isinstance(stated := settings.get(key), Entry):
                settings[key] = _side(block, stated, side)
        if Tag.ColorSpace in settings:
            settings[Tag.ColorSpace] = pack_numbers(block.order, SHORT, _SRGB)
    return settings


def _side(block: Block, stated: Entry, side: int) -> Entry:
    """Return a width or height as an entry of the type that another one has, if that can hold it."""
    return pack_numbers(block.order, SHORT if stated.kind == SHORT and side < 1 << 16 else LONG, side)
