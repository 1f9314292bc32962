"""Decode colours of 16 bits in TIFF files that OpenCV can't read: in separate planes, or under zstd or LZMA.

Pillow reads every compression of libtiff, but only one 16-bit sample per pixel. So each strip or tile is put into a
gray TIFF of its own, in which the samples of a row are pixels side by side.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import TiffImagePlugin
from PIL.ExifTags import Base as Tag

from toolbox.imaging.integrity import BrokenFileError

_SEPARATE, _DIFFERENCES = 2, 2  # values of Tag.PlanarConfiguration and of Tag.Predictor
_MAX_SAMPLES = 8
_SHORT, _LONG = 3, 4


def decode_samples(data: bytes, tags: Mapping[int, Any]) -> np.ndarray:
    """Return the samples of a TIFF file of 16 bits, (H, W, C) uint16, in the order of the file and not turned.

    Args:
        data: the file; its strips or tiles are inside it.
        tags: the tags of the picture.

    Raises:
        BrokenFileError: the data is damaged, or of a kind that is not supported.
    """
    width, height, channels = tags[Tag.ImageWidth], tags[Tag.ImageLength], tags.get(Tag.SamplesPerPixel, 1)
    predictor = tags.get(Tag.Predictor, 1)
    if predictor not in (1, _DIFFERENCES) or tags.get(Tag.FillOrder, 1) != 1 or channels > _MAX_SAMPLES:
        raise BrokenFileError("is a 16-bit TIFF of a kind that is not supported: save it as RGB or gray")
    samples = np.empty((height, width, channels), np.uint16)
    try:
        for view, size, stored in _blocks(data, tags, samples):
            rows, columns = size
            gray = _gray_tiff(stored, data[:2], rows, columns * view.shape[2], tags.get(Tag.Compression, 1))
            block = np.array(TiffImagePlugin.TiffImageFile(io.BytesIO(gray)), np.uint16)
            block = block.reshape(rows, columns, view.shape[2])
            if predictor == _DIFFERENCES:  # a sample is stored as the difference from that of the pixel before
                block = np.cumsum(block, axis=1, dtype=np.uint16)
            view[:] = block[: view.shape[0], : view.shape[1]]
    except (OSError, SyntaxError, ValueError) as error:
        raise BrokenFileError("is damaged: its 16-bit data can't be decoded") from error
    return samples


def _blocks(
    data: bytes, tags: Mapping[int, Any], samples: np.ndarray
) -> Iterator[tuple[np.ndarray, tuple[int, int], bytes]]:
    """Yield for each strip or tile its part of `samples`, its rows and columns as stored, and its compressed data."""
    height, width, _ = samples.shape
    is_tiled = Tag.TileOffsets in tags
    rows = tags[Tag.TileLength] if is_tiled else min(tags.get(Tag.RowsPerStrip, height), height)
    columns = tags[Tag.TileWidth] if is_tiled else width
    is_separate = tags.get(Tag.PlanarConfiguration, 1) == _SEPARATE
    planes = np.split(samples, samples.shape[2], axis=2) if is_separate else [samples]
    parts = [
        plane[top : top + rows, left : left + columns]
        for plane in planes
        for top in range(0, height, rows)
        for left in range(0, width, columns)
    ]
    block_tags = (Tag.TileOffsets, Tag.TileByteCounts) if is_tiled else (Tag.StripOffsets, Tag.StripByteCounts)
    offsets, sizes = (tags[tag] for tag in block_tags)
    for part, offset, size in zip(parts, offsets, sizes, strict=True):
        stored_rows = rows if is_tiled else part.shape[0]
        yield part, (stored_rows, columns), data[offset : offset + size]


def _gray_tiff(stored: bytes, byte_order: bytes, height: int, width: int, compression: int) -> bytes:
    """Return a TIFF file of one strip with one 16-bit sample per pixel, whose compressed data is `stored`."""
    order = "<" if byte_order == b"II" else ">"
    entries = {
        Tag.ImageWidth: width,
        Tag.ImageLength: height,
        Tag.BitsPerSample: 16,
        Tag.Compression: compression,
        Tag.PhotometricInterpretation: 1,
        Tag.StripOffsets: 0,
        Tag.SamplesPerPixel: 1,
        Tag.RowsPerStrip: height,
        Tag.StripByteCounts: len(stored),
    }
    entries[Tag.StripOffsets] = 8 + 2 + 12 * len(entries) + 4
    shorts = (Tag.BitsPerSample, Tag.Compression, Tag.PhotometricInterpretation, Tag.SamplesPerPixel)
    directory = b"".join(
        struct.pack(f"{order}HHIHH", tag, _SHORT, 1, value, 0)
        if tag in shorts
        else struct.pack(f"{order}HHII", tag, _LONG, 1, value)
        for tag, value in entries.items()
    )
    header = struct.pack(f"{order}2sHIH", byte_order, 42, 8, len(entries))
    return header + directory + bytes(4) + stored
