"""Colours of 16 bits in TIFF files: the same pixels whatever the compression, planes, tiles, predictor, byte order."""

from __future__ import annotations

import io as streams
import lzma
import struct
import zlib

import numpy as np
import pytest
from pictures import smooth
from PIL import Image

from toolbox.errors import DataError
from toolbox.imaging.io import decode

PIXELS = smooth(24, 40).astype(np.uint16) * 257 + np.arange(40, dtype=np.uint16)[None, :, None]


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


def tiff(pixels, compression, *, planar=False, tile=None, rows=7, predictor=1, order="<", orientation=1, **tags):
    """Return a TIFF of pixels (H, W, C) uint16; `tile` is the side of its tiles."""
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
                blocks.append(compress(block.astype(f"{order}u2").tobytes()))
    sizes = [len(block) for block in blocks]
    values = {256: [width], 257: [height], 258: [16] * channels, 259: [number], 262: [2], 274: [orientation]}
    values |= {277: [channels], 284: [2 if planar else 1], 317: [predictor]}
    values |= {322: [tile], 323: [tile], 324: sizes, 325: sizes} if tile else {273: sizes, 278: [rows], 279: sizes}
    values |= {int(name[1:]): value for name, value in tags.items()}
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


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_16_bit_tiff_has_its_pixels(compression, planar, tile, order):
    # TIFF has no predictor without a compression.
    for predictor in (1,) if compression == "none" else (1, 2):
        data = tiff(PIXELS, compression, planar=planar, tile=tile, predictor=predictor, order=order)
        photo = decode(data, "a")
        assert photo.pixels.dtype == np.uint16 and np.array_equal(photo.pixels, PIXELS), predictor


def test_alpha_and_orientation_of_planes():
    alpha = np.full((*PIXELS.shape[:2], 1), 65535, np.uint16)
    alpha[3:9] = 0
    photo = decode(tiff(np.concatenate([PIXELS, alpha], axis=2), "lzma", planar=True, t338=[2]), "a")
    assert np.array_equal(photo.pixels, PIXELS) and np.array_equal(photo.alpha, alpha[..., 0])
    assert np.array_equal(decode(tiff(PIXELS, "zstd", orientation=6), "a").pixels, np.rot90(PIXELS, -1))


def test_damaged_data_is_called_damaged():
    data = bytearray(tiff(PIXELS, "lzma"))
    data[-400:-100] = bytes(300)
    with pytest.raises(DataError, match="damaged"):
        decode(bytes(data), "a")
    with pytest.raises(DataError, match="cut short"):
        decode(tiff(PIXELS, "lzma", planar=True)[:-10], "a")
    with pytest.raises(DataError, match="not supported"):
        decode(tiff(PIXELS, "lzma", predictor=3), "a")
