"""Check the bytes of an image file before they are decoded: is the file complete?

The decoders accept too much. OpenCV reads most cut JPEG files and fills the rest with gray; Pillow reads a file
without its last bytes. So each file is followed to its end here. Sources: ITU-T T.81 annex B, the WebP container,
TIFF 6.0 section 2. PNG has a module of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# A JPEG marker is any 0xFF pair except a stuffed zero, a fill byte, and the restarts inside a scan.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _TEMPORARY = 0xD8, 0xD9, 0xDA, 0x01
# Progressive files have about ten scans. Thousands of empty ones are an attack on the reader's time.
_MAX_JPEG_SCANS = 100
# Offsets and sizes of the strips, and of the tiles.
_TIFF_DATA_TAGS = ((273, 279), (324, 325))


class BrokenFileError(Exception):
    """The bytes are not a complete picture. The message continues a sentence that opens with the file's name."""


def check_jpeg(data: bytes) -> None:
    """Follow the segments of a JPEG file to its end marker.

    End markers inside a segment, as of an EXIF thumbnail, do not count, so a cut at any byte is detected. What
    follows the end (a second picture, a phone's video) is not checked.

    Raises:
        BrokenFileError: the end marker is missing, or there are too many scans.
    """
    position, scans = 2, 0
    while marker := _JPEG_MARKER.search(data, position):
        kind, position = marker[0][1], marker.end()
        if kind == _END_OF_IMAGE:
            return
        if kind in (_TEMPORARY, _START_OF_IMAGE):
            continue
        if position + 2 > len(data):
            break
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2:
            raise BrokenFileError("is damaged: a JPEG segment has no length")
        position += length
        scans += kind == _START_OF_SCAN
        if scans > _MAX_JPEG_SCANS:
            raise BrokenFileError(f"is refused: it has more than {_MAX_JPEG_SCANS} JPEG scans")
    raise BrokenFileError("is cut short: the end of the JPEG is missing")


def check_webp(data: bytes) -> None:
    """Compare the size of a WebP file with the size in its header; raise BrokenFileError if it is smaller."""
    _check_size(len(data), int.from_bytes(data[4:8], "little") + 8)


def check_bmp(data: bytes) -> None:
    """Compare the size of a BMP file with the size in its header; raise BrokenFileError if it is smaller."""
    _check_size(len(data), int.from_bytes(data[2:6], "little"))


def check_boxes(data: bytes) -> None:
    """Follow the boxes of a HEIF or AVIF file to its end; raise BrokenFileError if one is not complete.

    Source: ISO/IEC 14496-12, section 4.2.
    """
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if size == 1:  # the size follows, in eight bytes
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if size == 0:  # up to the end of the file
            return
        if size < 8:
            raise BrokenFileError("is damaged: a box has no size")
        position += size
    if position > len(data):
        raise BrokenFileError("is cut short: its last box is not complete")


def check_tiff(data: bytes, tags: Mapping[int, object]) -> None:
    """Check that every strip or tile of the first picture of a TIFF file is inside the file.

    Raises:
        BrokenFileError: one is not.
    """
    for offset_tag, size_tag in _TIFF_DATA_TAGS:
        offsets, sizes = tags.get(offset_tag), tags.get(size_tag)
        if isinstance(offsets, tuple) and isinstance(sizes, tuple):
            if any(offset + size > len(data) for offset, size in zip(offsets, sizes, strict=False)):
                raise BrokenFileError("is cut short: a part of the picture is beyond its end")


def _check_size(size: int, stated: int) -> None:
    if stated > size:
        raise BrokenFileError(f"is cut short: its header says {stated} bytes and it has {size}")
