"""Encoded pixels and EXIF, read again by our reader and by others. About 1 s."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from pictures import scene, smooth
from PIL import Image

from toolbox.errors import OutputError
from toolbox.imaging.encode import encode_indexed_png
from toolbox.imaging.io import decode, encode


def exif(**extra):
    made = Image.Exif()
    made[0x010E], made[0x010F], made[0x8298] = "großmutter".encode(), "Maker", "somebody"
    made[0x8769] = {0x9003: "1931:05:06 07:08:09", 0x829A: 0.01, 0x9286: b"ASCII\0\0\0hello"}
    made[0x8825] = {1: "N", 2: (48.0, 8.0, 1.5)}
    for tag, value in extra.items():
        made[int(tag[1:])] = value
    return made.tobytes()


def read_exif(data):
    with Image.open(io.BytesIO(data)) as opened:
        found = opened.getexif()
        return dict(found), dict(found.get_ifd(0x8769)), dict(found.get_ifd(0x8825))


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 5), (24, 37), (700, 523)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_lossless_formats_keep_every_bit(kind, depth, size):
    pixels = scene(*size, dtype=depth)
    data, notes = encode(pixels, kind)
    found = decode(data, "x")
    assert notes == () and found.format == kind and found.pixels.dtype == depth
    assert np.array_equal(found.pixels, pixels)
    assert encode(pixels, kind)[0] == data
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(by_opencv[..., ::-1], pixels)


def test_a_tiff_of_a_smooth_picture_is_compressed():
    pixels = (smooth(400, 300).astype(np.uint16) * 257) ^ 5
    assert len(encode(pixels, "TIFF")[0]) < pixels.nbytes / 4


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_lose_little(kind):
    pixels = smooth(96, 128)
    data, notes = encode(pixels, kind)
    found = decode(data, "x")
    assert notes == () and found.format == kind
    assert np.abs(found.pixels.astype(int) - pixels).mean() < 1.5
    deep, notes = encode(pixels.astype(np.uint16) * 257, kind)
    assert deep == data and notes == (f"16 bits became 8: {kind} has no more",)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_exif_is_kept(kind, depth):
    data, notes = encode(scene(dtype=depth), kind, exif())
    main, camera, gps = read_exif(data)
    assert "EXIF" not in "".join(notes)
    assert (
        main[0x010E].encode("latin-1").decode() == "großmutter"
        and main[0x010F] == "Maker"
        and main[0x8298] == "somebody"
    )
    assert camera[0x9003] == "1931:05:06 07:08:09" and camera[0x829A] == pytest.approx(0.01)
    assert camera[0x9286] == b"ASCII\0\0\0hello"
    assert gps[1] == "N" and tuple(map(float, gps[2])) == (48.0, 8.0, 1.5)
    again = decode(data, "x")
    assert again.pixels.shape == (24, 37, 3) and again.exif is not None
    # The EXIF of our reader can be encoded again.
    assert read_exif(encode(scene(), "PNG", again.exif)[0])[1] == camera


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_layout_tags_in_exif_do_not_damage_a_tiff(depth):
    pixels = scene(dtype=depth)
    hostile = exif(_256=9, _257=9, _258=1, _259=5, _262=0, _273=7, _277=1, _278=1, _279=1, _317=1, _338=2)
    data, _ = encode(pixels, "TIFF", hostile)
    found = decode(data, "x")
    assert np.array_equal(found.pixels, pixels)
    assert read_exif(data)[0][0x010F] == "Maker"


def test_exif_that_does_not_fit_is_left_out_with_a_note():
    long = exif(_40092=b"x" * 70_000)
    data, notes = encode(scene(), "JPEG", long)
    assert notes == ("EXIF left out: it is longer than a JPEG can hold",)
    assert decode(data, "x").exif is None
    assert encode(scene(), "PNG", long)[1] == ()
    data, notes = encode(scene(), "TIFF", b"Exif\0\0nonsense")
    assert notes == ("EXIF left out: it can't be written in a TIFF",)
    assert np.array_equal(decode(data, "x").pixels, scene())


def test_a_size_that_a_format_cannot_hold_is_refused():
    with pytest.raises(OutputError, match=r"^20000x1 can't be written as WEBP: "):
        encode(np.zeros((1, 20_000, 3), np.uint8), "WEBP")


def test_an_indexed_png_has_the_colours_of_its_palette():
    indices = np.random.default_rng(0).integers(0, 3, (5, 7)).astype(np.uint8)
    colors = np.array([(255, 255, 255), (213, 94, 0), (0, 90, 140)], np.uint8)
    data = encode_indexed_png(indices, [tuple(color) for color in colors])
    assert (decode(data, "x").pixels == colors[indices]).all()
    assert (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) == colors[indices][..., ::-1]).all()
