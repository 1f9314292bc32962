"""Notes on what a result does not get of an image file: metadata, bits, a video, the shape of its pixels."""

from __future__ import annotations

import re

from PIL import ImageFile, TiffImagePlugin
from PIL.ExifTags import Base as Tag

from toolbox.imaging.exif import EXIF_PROFILES, RAW_PROFILE, raw_profile
from toolbox.imaging.png import NOT_SQUARE, Png
from toolbox.imaging.png_color import are_srgb

XMP_KEYWORD = "XML:com.adobe.xmp"
_IPTC_RESOURCE = 0x0404
_COPYRIGHT_RESOURCES = (0x040A, 0x040B)  # a flag and an address
# The same in the resources of Photoshop that a TIFF has: "8BIM", the number, an empty name, the size, the data.
_IPTC_IN_RESOURCES = b"8BIM\x04\x04"
_COPYRIGHT_IN_RESOURCES = re.compile(rb"8BIM\x04(?:\x0a\0\0\0\0\0\x01[^\0]|\x0b\0\0(?!\0{4}))")
# The raw profiles in PNG text that have a note of their own.
_NAMED_PROFILES = ("xmp", "iptc", "8bim")
# The value of the TIFF tag ExtraSamples for a channel that is not alpha.
_UNSPECIFIED = 0
_EXTRA_CHANNEL = "extra channel"
_PHOTOSHOP_LAYERS = 37724  # ImageSourceData: Adobe Photoshop TIFF technical notes; not in Pillow's table
EXTRA_CHANNEL_NOTE = f"{_EXTRA_CHANNEL} left out"
# The XMP of a photograph with a short video behind it, as Android phones write it, and Samsung's mark.
_MOTION_PHOTO = re.compile(rb"(?:MotionPhoto|MicroVideo)(?:=[\"']|>)1")
_SAMSUNG_VIDEO = b"MotionPhoto_Data"


def left_out_notes(image: ImageFile.ImageFile, png: Png | None, xmp: bytes, data: bytes) -> tuple[str, ...]:
    """Return a note on each part of an opened file that a result does not get.

    Args:
        image: Pillow's handle.
        png: the checked PNG, if it is one.
        xmp: the XMP packet.
        data: the whole file.
    """
    photoshop = image.info.get("photoshop", {})
    has_iptc = _IPTC_RESOURCE in photoshop
    has_copyright = any(photoshop.get(number, b"").strip(b"\0") for number in _COPYRIGHT_RESOURCES)
    has_channel = has_calibration = has_layers = False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        resources = image.tag_v2.get(Tag.ImageResources, b"")
        parts = resources if isinstance(resources, tuple) else (resources,)  # a tuple, if its type is UNDEFINED
        stored = b"".join(part for part in parts if isinstance(part, bytes))
        has_iptc = Tag.IPTCNAA in image.tag_v2 or _IPTC_IN_RESOURCES in stored
        has_copyright = bool(_COPYRIGHT_IN_RESOURCES.search(stored))
        # Scanners store infrared so, and editors a selection.
        has_channel = _UNSPECIFIED in image.tag_v2.get(Tag.ExtraSamples, ())
        has_layers = _PHOTOSHOP_LAYERS in image.tag_v2
        has_calibration = "icc_profile" not in image.info and _has_other_primaries(image.tag_v2)
    text = png.text if png else {}
    raw = {keyword.removeprefix(RAW_PROFILE) for keyword in text if keyword.startswith(RAW_PROFILE)}
    named = (*_NAMED_PROFILES, *(EXIF_PROFILES if raw_profile(text) else ()))
    has_text = bool(text.keys() - {XMP_KEYWORD, *(RAW_PROFILE + kind for kind in named)})
    has_xmp, has_iptc = bool(xmp) or "xmp" in raw, bool(has_iptc) or bool(raw & {"iptc", "8bim"})
    has_video = image.format == "JPEG" and (bool(_MOTION_PHOTO.search(xmp)) or _SAMSUNG_VIDEO in data)
    kinds = {"XMP": has_xmp, "IPTC": has_iptc, "PNG text": has_text, "comment": "comment" in image.info}
    kinds |= {
        "copyright mark of Photoshop": has_copyright,
        _EXTRA_CHANNEL: has_channel,
        "video": has_video,
        "colour calibration of the TIFF": has_calibration,
        "layers": has_layers,
    }
    notes = [f"{kind} left out" for kind, is_there in kinds.items() if is_there]
    density = image.info.get("jfif_density", (1, 1))
    if image.info.get("jfif_unit") == 0 and density[0] != density[1]:
        notes.append(NOT_SQUARE)
    if (bits := _bits(image, data)) > 8:
        notes.append(f"{bits} bits became 8")
    return tuple(notes)


def _has_other_primaries(tags: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    """Return whether a TIFF states other primaries or another white than those of sRGB."""
    primaries, white = tags.get(Tag.PrimaryChromaticities, ()), tags.get(Tag.WhitePoint, ())
    return len(primaries) in (0, 6) and len(white) in (0, 2) and not are_srgb(primaries, white)


def _bits(image: ImageFile.ImageFile, data: bytes) -> int:
    """Return the bits of a sample in a file whose decoder returns 8: those of AVIF and HEIF."""
    if image.format == "AVIF":
        start = data.find(b"av1C") + 4
        flags = data[start + 2] if 4 <= start <= len(data) - 3 else 0  # "AV1 Codec ISO Media File Format Binding", 2.3
        return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    return int(image.info.get("bit_depth", 8)) if image.format == "HEIF" else 8
