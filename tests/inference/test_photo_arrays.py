"""The forms in which a restorer takes a photograph."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pictures import chunk, exif_of, saved, smooth
from PIL import Image
from profiles import profile
from scenes import tint_restorer
from standins import gray

from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.inference.photo_arrays import as_mask, photo_array


def test_paths_pil_images_and_one_channel_are_taken(tmp_path):
    io.write_png(tmp_path / "a.png", gray())
    rgb = np.dstack([gray(), gray()[::-1], gray()])
    for photo in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(gray()), gray()[..., None], gray()):
        assert np.array_equal(photo_array(photo), gray())
    assert np.array_equal(photo_array(Image.fromarray(rgb)), rgb) and photo_array(rgb) is rgb
    assert np.array_equal(photo_array(Image.fromarray(rgb).convert("RGBA")), rgb)


def test_a_pil_image_is_upright_and_keeps_16_bits_as_its_file_does(tmp_path):
    turned = Image.fromarray(gray())
    turned.getexif()[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=turned.getexif())
    with Image.open(tmp_path / "turned.png") as opened:
        assert np.array_equal(photo_array(opened), photo_array(tmp_path / "turned.png"))
    assert np.array_equal(photo_array(tmp_path / "turned.png"), np.rot90(gray(), -1))
    deep = gray().astype(np.uint16) * 257
    assert np.array_equal(photo_array(Image.fromarray(deep)), deep)


GAMMA, LINEAR = (chunk(b"gAMA", struct.pack(">I", value)) for value in (45455, 100_000))
PRIMARIES = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000))
SRGB = chunk(b"sRGB", b"\0")


@pytest.mark.parametrize("pixels", [smooth(32, 48), gray(), gray().astype(np.uint16) * 257])
@pytest.mark.parametrize("chunks", [LINEAR, GAMMA, GAMMA + PRIMARIES, PRIMARIES + LINEAR, SRGB + LINEAR])
def test_stated_colours_of_a_pil_image_count_as_those_of_its_file(tmp_path, pixels, chunks):
    data = saved(pixels, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data[:33] + chunks + data[33:])
    with Image.open(path) as opened:
        assert np.array_equal(photo_array(opened), photo_array(path))


def test_a_profile_counts_in_every_mode(tmp_path):
    for number, pixels in enumerate((smooth(32, 48), gray(), gray().astype(np.uint16) * 257)):
        path = tmp_path / f"{number}.png"
        icc = profile(b"RGB " if pixels.ndim == 3 else b"GRAY")
        Image.fromarray(pixels).save(path, icc_profile=icc)
        with Image.open(path) as opened:
            assert np.array_equal(photo_array(opened), photo_array(path))
            assert not np.array_equal(photo_array(opened), pixels)


def test_adobe_rgb_of_a_pil_image_counts(tmp_path):
    exif = exif_of(1)
    exif[34665] = {0xA001: 2}
    path = tmp_path / "a.webp"
    path.write_bytes(saved(smooth(32, 48), "WEBP", exif=exif, lossless=True))
    with Image.open(path) as opened:
        assert np.array_equal(photo_array(opened), photo_array(path))
        assert not np.array_equal(photo_array(opened), smooth(32, 48))


def test_arrays_of_the_other_byte_order_are_taken():
    swapped = (gray().astype(np.uint16) * 257).astype(">u2")
    restorer = tint_restorer("luma")
    expected = restorer(swapped.astype(np.uint16), reference=swapped.astype(np.uint16))
    assert np.array_equal(restorer(swapped, reference=[swapped]), expected)
    assert restorer(swapped, reference=swapped).dtype == np.uint16


def test_a_path_that_cant_be_read_is_one_line(tmp_path):
    with pytest.raises(DataError, match="does not exist: check the path"):
        photo_array(tmp_path / "none.png")


@pytest.mark.parametrize("value", [None, b"x", [[1, 2], [3, 4]], 3])
def test_what_is_no_photograph_is_one_line(value):
    with pytest.raises(TypeError, match="a photo is a path, a PIL image or a NumPy array, not a "):
        photo_array(value)


def test_a_masked_array_is_refused_because_its_mask_would_be_lost():
    masked = np.ma.masked_equal(np.zeros((4, 5), np.uint8), 0)
    for word, read in (("photo", photo_array), ("mask", lambda array: as_mask(array, (4, 5)))):
        with pytest.raises(TypeError, match=f"a {word} is no masked array; pass its `data`"):
            read(masked)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "bool"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_an_array_of_another_type_has_a_remedy(dtype, shape):
    with pytest.raises(ValueError, match=rf"not \(4, 5.*\) {dtype}; if its values are from 0 to 1: \(255 \* photo\)"):
        photo_array(np.zeros(shape, dtype))


@pytest.mark.parametrize("shape", [(4,), (4, 5, 4), (0, 5), (2, 4, 5, 3)])
def test_an_array_of_another_shape_is_one_line(shape):
    with pytest.raises(ValueError, match="a photo is|the photo is empty"):
        photo_array(np.zeros(shape, np.uint8))
