"""Check the bytes of an image file before they are decoded: is the file complete?

The decoders accept too much. OpenCV reads most cut JPEG files and fills the rest with gray; Pillow reads a file
without its last bytes. So each file is read to its end here. Sources: ITU-T T.81 annex B, the WebP container,
TIFF 6.0 section 2. PNG has a module of its own.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from PIL.ExifTags import Base as Tag

# A JPEG marker is any 0xFF pair except a stuffed zero, a fill byte, and the restarts inside a scan.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _TEMPORARY = 0xD8, 0xD9, 0xDA, 0x01
# Frames: baseline, extended, progressive, and their arithmetic coding.
_FRAMES, _PROGRESSIVE_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}, {0xC2, 0xCA}
# Progressive files have about ten scans. Thousands of empty ones would take a reader very long: an attack.
_MAX_JPEG_SCANS = 100
# Values of SampleFormat: signed; complex, signed or floating-point.
_SIGNED_OR_COMPLEX = {2, 5, 6}
# Offsets and sizes of the strips, and of the tiles.
_TIFF_DATA_TAGS = ((Tag.StripOffsets, Tag.StripByteCounts), (Tag.TileOffsets, Tag.TileByteCounts))
# Values of the field biCompression: none, and bit masks of the channels.
_BMP_UNCOMPRESSED = (0, 3, 6)


class BrokenFileError(Exception):
    """The bytes are not a complete picture. The message continues a sentence that begins with the file's name."""


class CutJpegError(BrokenFileError):
    """A JPEG file has no end marker."""


@dataclass(frozen=True, kw_only=True)
class JpegScan:
    """A scan of a JPEG file: a pass over the picture.

    Attributes:
        components: the channels in it.
        all_components: the channels of the picture.
        is_progressive: whether other scans refine it.
        first, last: the coefficients in it.
        high_bit, low_bit: the bit of the coefficients that the scan before ended with (0: there is none), and this one.
    """

    components: tuple[int, ...]
    all_components: tuple[int, ...]
    is_progressive: bool
    first: int
    last: int
    high_bit: int
    low_bit: int


def check_jpeg(data: bytes) -> None:
    """Follow the segments of a JPEG file to its end marker.

    End markers inside a segment, such as those of an EXIF thumbnail, do not count, so a cut at any byte is detected.
    What follows the end (a second picture, a phone's video) is not checked.

    Raises:
        CutJpegError: the end marker is missing.
        BrokenFileError: there are too many scans, or a segment is damaged.
    """
    scans = 0
    for kind, _ in _jpeg_segments(data):
        scans += kind == _START_OF_SCAN
        if scans > _MAX_JPEG_SCANS:
            raise BrokenFileError(f"is refused: it has more than {_MAX_JPEG_SCANS} JPEG scans")


def jpeg_scans(data: bytes) -> list[JpegScan]:
    """Return the scans of a JPEG file, up to its end or where it is cut; a scan whose header is cut does not count."""
    scans: list[JpegScan] = []
    components: tuple[int, ...] = ()
    is_progressive = False
    with contextlib.suppress(BrokenFileError):
        for kind, body in _jpeg_segments(data):
            if kind in _FRAMES and len(body) > 5:
                components, is_progressive = tuple(body[6::3][: body[5]]), kind in _PROGRESSIVE_FRAMES
            elif kind == _START_OF_SCAN and body and len(body) >= 4 + 2 * body[0]:
                end = 1 + 2 * body[0]
                first, last, bits = body[end : end + 3]
                scans.append(
                    JpegScan(
                        components=tuple(body[1:end:2]),
                        all_components=components,
                        is_progressive=is_progressive,
                        first=first,
                        last=last,
                        high_bit=bits >> 4,
                        low_bit=bits & 15,
                    )
                )
    return scans


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the body of each segment of a JPEG file; errors as `check_jpeg`."""
    position = 2
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
        if position + length <= len(data):
            yield kind, data[position + 2 : position + length]
        position += length
    raise CutJpegError(
        "is cut short: the end of the JPEG is missing. If a viewer shows the whole picture, save it again from there"
    )


def check_webp(data: bytes) -> None:
    """Follow the chunks of a WebP file to its end; raise BrokenFileError if one is not complete.

    The byte that pads the last chunk to an even length may be missing.
    """
    stated, end = int.from_bytes(data[4:8], "little") + 8, 12
    while end + end % 2 + 8 <= min(stated, len(data)):
        start = end + end % 2
        end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
    if end > len(data) or stated > len(data) + end % 2:
        raise BrokenFileError(f"is cut short: its header says {max(stated, end)} bytes and it has {len(data)}")


def check_bmp(data: bytes) -> None:
    """Check that all rows of a BMP file are there; raise BrokenFileError if they are not.

    The size of the file in its header is wrong in many files, so it does not count.
    """
    start, header = (int.from_bytes(data[position : position + 4], "little") for position in (10, 14))
    if header == 12:  # OS/2
        width, height, bits = (int.from_bytes(data[position : position + 2], "little") for position in (18, 20, 24))
        compression = size = 0
    else:
        width, height = (int.from_bytes(data[p : p + 4], "little", signed=True) for p in (18, 22))
        bits = int.from_bytes(data[28:30], "little")
        compression, size = (int.from_bytes(data[p : p + 4], "little") for p in (30, 34))
    if compression in _BMP_UNCOMPRESSED:
        size = abs(height) * (-(-abs(width) * bits // 32) * 4)
    if start + size > len(data):
        raise BrokenFileError(f"is cut short: its rows end at byte {start + size} and it has {len(data)}")


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
        BrokenFileError: one is not, or the samples are of a kind that is not supported.
    """
    formats = tags.get(Tag.SampleFormat)
    if isinstance(formats, tuple) and set(formats) & _SIGNED_OR_COMPLEX:
        raise BrokenFileError(
            "has signed or complex samples, which are not supported: save it with 8 or 16 bits, unsigned"
        )
    for offset_tag, size_tag in _TIFF_DATA_TAGS:
        offsets, sizes = tags.get(offset_tag), tags.get(size_tag)
        if isinstance(offsets, tuple) and isinstance(sizes, tuple):
            sizes = _needed_sizes(sizes, tags) if offset_tag == Tag.StripOffsets else sizes
            if any(offset + size > len(data) for offset, size in zip(offsets, sizes, strict=False)):
                raise BrokenFileError("is cut short: a part of the picture is beyond its end")


def _needed_sizes(sizes: tuple[int, ...], tags: Mapping[int, object]) -> tuple[int, ...]:
    """Return the sizes of strips; some programs state more for the last uncompressed one than its rows have."""
    width, height, rows = (tags.get(tag) for tag in (Tag.ImageWidth, Tag.ImageLength, Tag.RowsPerStrip))
    samples, bits = tags.get(Tag.SamplesPerPixel, 1), tags.get(Tag.BitsPerSample, (1,))
    compression = tags.get(Tag.Compression, 1)
    numbers = (width, height, samples)
    if compression != 1 or not all(isinstance(n, int) for n in numbers) or not isinstance(bits, tuple):
        return sizes
    planes = samples if tags.get(Tag.PlanarConfiguration, 1) == 2 else 1
    if planes != 1 or not sizes or not isinstance(rows, int):
        return sizes
    last = height - rows * (len(sizes) - 1)  # type: ignore[operator]
    needed = last * -(-width * samples * max(bits) // 8)  # type: ignore[operator]
    return (*sizes[:-1], min(sizes[-1], needed)) if needed > 0 else sizes
