"""Decode the bytes of an image file: check it, decode it, convert it to sRGB, turn it upright.

Any type of error may be raised here; `toolbox.imaging.io` turns it into a DataError.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import ImageFile, JpegImagePlugin, TiffImagePlugin
from PIL.ExifTags import Base as Tag

from toolbox.imaging.bmp_color import profile_of_bmp
from toolbox.imaging.decode_8bit import decode_8bit
from toolbox.imaging.dib import with_file_header
from toolbox.imaging.exif import Exif, raw_profile, read_exif
from toolbox.imaging.formats import FORMATS, ImageFormat, format_of_content
from toolbox.imaging.heif_color import profile_of_heif
from toolbox.imaging.icc import UNUSABLE, to_srgb16
from toolbox.imaging.integrity import BrokenFileError
from toolbox.imaging.jpeg_end import close_jpeg, describe_missing, find_missing, is_suspect, require_whole
from toolbox.imaging.left_out import XMP_KEYWORD, left_out_notes
from toolbox.imaging.png import Png
from toolbox.imaging.png_color import adobe_rgb_profile
from toolbox.imaging.tiff_pictures import full_picture_first
from toolbox.utils import surface

_ORIENTATION_NOTE = "orientation applied"
# The messages of Pillow for a valid TIFF that it can't decode, apart from the number of an unknown compression.
_UNSUPPORTED_TIFF = ("unknown pixel mode", "unknown data organization", "invalid photometric interpretation")
# The message of Pillow for a JPEG of 12 bits, and for a TIFF whose compression its libtiff lacks.
_UNSUPPORTED_JPEG = "cannot handle"
_DECODER_ERROR = "decoder error -2"
# The resolution of a screen in Windows, 96 pixels per inch, is stored in whole pixels per metre.
_SCREEN_DPI = 97
# Values of Tag.Compression that every libtiff has: TIFF 6.0, Deflate and PackBits.
_COMMON_COMPRESSIONS = {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946}
# The caution about a file with several pictures.
FIRST_OF_SEVERAL = "only the first picture taken"
# The segment of a JPEG file that lists further pictures (CIPA DC-007).
_MULTI_PICTURE = (b"MPF\0II*\0", b"MPF\0MM\0*")


@dataclass(frozen=True, kw_only=True)
class OpenedFile:
    """An image file that has passed every check that needs no decoding.

    Attributes:
        format: the row of its format.
        data: the whole file.
        size: width and height in pixels, upright.
        image: Pillow's handle, not loaded yet.
        png: the checked PNG, if it is one.
        exif: the orientation and the tags to keep.
        icc: the ICC profile.
        notes: what was left out so far.
        has_more: whether there are more pictures than this one, apart from thumbnails.
        is_cut: whether it is a JPEG without an end marker, which was accepted.
        accept_cut: whether a JPEG whose picture is not complete is accepted.
    """

    format: ImageFormat
    data: bytes
    size: tuple[int, int]
    image: ImageFile.ImageFile
    png: Png | None
    exif: Exif
    icc: bytes | None
    notes: tuple[str, ...]
    has_more: bool = False
    is_cut: bool = False
    accept_cut: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """A decoded picture, upright and in sRGB.

    Attributes:
        pixels: (H, W) or (H, W, 3), uint8 or uint16.
        alpha: (H, W) of the same type, or None.
        notes: what was changed.
        cautions: what the picture may lack, such as further pictures of the file.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    notes: tuple[str, ...]
    cautions: tuple[str, ...]


def open_bytes(data: bytes, max_pixels: int, *, accept_cut: bool = False) -> OpenedFile:
    """Check that the bytes are a complete image file of a known format, with at most `max_pixels` pixels.

    With `accept_cut`, a JPEG whose end is missing is accepted.

    Raises:
        BrokenFileError: they are not. Pillow may raise other errors.
    """
    if not data:
        raise BrokenFileError("is empty")
    row = format_of_content(data)
    if row is None:
        raise BrokenFileError(f"is not an image of a known format ({', '.join(row.name for row in FORMATS)})")
    if not row.has_decoder():
        raise BrokenFileError(f"is {row.name}, which this installation can't decode: install {row.decoder}")
    is_cut = False
    if row.name == "JPEG" and accept_cut:
        data, is_cut = close_jpeg(data)
    if row.name == "BMP":
        data = with_file_header(data)
    png = row.check(data) if row.check else None
    has_more = png is not None and png.is_animated
    if row.name == "WEBP":
        data += bytes(len(data) % 2)  # the pad byte of the last chunk may be missing
    elif row.name == "TIFF":
        data, has_more = full_picture_first(data)
    try:
        image = row.opener(io.BytesIO(png.data if png else data))
    except SyntaxError as error:  # Pillow raises it for a header that it cannot parse
        raise BrokenFileError(_why_not_opened(row, str(error))) from error
    width, height = image.size
    if width * height > max_pixels:
        remedy = surface.words(
            command=f", or raise the limit of `toolbox restore` and `toolbox mask` with --max-pixels {width * height}",
            python="",
            page="",
        )
        raise BrokenFileError(
            f"has {width} x {height} pixels, more than the limit of {max_pixels}: save a smaller copy{remedy}"
        )
    if row.check_tags and isinstance(image, TiffImagePlugin.TiffImageFile):
        row.check_tags(data, image.tag_v2)
    xmp = _xmp(image, png)
    icc = png.icc if png else image.info.get("icc_profile")
    color_notes: tuple[str, ...] = ()
    if row.name == "BMP":
        icc, color_notes = profile_of_bmp(data)
    elif row.name in ("AVIF", "HEIF") and not icc:
        icc, color_notes = profile_of_heif(data, is_gray=image.mode in ("L", "LA"))
    elif row.name == "JPEG" and "icc_profile" in image.info and not icc:
        color_notes = UNUSABLE  # of the segments that hold it, one is missing or there twice
    raw = raw_profile(png.text) if png else data if row.name == "TIFF" else None
    exif = read_exif(image, raw=raw, xmp=xmp, resolution=_dots_per_inch(image, png))
    states_color = png.states_color if png else bool(icc)
    # Pillow gives the size of a TIFF upright, and that of other formats as stored.
    is_turned = exif.orientation >= 5 and row.name != "TIFF"
    return OpenedFile(
        format=row,
        data=data,
        size=(height, width) if is_turned else (width, height),
        image=image,
        png=png,
        exif=exif,
        icc=adobe_rgb_profile() if exif.is_adobe_rgb and not states_color else icc,
        notes=(*(png.notes if png else ()), *color_notes, *exif.notes, *left_out_notes(image, png, xmp, data)),
        has_more=has_more or (row.name == "JPEG" and any(marker in data for marker in _MULTI_PICTURE)),
        is_cut=is_cut,
        accept_cut=accept_cut,
    )


def _why_not_opened(row: ImageFormat, message: str) -> str:
    """Return why Pillow can't open a file, from its message; continues a sentence that begins with the file's name."""
    if row.name == "TIFF" and message in _UNSUPPORTED_TIFF:
        return "is a TIFF of a kind that is not supported: save it as RGB or gray, with 8 or 16 bits, unsigned"
    if row.name == "TIFF" and message.isdecimal():
        return _unsupported_compression(message)
    if row.name == "JPEG" and message.startswith(_UNSUPPORTED_JPEG):
        what = message.removeprefix(_UNSUPPORTED_JPEG).strip()
        return f"is a JPEG of a kind that is not supported ({what}): save it as RGB or gray, with 8 bits"
    return f"is damaged or of a kind that is not supported: {row.name} header ({message})"


def _unsupported_compression(number: object) -> str:
    return f"is a TIFF with a compression that is not supported (number {number}): save it with LZW or Deflate"


def _load(image: ImageFile.ImageFile) -> None:
    """Decode the pixels; raise BrokenFileError for a TIFF whose compression this libtiff lacks."""
    try:
        image.load()
    except OSError as error:
        compression = image.tag_v2.get(Tag.Compression) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
        if str(error) == _DECODER_ERROR and compression not in (None, *_COMMON_COMPRESSIONS):
            raise BrokenFileError(_unsupported_compression(compression)) from error
        raise


def _xmp(image: ImageFile.ImageFile, png: Png | None) -> bytes:
    packet = png.text.get(XMP_KEYWORD, b"") if png else image.info.get("xmp", b"")
    return packet if isinstance(packet, bytes) else str(packet).encode()


def _dots_per_inch(image: ImageFile.ImageFile, png: Png | None) -> tuple[float, float] | None:
    if png:
        return tuple(0.0254 * value for value in png.resolution) if png.resolution else None  # type: ignore[return-value]
    # A TIFF has the resolution in its tags. A JPEG of unit 0 has the pixels' shape only.
    if image.format == "TIFF" or image.info.get("jfif_unit") == 0:
        return None
    dpi = tuple(float(value) for value in image.info.get("dpi", (0, 0)))
    # In a BMP, programs write that of a screen, 72 or 96, where they know none.
    return dpi if min(dpi) > (_SCREEN_DPI if image.format in ("BMP", "DIB") else 0) else None  # type: ignore[return-value]


def decode_opened(opened: OpenedFile) -> Decoded:
    """Decode, convert to sRGB and turn upright.

    Raises:
        BrokenFileError: a part of the picture of a JPEG is missing, and that is not accepted.
    """
    notes: list[str] = []
    orientation, image, decode_16bit = opened.exif.orientation, opened.image, opened.format.decode_16bit
    decoded = decode_16bit(opened.data, image, opened.png) if decode_16bit else None
    cautions: list[str] = []
    if decoded is not None:
        pixels, alpha = decoded
        notes.append("16-bit")
        if opened.icc:
            pixels, icc_notes = to_srgb16(pixels, opened.icc)
            notes.extend(icc_notes)
    else:
        _load(image)
        if opened.format.name == "TIFF" and orientation != 1:  # Pillow turns a TIFF when it loads it
            notes.append(_ORIENTATION_NOTE)
            orientation = 1
        pixels, alpha = decode_8bit(image, opened.png, opened.icc, notes)
        alpha = _without_missing(opened, alpha, cautions)
    if alpha is not None and not alpha.any():
        # Some programs leave this field empty: the picture is opaque, and browsers and viewers show it so.
        alpha = None
        notes.append("alpha of zeros ignored")
    if orientation != 1:
        notes.append(_ORIENTATION_NOTE)
        pixels = _turn_upright(pixels, orientation)
        alpha = None if alpha is None else _turn_upright(alpha, orientation)
    if opened.has_more or (opened.format.name != "TIFF" and getattr(image, "is_animated", False)):
        cautions.append(FIRST_OF_SEVERAL)
    return Decoded(pixels=pixels, alpha=alpha, notes=tuple(notes), cautions=tuple(cautions))


def _without_missing(opened: OpenedFile, alpha: np.ndarray | None, cautions: list[str]) -> np.ndarray | None:
    """Return the alpha of a picture, 0 where it is missing in a JPEG file that is cut; add what is missing in words.

    Raises:
        BrokenFileError: something is missing, and that is not accepted.
    """
    image = opened.image
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or not (opened.is_cut or is_suspect(image)):
        return alpha
    missing, lacks_detail = find_missing(opened.data)
    if missing.all():
        raise BrokenFileError("is cut short: nothing of the picture is left")
    if not opened.accept_cut:
        require_whole(missing)
    if opened.is_cut or missing.any():
        cautions.append(describe_missing(missing, lacks_detail=lacks_detail))
    return np.where(missing, np.uint8(0), np.uint8(255)) if missing.any() else alpha


def _turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    # Where the first stored row and column are in the upright picture: EXIF 2.32, section 4.6.4.
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::down, ::right])
