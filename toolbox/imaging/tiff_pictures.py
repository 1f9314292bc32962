"""Find the full picture of a TIFF file: not its thumbnail, a reduced copy or a mask.

Source: TIFF 6.0, sections 2 and 8 (NewSubfileType, SubfileType); BigTIFF; Adobe PageMaker 6.0 TIFF technical notes
(SubIFDs).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from PIL.ExifTags import Base as Tag

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_REDUCED_IMAGE = 2  # a value of SubfileType
_MAX_PICTURES = 1000
_OFFSETS = {4: "I", 13: "I", 16: "Q", 18: "Q"}  # types of the offsets of further directories


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """A directory of a TIFF file.

    Attributes:
        offset: where it is.
        is_full: whether it describes a full picture, not a reduced one or a mask.
        pixels: width times height.
        sub_offsets: the directories below it.
        next_offset: the next directory beside it; 0: there is none.
    """

    offset: int
    is_full: bool
    pixels: int
    sub_offsets: tuple[int, ...]
    next_offset: int


def full_picture_first(data: bytes) -> tuple[bytes, bool]:
    """Return a TIFF file that begins with its first full picture, and whether it has more than one of them.

    A full picture in a directory below counts if it is larger, as in a DNG, whose first picture is a thumbnail. If all
    pictures are marked as reduced, the largest is taken. A file that can't be followed is returned unchanged.
    """
    try:
        pages = list(_pages(data))
        offsets = dict.fromkeys(offset for page in pages for offset in page.sub_offsets)
        below = [_read_picture(data, offset) for offset in islice(offsets, _MAX_PICTURES)]
    except struct.error:
        return data, False
    if not pages:
        return data, False
    full = [page for page in pages if page.is_full]
    first = full[0] if full else max(pages, key=lambda page: page.pixels)
    largest = max((picture for picture in below if picture.is_full), key=lambda picture: picture.pixels, default=first)
    if not full or largest.pixels > first.pixels:
        first = largest
    if first.offset == pages[0].offset:
        return data, len(full) > 1
    order, is_big = _layout(data)
    pointer = struct.pack(f"{order}{'Q' if is_big else 'I'}", first.offset)
    start = 8 if is_big else 4
    return data[:start] + pointer + data[start + len(pointer) :], len(full) > 1


def _layout(data: bytes) -> tuple[str, bool]:
    """Return the byte order of a TIFF file for `struct`, and whether it is a BigTIFF, which counts in 64 bits."""
    return ("<" if data[:2] == b"II" else ">"), b"+" in data[2:4]


def _pages(data: bytes) -> Iterator[_Picture]:
    """Yield the directories of a TIFF file that follow each other; raise struct.error if one can't be read."""
    order, is_big = _layout(data)
    (offset,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < _MAX_PICTURES:
        seen.add(offset)
        page = _read_picture(data, offset)
        yield page
        offset = page.next_offset


def _read_picture(data: bytes, offset: int) -> _Picture:
    """Read the directory at an offset; raise struct.error if it can't be read."""
    order, is_big = _layout(data)
    count_format, entry_size, pointer_format, value = ("Q", 20, "Q", 12) if is_big else ("H", 12, "I", 8)
    (count,) = struct.unpack_from(order + count_format, data, offset)
    first = offset + struct.calcsize(count_format)
    is_full, pixels, sub_offsets = True, 1, ()
    for index in range(min(count, 4096)):
        entry = first + index * entry_size
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag == Tag.SubIFDs and kind in _OFFSETS:
            (number,) = struct.unpack_from(order + pointer_format, data, entry + 4)
            offsets = f"{order}{min(number, _MAX_PICTURES)}{_OFFSETS[kind]}"
            start = entry + value
            if struct.calcsize(offsets) > struct.calcsize(pointer_format):
                (start,) = struct.unpack_from(order + pointer_format, data, start)
            sub_offsets = struct.unpack_from(offsets, data, start)
        if tag not in (Tag.NewSubfileType, Tag.SubfileType, Tag.ImageWidth, Tag.ImageLength):
            continue
        (number,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), data, entry + value)
        if tag in (Tag.ImageWidth, Tag.ImageLength):
            pixels *= number
        else:
            is_reduced = number & (_REDUCED | _MASK) if tag == Tag.NewSubfileType else number == _REDUCED_IMAGE
            is_full = is_full and not is_reduced
    (next_offset,) = struct.unpack_from(order + pointer_format, data, first + count * entry_size)
    return _Picture(
        offset=offset, is_full=is_full, pixels=pixels, sub_offsets=tuple(sub_offsets), next_offset=next_offset
    )
