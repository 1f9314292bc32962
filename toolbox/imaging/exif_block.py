"""Directories of EXIF and of TIFF files as raw bytes: read, and written in the same byte order with the same types.

What depends on the byte order, such as a comment in UTF-16, stays readable so. Source: TIFF 6.0, section 2; BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

# Types of values; whole numbers with their format for `struct`.
BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_IN_BIGTIFF_ONLY = {16, 17, 18}
_MAKER_NOTE = 0x927C
_HEADER_BYTES = 8
_MAX_ENTRIES = 4096
_PREFIX = b"Exif\0\0"  # twice in the files of some programs


@dataclass(frozen=True)
class Entry:
    """The value of a tag.

    Attributes:
        kind: the type, as TIFF numbers it.
        data: the value, in the byte order of its block.
        place: where it has to be in a block; None: anywhere. Offsets in the MakerNote of many cameras count from the
            beginning of the block.
    """

    kind: int
    data: bytes
    place: int | None = None

    @property
    def text(self) -> str:
        """The value as text, without zeros behind it."""
        return self.data.rstrip(b"\0").decode("latin-1")


Order: TypeAlias = Literal["<", ">"]
Directory: TypeAlias = Mapping[int, "Entry | Directory"]


class Block:
    """The bytes of EXIF, with or without ``Exif`` before them, or of a TIFF file.

    Attributes:
        order: the byte order, as in `struct`.
        first: the first directory.

    Raises:
        ValueError: it is neither.
    """

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data.removeprefix(_PREFIX).removeprefix(_PREFIX))
        mark, version = bytes(self._data[:2]), bytes(self._data[2:4])
        if mark not in (b"II", b"MM") or not {42, 43} & set(version):
            raise ValueError("no header of a TIFF")
        self.order: Order = "<" if mark == b"II" else ">"
        self._is_big = 43 in version
        pointer, start = ("Q", 8) if self._is_big else ("I", 4)
        (offset,) = self._unpack(pointer, start) or (0,)
        self.first = self._read(offset)

    def directory(self, entry: Entry | None) -> dict[int, Entry]:
        """Return the directory that an entry points to; an empty one if there is none."""
        offset = self.number(entry)
        return {} if offset is None else self._read(offset)

    def number(self, entry: Entry | None) -> int | None:
        """Return the first number of an entry; None if it has none."""
        kind = _NUMBERS.get(entry.kind) if entry else None
        return None if kind is None else int(struct.unpack_from(self.order + kind, entry.data)[0])  # type: ignore[union-attr]

    def _unpack(self, form: str, offset: int) -> tuple[int, ...] | None:
        try:
            return struct.unpack_from(self.order + form, self._data, offset)
        except (struct.error, OverflowError):
            return None

    def _read(self, offset: int) -> dict[int, Entry]:
        """Return the entries of a directory that can be read; of two with the same tag, the first."""
        count_form, form, pointer = ("Q", "HHQ", "Q") if self._is_big else ("H", "HHI", "I")
        width = struct.calcsize(pointer)
        (count,) = self._unpack(count_form, offset) or (0,)
        position, found, left = offset + struct.calcsize(count_form), dict[int, Entry](), len(self._data)
        for _ in range(min(count, _MAX_ENTRIES)):
            head = self._unpack(form, position)
            if head is None:
                break
            tag, kind, number = head
            start, size = position + 4 + width, _SIZES.get(kind, 0) * number
            position = start + width
            if size > width:
                (start,) = self._unpack(pointer, start) or (0,)
            # All values together are not longer than the block: many could be the same bytes.
            if tag in found or not 0 < size <= min(left, len(self._data) - start):
                continue
            left -= size
            place = start if tag == _MAKER_NOTE and size > width else None
            found[tag] = Entry(kind, bytes(self._data[start : start + size]), place)
        return found


def pack_numbers(order: Order, kind: int, *values: int) -> Entry:
    """Return an entry of whole numbers of the kind BYTE, SHORT or LONG, or of a RATIONAL, which has two of them."""
    return Entry(kind, struct.pack(f"{order}{len(values)}{_NUMBERS.get(kind, 'I')}", *values))


def write_block(order: Order, first: Directory) -> bytes:
    """Return a block with these directories, which begins with the header of a TIFF and has an even length.

    Types that only a BigTIFF has are left out.

    Args:
        order: the byte order of the values.
        first: the first directory; a mapping in it is a directory below it.
    """
    writer = _Writer(order, _fixed(first))
    header = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, writer.add(first))
    end = max(offset + len(data) for offset, data in writer.parts)
    block = bytearray(end + end % 2)
    for offset, data in ((0, header), *writer.parts):
        block[offset : offset + len(data)] = data
    return bytes(block)


def can_stay(entry: Entry, limit: int) -> bool:
    """Return whether a value can be written at its place into a block of at most `limit` bytes."""
    return entry.place is None or _HEADER_BYTES <= entry.place <= limit - len(entry.data)


def _fixed(directory: Directory) -> Entry | None:
    """Return the first value that has to stay at its place, also in a directory below."""
    for value in directory.values():
        found = _fixed(value) if not isinstance(value, Entry) else value if value.place is not None else None
        if found is not None:
            return found
    return None


class _Writer:
    """Places directories and values in a block, around the value that has to stay at its place.

    Attributes:
        parts: offset and bytes of each.
    """

    def __init__(self, order: Order, fixed: Entry | None) -> None:
        self._order, self._fixed, self._end = order, fixed, _HEADER_BYTES
        # Where that value begins; nothing is placed across it.
        self._barrier = fixed.place if fixed else None
        self.parts = [(fixed.place, fixed.data)] if fixed and fixed.place is not None else []

    def add(self, directory: Directory) -> int:
        """Place a directory and what it points to; return its offset."""
        entries = [(tag, directory[tag]) for tag in sorted(directory) if _is_writable(directory[tag])]
        offset = self._take(2 + 12 * len(entries) + 4)
        body = struct.pack(f"{self._order}H", len(entries))
        for tag, value in entries:
            body += self._entry(tag, value)
        self.parts.append((offset, body + bytes(4)))
        return offset

    def _entry(self, tag: int, value: Entry | Directory) -> bytes:
        if not isinstance(value, Entry):
            return struct.pack(f"{self._order}HHII", tag, LONG, 1, self.add(value))
        head = struct.pack(f"{self._order}HHI", tag, value.kind, len(value.data) // _SIZES[value.kind])
        if len(value.data) <= 4:
            return head + value.data.ljust(4, b"\0")
        if value is self._fixed:
            return head + struct.pack(f"{self._order}I", value.place)
        offset = self._take(len(value.data))
        self.parts.append((offset, value.data))
        return head + struct.pack(f"{self._order}I", offset)

    def _take(self, size: int) -> int:
        """Return the even offset of so many free bytes."""
        offset = self._end + self._end % 2
        if self._barrier is not None and self._fixed and offset + size > self._barrier:
            end, self._barrier = self._barrier + len(self._fixed.data), None
            offset = end + end % 2
        self._end = offset + size
        return offset


def _is_writable(value: Entry | Directory) -> bool:
    return not isinstance(value, Entry) or value.kind not in _IN_BIGTIFF_ONLY
