"""Encode pixels: one function per format, which the table of formats lists. The same pixels give the same bytes.

Each function takes (H, W, 3) RGB of a depth that its format has, EXIF that begins with ``Exif``, or None, and an XMP
packet, or None. It returns the bytes of the file, and a line for each thing that the format cannot hold.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate

import cv2
import numpy as np
from PIL import Image
from PIL.ExifTags import Base as Tag

from toolbox.errors import OutputError
from toolbox.imaging.exif import photo_tags, resolution_of
from toolbox.imaging.exif_block import BYTE, LONG, SHORT, Directory, Entry, Order, pack_numbers, write_block
from toolbox.imaging.pixels import as_rgb

Encoded = tuple[bytes, tuple[str, ...]]

# At this quality no further loss is visible.
QUALITY = 95
_INCHES_PER_METRE = 0.0254
# The length of a JPEG segment has two bytes, and counts them too.
_MAX_JPEG_EXIF_BYTES = 65533
_PNG_LEVEL = 3
_PNG_HEADER_END = 33
# Keyword, no compression, no language, no translated keyword: XMP specification, part 3.
_PNG_XMP_KEYWORD = b"XML:com.adobe.xmp\0\0\0\0\0"
_TIFF_LEVEL = 3
_TIFF_STRIP_BYTES = 1 << 20
# TIFF 6.0, sections 8 and 14; Deflate: Adobe Photoshop TIFF technical notes.
_XMP = 700  # XMP specification, part 3
_DEFLATE, _RGB, _INTERLEAVED, _HORIZONTAL_DIFFERENCES = 8, 2, 1, 2


def encode_png(
    pixels: np.ndarray, *, alpha: np.ndarray | None = None, exif: bytes | None = None, xmp: bytes | None = None
) -> bytes:
    """Encode (H, W) or (H, W, 3) RGB, uint8, uint16 or bool (as 0 and 255), as PNG.

    `alpha` is (H, W) of the same type; `xmp` is an XMP packet.
    """
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if alpha is not None:
        pixels = np.dstack([as_rgb(pixels), alpha])
    bgr_order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(pixels.shape[-1]) if pixels.ndim == 3 else None
    stored = pixels if bgr_order is None else np.ascontiguousarray(pixels[..., bgr_order])
    data = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])[1].tobytes()
    chunks = b""
    resolution = resolution_of(exif)
    if resolution is not None:
        chunks += _png_chunk(b"pHYs", struct.pack(">IIB", *resolution, 1))
    if exif is not None:
        chunks += _png_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if xmp is not None:
        chunks += _png_chunk(b"iTXt", _PNG_XMP_KEYWORD + xmp)
    return data[:_PNG_HEADER_END] + chunks + data[_PNG_HEADER_END:]


def encode_indexed_png(indices: np.ndarray, colors: Sequence[tuple[int, int, int]]) -> bytes:
    """Encode a picture of a few flat colours as PNG with a palette.

    Args:
        indices: (H, W) uint8, the number of each pixel's colour.
        colors: the colours as RGB, at most 256.
    """
    image = Image.fromarray(indices)
    image.putpalette(bytes(np.array(colors, np.uint8)))
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()


def encode_png_photo(pixels: np.ndarray, exif: bytes | None, xmp: bytes | None = None) -> Encoded:
    """Encode uint8 or uint16 as PNG."""
    return encode_png(pixels, exif=exif, xmp=xmp), ()


def encode_jpeg(pixels: np.ndarray, exif: bytes | None, xmp: bytes | None = None) -> Encoded:
    """Encode uint8 as JPEG, with its colours at full resolution."""
    notes: tuple[str, ...] = ()
    # Many programs read the resolution in the header of the file, not that in EXIF.
    resolution = resolution_of(exif)
    options = {} if resolution is None else {"dpi": tuple(_INCHES_PER_METRE * value for value in resolution)}
    if exif and len(exif) > _MAX_JPEG_EXIF_BYTES:
        exif, notes = None, ("EXIF left out: it is longer than a JPEG can hold",)
    return _encode_with_pillow(pixels, exif, xmp, "JPEG", subsampling=0, **options), notes


def encode_webp(pixels: np.ndarray, exif: bytes | None, xmp: bytes | None = None) -> Encoded:
    """Encode uint8 as lossy WebP."""
    return _encode_with_pillow(pixels, exif, xmp, "WEBP", method=4), ()


def encode_tiff(pixels: np.ndarray, exif: bytes | None, xmp: bytes | None = None) -> Encoded:
    """Encode uint8 or uint16 as TIFF, since Pillow has no 16-bit RGB and OpenCV no EXIF."""
    notes: tuple[str, ...] = ()
    order: Order = "<"
    tags: dict[int, Entry | Directory] = {}
    if exif:
        try:
            order, tags = photo_tags(exif)
        except ValueError:  # a result is not refused for EXIF, which anything may have written
            notes = ("EXIF left out: it can't be written in a TIFF",)
    height, width, samples = pixels.shape
    rows = max(1, _TIFF_STRIP_BYTES // pixels[:1].nbytes)
    strips = [_tiff_strip(pixels[start : start + rows], order) for start in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    layout = {
        Tag.ImageWidth: (LONG, width),
        Tag.ImageLength: (LONG, height),
        Tag.BitsPerSample: (SHORT, *(8 * pixels.itemsize,) * samples),
        Tag.Compression: (SHORT, _DEFLATE),
        Tag.PhotometricInterpretation: (SHORT, _RGB),
        Tag.StripOffsets: (LONG, *sizes),  # as many numbers; the offsets follow below
        Tag.SamplesPerPixel: (SHORT, samples),
        Tag.RowsPerStrip: (LONG, rows),
        Tag.StripByteCounts: (LONG, *sizes),
        Tag.PlanarConfiguration: (SHORT, _INTERLEAVED),
        Tag.Predictor: (SHORT, _HORIZONTAL_DIFFERENCES),
    }
    tags |= {tag: pack_numbers(order, *values) for tag, values in layout.items()}
    if xmp is not None:
        tags[_XMP] = Entry(BYTE, xmp)
    start = len(write_block(order, tags))
    tags[Tag.StripOffsets] = pack_numbers(order, LONG, *list(accumulate(sizes, initial=start))[:-1])
    return b"".join([write_block(order, tags), *strips]), notes


def _png_chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def _encode_with_pillow(
    pixels: np.ndarray, exif: bytes | None, xmp: bytes | None, name: str, **options: object
) -> bytes:
    """Return the bytes of the file; raise OutputError if the format does not take a picture of that size."""
    stream = io.BytesIO()
    metadata = {key: value for key, value in (("exif", exif), ("xmp", xmp)) if value}
    try:
        Image.fromarray(pixels).save(stream, name, quality=QUALITY, **options, **metadata)
    except (ValueError, OSError) as error:
        height, width = pixels.shape[:2]
        raise OutputError(f"{width}x{height} can't be written as {name}: {error}") from error
    return stream.getvalue()


def _tiff_strip(rows: np.ndarray, order: Order) -> bytes:
    """Return deflated rows: differences of neighbouring pixels, modulo 256 or 65536."""
    differences = rows.astype(rows.dtype.newbyteorder(order))
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.tobytes(), _TIFF_LEVEL)
