"""Colours of 16 bits in TIFF files: the same pixels whatever the compression, planes, tiles, predictor, byte order."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import smooth
from tiffs import COMPRESSIONS, tiff

from toolbox.errors import DataError
from toolbox.imaging.io import decode

PIXELS = smooth(24, 40).astype(np.uint16) * 257 + np.arange(40, dtype=np.uint16)[None, :, None]


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
