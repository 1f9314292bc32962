"""Open TIFF files, also those that Pillow has no mode for: 16-bit gray with alpha, floating-point colours."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

from PIL import ImagePalette, TiffImagePlugin
from PIL.ExifTags import Base as Tag

from toolbox.imaging.integrity import BrokenFileError

_UNSIGNED, _FLOAT = 1, 3  # values of Tag.SampleFormat
_BLACK_IS_ZERO, _RGB, _COLORS = 1, 2, 3  # two values of Tag.PhotometricInterpretation, and the samples of RGB
# Pillow's message for samples that it has no mode for.
_NO_MODE = "unknown pixel mode"
_MAX_SAMPLES = 8
# Types of numbers: the usual short one, and the long one that some programs write.
_INTEGERS = {3: "H", 4: "I"}
_BIG_ENDIAN_BIGTIFF = b"MM\0+"


class _TiffFile(TiffImagePlugin.TiffImageFile):
    """A TIFF file as Pillow reads it, in which 0 is black if nothing says what it is, as for libtiff and viewers."""

    def _setup(self) -> None:
        if Tag.PhotometricInterpretation not in self.tag_v2:
            is_gray = self.tag_v2.get(Tag.SamplesPerPixel, 1) < _COLORS
            self.tag_v2[Tag.PhotometricInterpretation] = _BLACK_IS_ZERO if is_gray else _RGB
        super()._setup()  # type: ignore[no-untyped-call]


def open_tiff(stream: io.BytesIO) -> TiffImagePlugin.TiffImageFile:
    """Open a TIFF file, and return Pillow's handle.

    Where Pillow has no mode for the samples, only the tags and the size of the handle can be used, and the picture must
    be decoded by other means.

    Raises:
        BrokenFileError: Pillow can't read this kind of directory.
        SyntaxError: neither is possible.
    """
    if stream.getvalue()[:4] == _BIG_ENDIAN_BIGTIFF:
        raise BrokenFileError("is a big-endian BigTIFF, which is not supported: save it as an ordinary TIFF")
    try:
        return _with_full_palette(_TiffFile(stream))
    except SyntaxError as error:
        if str(error) != _NO_MODE:
            raise
        try:
            data, tags = _as_8_bit(stream.getvalue())
        except struct.error:
            raise error from None
        if not _can_decode(tags):
            raise
        image = _TiffFile(io.BytesIO(data))
        for tag, values in tags.items():
            image.tag_v2[tag] = values
        return image


def _with_full_palette(image: TiffImagePlugin.TiffImageFile) -> TiffImagePlugin.TiffImageFile:
    """Set the palette of a picture whose colour map has 8 bits instead of 16, as some programs write it."""
    levels = image.tag_v2.get(Tag.ColorMap, ())
    if image.mode == "P" and levels and max(levels) < 256:  # libtiff decides so too
        image.palette = ImagePalette.raw("RGB;L", bytes(levels))
    return image


def is_float(tags: Any) -> bool:  # noqa: ANN401 - a mapping of Pillow
    """Return whether the samples of a picture with these tags are floating-point numbers of 32 or 64 bits."""
    return set(tags.get(Tag.SampleFormat, ())) == {_FLOAT} and set(tags.get(Tag.BitsPerSample, ())) in ({32}, {64})


def _can_decode(tags: dict[int, tuple[int, ...]]) -> bool:
    is_unsigned = set(tags.get(Tag.SampleFormat, ())) <= {_UNSIGNED}
    return is_float(tags) or (set(tags[Tag.BitsPerSample]) == {16} and is_unsigned)


def _as_8_bit(data: bytes) -> tuple[bytes, dict[int, tuple[int, ...]]]:
    """Return the file with tags that call its samples unsigned and of 8 bits, and the tags that were changed.

    Raises:
        struct.error: the directory can't be followed, or does not state the bits.
    """
    changed, tags = bytearray(data), dict[int, tuple[int, ...]]()
    for tag, numbers, position in _entries(data):
        if tag in (Tag.BitsPerSample, Tag.SampleFormat):
            tags[tag] = struct.unpack_from(numbers, data, position)
            value = 8 if tag == Tag.BitsPerSample else _UNSIGNED
            struct.pack_into(numbers, changed, position, *[value] * len(tags[tag]))
    if Tag.BitsPerSample not in tags:
        raise struct.error("no bits per sample")
    return bytes(changed), tags


def _entries(data: bytes) -> Iterator[tuple[int, str, int]]:
    """Yield tag, format for `struct` and position of the entries of the first directory that hold their own numbers."""
    order, is_big = ("<" if data[:2] == b"II" else ">"), b"+" in data[2:4]
    count, pointer, entry_size, start = ("Q", "Q", 20, 8) if is_big else ("H", "I", 12, 4)
    (offset,) = struct.unpack_from(order + pointer, data, start)
    (entries,) = struct.unpack_from(order + count, data, offset)
    for index in range(min(entries, 4096)):
        entry = offset + struct.calcsize(count) + index * entry_size
        tag, kind, number = struct.unpack_from(f"{order}HH{pointer}", data, entry)
        if kind not in _INTEGERS or number > _MAX_SAMPLES:
            continue
        numbers = f"{order}{number}{_INTEGERS[kind]}"
        position = entry + 4 + struct.calcsize(pointer)
        if struct.calcsize(numbers) > struct.calcsize(pointer):
            (position,) = struct.unpack_from(order + pointer, data, position)
        yield tag, numbers, position
