"""PNG files: check every chunk, and keep only the chunks that the decoders here need.

Source: PNG (third edition), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from toolbox.imaging.integrity import BrokenFileError
from toolbox.imaging.png_color import COLOR_CHUNKS, profile_of_chunks

NOT_SQUARE = "shape of the pixels, which are not square, left out"
_MAX_PROFILE_BYTES = 16 << 20
_CRITICAL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_SIDE_CHUNKS = (b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"cICP", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"acTL")
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_MAX_TEXT_BYTES = 4 << 20
# Colour types: 0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGB with alpha.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True, kw_only=True)
class Png:
    """A PNG file that is complete.

    Attributes:
        data: the same picture without the chunks that no decoder here needs (text, colours, animation).
        depth: bits per sample.
        color: the colour type of the header, see section 11.2.1.
        transparent: the sample values (one, or three) that mean full transparency.
        icc: the ICC profile, or one that is made from the other chunks on colour.
        states_color: whether a chunk says what the colours mean, be it sRGB.
        text: the text of each keyword.
        resolution: pixels per metre, horizontally and vertically.
        is_animated: whether there are more pictures than the first.
        notes: which damaged side information was left out.
    """

    data: bytes
    depth: int
    color: int
    transparent: tuple[int, ...] | None = None
    icc: bytes | None = None
    states_color: bool = False
    text: dict[str, bytes] = field(default_factory=dict)
    resolution: tuple[int, int] | None = None
    is_animated: bool = False
    notes: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Chunks:
    """The chunks of a file, each with its length, name and checksum."""

    header: bytes = b""
    side: dict[bytes, bytes] = field(default_factory=dict)
    text: dict[str, bytes] = field(default_factory=dict)
    body: list[memoryview] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_png(data: bytes) -> Png:
    """Walk through the chunks of a PNG file and check each of them.

    A damaged chunk of side information is left out with a note.

    Raises:
        BrokenFileError: the file is cut short, a chunk of the picture is damaged, or it needs an unknown extension.
    """
    chunks = _read_chunks(data)
    if not chunks.body:
        raise BrokenFileError("is damaged: it has no picture data")
    depth, color = chunks.header[16], chunks.header[17]
    side, notes = chunks.side, chunks.notes
    icc = _inflate_profile(side[b"iCCP"][8:-4]) if b"iCCP" in side else None
    if b"iCCP" in side and icc is None:
        notes.append("unreadable ICC profile ignored")
        del side[b"iCCP"]
    contents = {kind: chunk[8:-4] for kind, chunk in side.items()}
    stated, color_notes = profile_of_chunks(contents, is_gray=color in (0, 4))
    notes += color_notes
    if b"cICP" in side:  # it has priority over a profile
        icc = stated if stated or not color_notes else icc
    elif icc is None:
        icc = stated
    transparent = None
    if b"tRNS" in side and color in (0, 2):
        values = side[b"tRNS"][8:-4]
        if len(values) == 2 * _SAMPLES[color]:
            transparent = struct.unpack(f">{_SAMPLES[color]}H", values)
        else:
            notes.append("damaged PNG chunk 'tRNS' left out")
    physical = contents.get(b"pHYs", b"")
    if len(physical) == 9 and physical[8] == 0 and physical[:4] != physical[4:8]:
        notes.append(NOT_SQUARE)
    # Pillow may see tRNS of palettes only: it does not scale the value of shallow gray, and it misses 16-bit ones.
    passed_on = (b"PLTE", b"tRNS", b"eXIf") if color == 3 else (b"PLTE", b"eXIf")
    return Png(
        data=b"".join(
            [
                data[:8],
                chunks.header,
                *(side[kind] for kind in passed_on if kind in side),
                *chunks.body,
                struct.pack(">I4sI", 0, b"IEND", 0xAE426082),
            ]
        ),
        depth=depth,
        color=color,
        transparent=transparent,
        icc=icc,
        states_color=bool(COLOR_CHUNKS & contents.keys()),
        text=chunks.text,
        resolution=_resolution(physical),
        is_animated=int.from_bytes(contents.get(b"acTL", b"")[:4], "big") > 1,
        notes=tuple(notes),
    )


def check_stream(png: Png) -> None:
    """Inflate the picture data without storing it, and compare its length with the header.

    Raises:
        BrokenFileError: there is more or less picture data than the size asks for.
    """
    expected = _raw_size(png)
    inflater, size = zlib.decompressobj(), 0
    for kind, start, end in _chunk_ranges(png.data):
        pending = png.data[start + 8 : end - 4] if kind == b"IDAT" else b""
        while pending and not inflater.eof:
            size += len(inflater.decompress(pending, 1 << 20))
            pending = inflater.unconsumed_tail
            if size > expected:
                raise BrokenFileError("is damaged: it holds more picture data than its size allows")
    if not inflater.eof or size < expected:
        raise BrokenFileError("is damaged: its picture data end too early")


def _read_chunks(data: bytes) -> _Chunks:
    chunks = _Chunks()
    view = memoryview(data)
    for kind, start, end in _chunk_ranges(data):
        if not chunks.header and (kind, end - start) != (b"IHDR", 25):
            raise BrokenFileError("is damaged: it does not begin with a PNG header")
        name = repr(kind)[2:-1]
        is_critical = not kind[0] & 0x20
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            if is_critical:
                raise BrokenFileError(f"is damaged: its chunk '{name}' fails its checksum")
            chunks.notes.append(f"damaged PNG chunk '{name}' left out")
        elif is_critical and kind not in _CRITICAL_CHUNKS:
            raise BrokenFileError(f"needs the PNG extension '{name}', which is not supported")
        elif kind == b"IHDR" and not chunks.header:
            chunks.header = bytes(view[start:end])
            _check_depth(depth=chunks.header[16], color=chunks.header[17])
        elif kind == b"IDAT":
            chunks.body.append(view[start:end])
        elif kind in _SIDE_CHUNKS:
            chunks.side.setdefault(kind, bytes(view[start:end]))
        elif kind in _TEXT_CHUNKS:
            keyword, text = _read_text(kind, bytes(view[start + 8 : end - 4]))
            chunks.text.setdefault(keyword, text)
    return chunks


def _chunk_ranges(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the start and the end of each chunk up to IEND."""
    kind, start = b"", 8
    while kind != b"IEND":
        if start + 12 > len(data):
            raise BrokenFileError("is cut short: the end of the PNG is missing")
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            raise BrokenFileError(f"is cut short: its chunk '{repr(kind)[2:-1]}' is not complete")
        yield kind, start, end
        start = end


def _check_depth(*, depth: int, color: int) -> None:
    if depth not in _DEPTHS.get(color, ()):
        raise BrokenFileError(f"is damaged: PNG has no {depth} bits with colour type {color}")


def _raw_size(png: Png) -> int:
    """Return the number of bytes of the inflated picture data: each row with its filter byte, each Adam7 pass."""
    width, height, depth, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", png.data, 16)
    size = 0
    for x, y, step_x, step_y in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            size += rows * (1 + (columns * _SAMPLES[color] * depth + 7) // 8)
    return size


def _resolution(content: bytes) -> tuple[int, int] | None:
    """Return pixels per metre of a chunk pHYs; None if it has only the shape of the pixels."""
    if len(content) != 9 or content[8] != 1:
        return None
    horizontal, vertical = struct.unpack_from(">II", content)
    return (horizontal, vertical) if horizontal and vertical else None


def _read_text(kind: bytes, content: bytes) -> tuple[str, bytes]:
    """Return the keyword and the text of a text chunk; an unreadable text is empty."""
    keyword, _, rest = content.partition(b"\0")
    is_compressed = kind == b"zTXt"
    if kind == b"iTXt":
        is_compressed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif is_compressed:
        rest = rest[1:]
    if is_compressed:
        try:
            rest = zlib.decompressobj().decompress(rest, _MAX_TEXT_BYTES)
        except zlib.error:
            rest = b""
    return keyword.decode("latin-1"), rest


def _inflate_profile(content: bytes) -> bytes | None:
    name, _, rest = content.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if name and inflater.eof else None
