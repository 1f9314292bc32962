"""Find the full picture of a TIFF file: not its thumbnail, a reduced copy or a mask.

Source: TIFF 6.0, sections 2 and 8 (NewSubfileType, SubfileType); BigTIFF; Adobe PageMaker 6.0 TIFF technical notes
(SubIFDs).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from PIL.ExifTags import Base as Tag

from toolbox.imaging.tiff_open import open_tiff
from toolbox.utils.limits import MAX_PIXELS

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_REDUCED_IMAGE = 2  # a value of SubfileType
_MAX_PICTURES = 1000
# A page without a mark is a thumbnail of the next one if that is at least so many times as large at both sides, and the
# two, reduced to at most this side in pixels, correlate at least so.
_TIMES_LARGER, _COMPARED_SIDE, _SAME_CONTENT = 2, 32, 0.95
_OFFSETS = {4: "I", 13: "I", 16: "Q", 18: "Q"}  # types of the offsets of further directories


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """A directory of a TIFF file.

    Attributes:
        offset: where it is.
        is_full: whether it describes a full picture, not a reduced one or a mask.
        width, height: in pixels.
        sub_offsets: the directories below it.
        next_offset: the next directory beside it; 0: there is none.
    """

    offset: int
    is_full: bool
    width: int
    height: int
    sub_offsets: tuple[int, ...]
    next_offset: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


def full_picture_first(data: bytes) -> tuple[bytes, bool]:
    """Return a TIFF file that begins with its first full picture, and whether it has more than one of them.

    A full picture in a directory below counts if it is larger, as in a DNG, whose first picture is a thumbnail. If all
    pictures are marked as reduced, the largest is taken. A first picture that is not marked and shows the next one at
    half its size or less is a thumbnail. A file that can't be followed is returned unchanged.
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
    while len(full) > 1 and _is_thumbnail(data, full[0], full[1]):
        full = full[1:]
    first = full[0] if full else max(pages, key=lambda page: page.pixels)
    largest = max((picture for picture in below if picture.is_full), key=lambda picture: picture.pixels, default=first)
    if not full or largest.pixels > first.pixels:
        first = largest
    if first.offset == pages[0].offset:
        return data, len(full) > 1
    return _starting_with(data, first), len(full) > 1


def _starting_with(data: bytes, picture: _Picture) -> bytes:
    """Return a TIFF file that begins with this picture of it."""
    order, is_big = _layout(data)
    pointer = struct.pack(f"{order}{'Q' if is_big else 'I'}", picture.offset)
    start = 8 if is_big else 4
    return data[:start] + pointer + data[start + len(pointer) :]


def _is_thumbnail(data: bytes, small: _Picture, large: _Picture) -> bool:
    """Return whether a picture shows another one in small: the same proportions, but for rounding, and content."""
    if any(_TIMES_LARGER * (a - 1) >= b for a, b in ((small.width, large.width), (small.height, large.height))):
        return False
    difference = abs(small.width * large.height - small.height * large.width)
    if difference > max(large.width, large.height) or large.pixels > MAX_PIXELS:
        return False
    size = (min(small.width, _COMPARED_SIDE), min(small.height, _COMPARED_SIDE))
    try:
        a, b = _reduced(data, small, size), _reduced(data, large, size)
    except Exception:  # the decoders raise almost any type on a hostile file
        return False
    return bool(a.std() and b.std() and np.corrcoef(a.ravel(), b.ravel())[0, 1] >= _SAME_CONTENT)


def _reduced(data: bytes, picture: _Picture, size: tuple[int, int]) -> np.ndarray:
    """Return a picture in gray, float32 in the levels of its samples, reduced to a size (width, height)."""
    image = open_tiff(io.BytesIO(_starting_with(data, picture)))
    image.load()
    pixels = np.asarray(image if image.mode[0] in "IF" else image.convert("L"), np.float32)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


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
    is_full, sides, sub_offsets = True, {Tag.ImageWidth: 1, Tag.ImageLength: 1}, ()
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
        if tag in sides:
            sides[tag] = number
        else:
            is_reduced = number & (_REDUCED | _MASK) if tag == Tag.NewSubfileType else number == _REDUCED_IMAGE
            is_full = is_full and not is_reduced
    (next_offset,) = struct.unpack_from(order + pointer_format, data, first + count * entry_size)
    return _Picture(
        offset=offset,
        is_full=is_full,
        width=sides[Tag.ImageWidth],
        height=sides[Tag.ImageLength],
        sub_offsets=tuple(sub_offsets),
        next_offset=next_offset,
    )
