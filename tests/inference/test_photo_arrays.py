"""The forms in which a restorer takes a photograph."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from standins import gray

from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.inference.photo_arrays import photo_array


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


def test_a_path_that_cant_be_read_is_one_line(tmp_path):
    with pytest.raises(DataError, match="does not exist: check the path"):
        photo_array(tmp_path / "none.png")


@pytest.mark.parametrize("value", [None, b"x", [[1, 2], [3, 4]], 3])
def test_what_is_no_photograph_is_one_line(value):
    with pytest.raises(TypeError, match="a photo is a path, a PIL image or a NumPy array, not a "):
        photo_array(value)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "bool"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_an_array_of_another_type_has_a_remedy(dtype, shape):
    with pytest.raises(ValueError, match=rf"not \(4, 5.*\) {dtype}; if its values are from 0 to 1: \(255 \* photo\)"):
        photo_array(np.zeros(shape, dtype))


@pytest.mark.parametrize("shape", [(4,), (4, 5, 4), (0, 5), (2, 4, 5, 3)])
def test_an_array_of_another_shape_is_one_line(shape):
    with pytest.raises(ValueError, match="a photo is|the photo is empty"):
        photo_array(np.zeros(shape, np.uint8))
