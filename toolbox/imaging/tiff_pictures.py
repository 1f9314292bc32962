"""Find the full picture of a TIFF file: not its thumbnail, a reduced copy or a mask.

Source: TIFF 6.0, sections 2 and 8 (NewSubfileType, SubfileType); BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL.ExifTags import Base as Tag

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_REDUCED_IMAGE = 2  # a value of SubfileType
_MAX_PICTURES = 1000


def full_picture_first(data: bytes) -> tuple[bytes, bool]:
    """Return a TIFF file that begins with its first full picture, and whether it has more than one of them.

    If all pictures are marked as reduced, the largest is taken. A file that can't be followed is returned unchanged.
    """
    try:
        pictures = list(_pictures(data))
    except struct.error:
        return data, False
    full = [offset for offset, is_full, _ in pictures if is_full]
    if not full:
        full = [offset for offset, _, _ in sorted(pictures, key=lambda picture: -picture[2])[:1]]
    if not full or full[0] == pictures[0][0]:
        return data, len(full) > 1
    order, is_big = _layout(data)
    pointer = struct.pack(f"{order}{'Q' if is_big else 'I'}", full[0])
    start = 8 if is_big else 4
    return data[:start] + pointer + data[start + len(pointer) :], len(full) > 1


def _layout(data: bytes) -> tuple[str, bool]:
    """Return the byte order of a TIFF file for `struct`, and whether it is a BigTIFF, which counts in 64 bits."""
    return ("<" if data[:2] == b"II" else ">"), b"+" in data[2:4]


def _pictures(data: bytes) -> Iterator[tuple[int, bool, int]]:
    """Yield the offset of each directory, whether it describes a full picture, and its number of pixels."""
    order, is_big = _layout(data)
    count_format, entry_size, pointer_format, value = ("Q", 20, "Q", 12) if is_big else ("H", 12, "I", 8)
    (offset,) = struct.unpack_from(order + pointer_format, data, 8 if is_big else 4)
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < _MAX_PICTURES:
        seen.add(offset)
        (count,) = struct.unpack_from(order + count_format, data, offset)
        first = offset + struct.calcsize(count_format)
        is_full, pixels = True, 1
        for index in range(min(count, 4096)):
            entry = first + index * entry_size
            tag, kind = struct.unpack_from(f"{order}HH", data, entry)
            if tag not in (Tag.NewSubfileType, Tag.SubfileType, Tag.ImageWidth, Tag.ImageLength):
                continue
            (number,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), data, entry + value)
            if tag in (Tag.ImageWidth, Tag.ImageLength):
                pixels *= number
            else:
                is_reduced = number & (_REDUCED | _MASK) if tag == Tag.NewSubfileType else number == _REDUCED_IMAGE
                is_full = is_full and not is_reduced
        yield offset, is_full, pixels
        (offset,) = struct.unpack_from(order + pointer_format, data, first + count * entry_size)
