"""Restored pictures to the bytes of a file, in the format, depth and with the EXIF of the photograph that they were."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from toolbox.errors import OutputError
from toolbox.imaging import decode
from toolbox.imaging.io import eight_bits, encode_png

# What a file of each ending is written as.
KINDS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
LOSSY = ("JPEG", "WEBP")

# JPEG and WebP at a quality where no further loss is seen, JPEG's colours at full resolution.
QUALITY = 95
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": QUALITY, "subsampling": 0},
    "WEBP": {"quality": QUALITY, "method": 4},
}

# A JPEG segment's length is told in two bytes, which count themselves.
_MOST_JPEG_EXIF = 65533
_TIFF_LEVEL = 3
_STRIP_BYTES = 1 << 20
# TIFF 6.0, sections 8 and 14, and Adobe's Photoshop TIFF technical notes for Deflate.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANES, _PREDICTOR = 273, 277, 278, 279, 284, 317
_DEFLATE, _RGB, _INTERLEAVED, _DIFFERENCES = 8, 2, 1, 2


def encode(pixels: np.ndarray, kind: str, exif: bytes | None = None) -> tuple[bytes, tuple[str, ...]]:
    """Encode (H, W, 3) RGB, uint8 or uint16; the same picture gives the same bytes.

    Args:
        pixels: the picture.
        kind: PNG, TIFF, JPEG or WEBP; the last two hold 8 bits.
        exif: as in `toolbox.imaging.io.Photo`.

    Returns:
        The file's bytes, and what could not be kept, a line each.

    Raises:
        OutputError: the format does not take a picture of that size.
    """
    if kind == "PNG":
        return encode_png(pixels, exif=exif), ()
    if kind == "TIFF":
        return _tiff(pixels, exif)
    notes = []
    if pixels.dtype == np.uint16:
        pixels = eight_bits(pixels)
        notes.append(f"16 bits became 8: {kind} has no more")
    options = dict(OPTIONS[kind])
    if exif and kind == "JPEG" and len(exif) > _MOST_JPEG_EXIF:
        notes.append("EXIF left out: it is longer than a JPEG can hold")
    elif exif:
        options["exif"] = exif
    stream = io.BytesIO()
    try:
        Image.fromarray(pixels).save(stream, kind, **options)
    except (ValueError, OSError) as error:
        height, width = pixels.shape[:2]
        raise OutputError(f"{width}x{height} can't be written as {kind}: {error}") from error
    return stream.getvalue(), tuple(notes)


def _tiff(pixels: np.ndarray, exif: bytes | None) -> tuple[bytes, tuple[str, ...]]:
    """Encode as TIFF by our own hand: Pillow knows no 16-bit RGB, and OpenCV no EXIF."""
    height, width, samples = pixels.shape
    rows = max(1, _STRIP_BYTES // pixels[:1].nbytes)
    strips = [_strip(pixels[start : start + rows]) for start in range(0, height, rows)]
    sizes = tuple(len(strip) for strip in strips)
    layout: dict[int, Any] = {
        _WIDTH: width,
        _HEIGHT: height,
        _BITS: (8 * pixels.itemsize,) * samples,
        _COMPRESSION: _DEFLATE,
        _PHOTOMETRIC: _RGB,
        # From the end of the directory on, to which Pillow moves them.
        _OFFSETS: tuple(int(place) for place in np.cumsum((0, *sizes[:-1]))),
        _SAMPLES: samples,
        _ROWS: rows,
        _COUNTS: sizes,
        _PLANES: _INTERLEAVED,
        _PREDICTOR: _DIFFERENCES,
    }
    notes: tuple[str, ...] = ()
    try:
        head = _directory(layout, exif)
    except Exception:  # EXIF comes from anywhere; a result isn't refused for it
        head, notes = _directory(layout, None), ("EXIF left out: it can't be written in a TIFF",)
    return b"".join([head, *strips]), notes


def _strip(rows: np.ndarray) -> bytes:
    """Deflate the differences of neighbours along each row, modulo 256 or 65536."""
    apart = rows.astype(rows.dtype.newbyteorder("<"))
    apart[:, 1:] -= rows[:, :-1]
    return zlib.compress(apart.tobytes(), _TIFF_LEVEL)


def _directory(layout: dict[int, Any], exif: bytes | None) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    if exif:
        given = Image.Exif()
        given.load(exif)
        # What another file's EXIF says of that file's layout would be taken for this one's.
        for tag in set(given) & decode._PHOTO_TAGS:
            inner = tag in (34665, 34853)
            read = decode.as_read
            directory[tag] = {k: read(v) for k, v in given.get_ifd(tag).items()} if inner else read(given[tag])
    for tag, value in layout.items():
        directory[tag] = value
        if tag in (_OFFSETS, _COUNTS):
            directory.tagtype[tag] = 4  # 32 bits, whatever the first values need
    stream = io.BytesIO()
    directory.save(stream)
    return stream.getvalue()
