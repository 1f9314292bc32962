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


def test_a_path_that_cant_be_read_is_one_line(tmp_path):
    with pytest.raises(DataError, match="does not exist: check the path"):
        photo_array(tmp_path / "none.png")
