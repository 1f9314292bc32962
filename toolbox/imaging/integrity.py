"""What an image file's bytes say of themselves, before a decoder sees them: format, wholeness, profile.

The decoders are lenient where a restorer must not be: OpenCV takes most cut JPEGs and fills the rest with
gray, Pillow takes one that lacks its last bytes. So each file is walked to its stated end here. Sources: PNG
(third edition) section 5, ITU-T T.81 annex B, the WebP container, TIFF 6.0 section 2.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

# A JPEG marker is any 0xFF pair but a stuffed zero, a fill byte and the restarts inside a scan.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# Progressive files have some ten scans; thousands of empty ones are an attack on the reader's time.
_MOST_SCANS = 100
_MOST_PROFILE_BYTES = 16 << 20
_KNOWN_PNG_PARTS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class BrokenFileError(Exception):
    """Why the bytes can't be a whole picture, as the end of a sentence that opens with the file's name."""


@dataclass(frozen=True, kw_only=True)
class Png:
    """A PNG that holds all its parts.

    Attributes:
        data: the same picture without the parts that no decoder of ours needs (text, gamma, animation).
        depth: bits a sample. color: the header's colour type. See PNG section 11.2.1.
        transparent: the sample values (one, or three) that stand for full transparency.
        icc: the colour profile.
        notes: damaged side information that was left out.
    """

    data: bytes
    depth: int
    color: int
    transparent: tuple[int, ...] | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = field(default=())


def format_of(data: bytes) -> str | None:
    """Return PNG, JPEG, WEBP, TIFF or BMP by the first bytes, None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if data[:2] == b"BM":
        return "BMP"
    return None


def check_jpeg(data: bytes) -> None:
    """Walk a JPEG's segments to its end marker; raises Broken if it isn't there.

    What follows the end (a second picture, a phone's video) is not looked at. End markers inside a segment,
    as of an EXIF thumbnail, don't count, so a cut at any byte is seen.
    """
    position, scans = 2, 0
    while marker := _MARKER.search(data, position):
        kind, position = marker[0][1], marker.end()
        if kind == 0xD9:
            return
        if kind in (0x01, 0xD8):
            continue
        if position + 2 > len(data):
            break
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2:
            raise BrokenFileError("is damaged: a JPEG segment has no length")
        position += length
        scans += kind == 0xDA
        if scans > _MOST_SCANS:
            raise BrokenFileError(f"is refused: it has more than {_MOST_SCANS} JPEG scans")
    raise BrokenFileError("is cut short: the end of the JPEG is missing")


def check_stated_size(kind: str, data: bytes) -> None:
    """Compare a WebP's or BMP's size with the one that it states; raises Broken."""
    stated = int.from_bytes(data[4:8], "little") + 8 if kind == "WEBP" else int.from_bytes(data[2:6], "little")
    if stated > len(data):
        raise BrokenFileError(f"is cut short: it states {stated} bytes and has {len(data)}")


def check_tiff(data: bytes, tags: Mapping[int, object]) -> None:
    """See that every strip or tile of a TIFF's first picture lies inside the file; raises Broken."""
    for offsets, counts in ((273, 279), (324, 325)):
        places, sizes = tags.get(offsets), tags.get(counts)
        if isinstance(places, tuple) and isinstance(sizes, tuple):
            if any(place + size > len(data) for place, size in zip(places, sizes, strict=False)):
                raise BrokenFileError("is cut short: a part of the picture lies beyond its end")


def read_png(data: bytes) -> Png:
    """Walk a PNG's parts to the last and check every sum; raises Broken.

    Side information with a wrong sum is left out with a note; a part of the picture itself never is.
    """
    view = memoryview(data)
    position, header = 8, b""
    kinds: set[bytes] = set()
    side: dict[bytes, memoryview] = {}
    body: list[memoryview] = []
    notes: list[str] = []
    while b"IEND" not in kinds:
        if position + 12 > len(data):
            raise BrokenFileError("is cut short: the end of the PNG is missing")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        shown = repr(kind)[2:-1]
        if end > len(data):
            raise BrokenFileError(f"is cut short: its part '{shown}' is not whole")
        if not header and (kind, length) != (b"IHDR", 13):
            raise BrokenFileError("is damaged: it does not open with a PNG header")
        critical = not kind[0] & 0x20
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            if critical:
                raise BrokenFileError(f"is damaged: its part '{shown}' fails its checksum")
            notes.append(f"damaged PNG part '{shown}' left out")
        elif critical and kind not in _KNOWN_PNG_PARTS:
            raise BrokenFileError(f"needs the PNG extension '{shown}', which is not supported")
        elif kind == b"IHDR":
            header = header or bytes(view[position:end])
            depth, color = header[16], header[17]
            if depth not in _DEPTHS.get(color, ()):
                raise BrokenFileError(f"is damaged: PNG knows no {depth} bits with colour type {color}")
        elif kind == b"IDAT":
            body.append(view[position:end])
        elif kind in (b"PLTE", b"tRNS", b"eXIf", b"iCCP"):
            side.setdefault(kind, view[position:end])
        kinds.add(kind)
        position = end
    if not body:
        raise BrokenFileError("is damaged: it has no picture data")
    # Pillow takes tRNS for palettes only: of shallow gray it would not scale the value, 16-bit it misses.
    wanted = (b"PLTE", b"tRNS", b"eXIf") if color == 3 else (b"PLTE", b"eXIf")
    parts = [side[kind] for kind in wanted if kind in side]
    icc = _profile(bytes(side[b"iCCP"][8:-4])) if b"iCCP" in side else None
    if b"iCCP" in side and icc is None:
        notes.append("unreadable ICC profile ignored")
    key = None
    if b"tRNS" in side and color in (0, 2):
        values = bytes(side[b"tRNS"][8:-4])
        if len(values) == 2 * _SAMPLES[color]:
            key = struct.unpack(f">{_SAMPLES[color]}H", values)
        else:
            notes.append("damaged PNG part 'tRNS' left out")
    return Png(
        data=b"".join([data[:8], header, *parts, *body, struct.pack(">I4sI", 0, b"IEND", 0xAE426082)]),
        depth=depth,
        color=color,
        transparent=key,
        icc=icc,
        notes=tuple(notes),
    )


def check_png_stream(png: Png) -> None:
    """Inflate a PNG's data without keeping it and compare its length with the header's; raises Broken."""
    width, height, depth, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", png.data, 16)
    expected = 0
    for x, y, step_x, step_y in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            expected += rows * (1 + (columns * _SAMPLES[color] * depth + 7) // 8)
    inflater, found, position = zlib.decompressobj(), 0, 8
    while position < len(png.data):
        length, kind = struct.unpack_from(">I4s", png.data, position)
        pending = png.data[position + 8 : position + 8 + length] if kind == b"IDAT" else b""
        while pending and not inflater.eof:
            found += len(inflater.decompress(pending, 1 << 20))
            pending = inflater.unconsumed_tail
            if found > expected:
                raise BrokenFileError("is damaged: it holds more picture data than its size allows")
        position += 12 + length
    if not inflater.eof or found < expected:
        raise BrokenFileError("is damaged: its picture data end too early")


def _profile(content: bytes) -> bytes | None:
    name, _, rest = content.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], _MOST_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if name and inflater.eof else None
