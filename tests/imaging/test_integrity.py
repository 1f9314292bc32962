from __future__ import annotations

import random
import struct
import time
import zlib

import numpy as np
import pytest
from pictures import chunk, exif_of, png16, saved, scene, tiff16

from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.utils import surface


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "PNG16", "WEBP", "TIFF", "TIFF16", "BMP"])
def test_every_cut_is_refused(fmt):
    rng = random.Random(1)
    if fmt == "PNG16":
        data = png16(scene(200, 150, dtype=np.uint16))
    elif fmt == "TIFF16":
        data = tiff16(scene(200, 150, dtype=np.uint16))
    else:
        data = saved(scene(200, 150), fmt, **({"exif": exif_of(6)} if fmt == "JPEG" else {}))
    io.decode(data, "whole")
    cuts = [*range(len(data) - 20, len(data)), *range(20), *rng.sample(range(len(data)), 260)]
    assert len(cuts) == 300
    for cut in cuts:
        with pytest.raises(DataError, match="^photo "):
            io.decode(data[:cut], "photo")


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_photo():
    thumbnail = saved(scene(8, 8), "JPEG")
    body = b"Exif\0\0" + thumbnail
    data = saved(scene(64, 64), "JPEG")
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    assert io.decode(data, "a").pixels.shape == (64, 64, 3)
    with pytest.raises(DataError, match="cut short"):
        io.decode(data[:-2], "a")
    assert io.decode(data + b"a phone's video", "a").pixels.shape == (64, 64, 3)


def test_damage_inside_a_png_is_refused():
    data = bytearray(saved(scene(), "PNG"))
    position = data.index(b"IDAT") + 40
    data[position] ^= 1
    with pytest.raises(DataError, match="'IDAT' fails its checksum"):
        io.decode(bytes(data), "a")
    short = zlib.compress(bytes(10))
    head = png16(scene(dtype=np.uint16))[:33]
    with pytest.raises(DataError, match="end too early"):
        io.decode(head + chunk(b"IDAT", short) + chunk(b"IEND", b""), "a")
    with pytest.raises(DataError, match="extension 'CgBI'"):
        io.decode(head + chunk(b"CgBI", b"") + chunk(b"IDAT", short) + chunk(b"IEND", b""), "a")


def test_the_name_of_a_chunk_fits_in_one_line():
    data = bytearray(saved(scene(), "PNG"))
    start = data.index(b"IDAT")
    data[start : start + 4] = b"\n\x1b'\xff"
    with pytest.raises(DataError) as raised:
        io.decode(bytes(data), "a")
    assert str(raised.value) == r"""a is damaged: its chunk '\n\x1b'\xff' fails its checksum"""


def test_too_large_is_refused_before_decoding():
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    start = time.perf_counter()
    with (
        surface.command_line(),
        pytest.raises(DataError, match=r"bomb.png has 60000 x 60000 .*--max-pixels 3600000000"),
    ):
        io.decode(bomb, "bomb.png")
    assert time.perf_counter() - start < 1
    data = saved(scene(10, 10), "PNG")
    assert io.decode(data, "a", max_pixels=100).pixels.shape == (10, 10, 3)
    with pytest.raises(DataError, match="limit of 99"):
        io.decode(data, "a", max_pixels=99)


def test_a_jpeg_of_endless_scans_is_refused():
    data = saved(scene(64, 64), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 200 + data[-2:]
    with pytest.raises(DataError, match="scans"):
        io.decode(bomb, "a")


def test_fuzzed_files_give_a_photo_or_a_reason(shared):
    paths = [p for p in sorted((shared / "corpora" / "fuzz").rglob("*")) if p.is_file() and p.name != "LICENSE"]
    outcomes = {"photo": 0, "refused": 0}
    for path in paths:
        start = time.perf_counter()
        try:
            outcomes["photo"] += io.read(path, accept_cut=True).pixels.size > 0
        except DataError as error:
            assert path.name in str(error) and "\n" not in str(error)
            outcomes["refused"] += 1
        assert time.perf_counter() - start < 2
    assert sum(outcomes.values()) == len(paths) == 2673 and min(outcomes.values()) > 100
