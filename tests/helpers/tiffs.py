"""Build TIFF files of any samples, compression, planes, tiles, predictor and byte order."""

from __future__ import annotations

import io as streams
import lzma
import struct
import zlib

import numpy as np
from PIL import Image


def zstd(data):
    """Return data under zstd, as Pillow writes the one strip of a picture."""
    stream = streams.BytesIO()
    Image.frombytes("I;16", (len(data) // 2, 1), data).save(stream, "TIFF", compression="zstd")
    with Image.open(stream) as image:
        (offset,), (size,) = image.tag_v2[273], image.tag_v2[279]
    return stream.getvalue()[offset : offset + size]


COMPRESSIONS = {
    "none": (1, bytes),
    "deflate": (8, zlib.compress),
    "lzma": (34925, lzma.compress),
    "zstd": (50000, zstd),
}


def tiff(
    pixels, compression, *, planar=False, tile=None, rows=7, predictor=1, order="<", orientation=1, kind="u2", **tags
):
    """Return a TIFF of pixels (H, W, C).

    Args:
        pixels: the picture.
        compression: a key of `COMPRESSIONS`.
        planar: whether each channel is a plane of its own.
        tile: the side of the tiles; None: strips of `rows` rows.
        rows: of a strip.
        predictor: 1 for none, 2 for differences.
        order: of the bytes, as for `struct`.
        orientation: as in EXIF.
        kind: the NumPy type of the samples, as "u2".
        tags: further tags, by ``t`` and their number, with a list of values; None leaves the tag out.
    """
    number, compress = COMPRESSIONS[compression]
    height, width, channels = pixels.shape
    down, right = (tile, tile) if tile else (rows, width)
    blocks = []
    for plane in np.split(pixels, channels, axis=2) if planar else [pixels]:
        for top in range(0, height, down):
            for left in range(0, width, right):
                block = plane[top : top + down, left : left + right]
                if tile:
                    block = np.pad(block, ((0, tile - block.shape[0]), (0, tile - block.shape[1]), (0, 0)), "edge")
                if predictor == 2:
                    block = np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1)
                blocks.append(compress(block.astype(f"{order}{kind}").tobytes()))
    sizes = [len(block) for block in blocks]
    values = {
        256: [width],
        257: [height],
        258: [8 * int(kind[1])] * channels,
        259: [number],
        262: [2],
        274: [orientation],
    }
    if kind[0] == "f":
        values[339] = [3] * channels
    values |= {277: [channels], 284: [2 if planar else 1], 317: [predictor]}
    values |= {322: [tile], 323: [tile], 324: sizes, 325: sizes} if tile else {273: sizes, 278: [rows], 279: sizes}
    values |= {int(name[1:]): value for name, value in tags.items()}
    values = {tag: value for tag, value in values.items() if value is not None}
    outside = 8 + 2 + 12 * len(values) + 4
    data_start = outside + sum(4 * len(value) for value in values.values() if len(value) > 1)
    values[324 if tile else 273] = [data_start + sum(sizes[:index]) for index in range(len(sizes))]
    directory, extra = b"", b""
    for tag, value in sorted(values.items()):
        packed = struct.pack(f"{order}{len(value)}I", *value)
        if len(value) > 1:
            packed, extra = struct.pack(f"{order}I", outside + len(extra)), extra + packed
        directory += struct.pack(f"{order}HHI", tag, 4, len(value)) + packed
    header = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(values))
    return header + directory + bytes(4) + extra + b"".join(blocks)
