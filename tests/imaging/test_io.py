from __future__ import annotations

import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pictures import exif_of, png16, saved, scene, smooth
from PIL import Image

from toolbox.color import integer_luma
from toolbox.errors import DataError, OutputError
from toolbox.imaging.io import (
    decode,
    encode_png,
    find_images,
    read,
    read_gray,
    read_mask,
    read_rgb,
    read_size,
    write_png,
)
from toolbox.imaging.pixels import to_8bit


def test_out_of_memory_is_an_error_in_one_line(monkeypatch):
    def full(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("toolbox.imaging.io.decode_opened", full)
    with pytest.raises(DataError, match="photo needs more memory"):
        decode(saved(scene(), "PNG"), "photo")


def test_paths_that_are_not_photographs(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no photo at all")
    (tmp_path / "gif.png").write_bytes(saved(scene()[..., 0], "GIF"))
    (tmp_path / "folder.png").mkdir()
    cases = {"none.png": "does not exist", "empty.png": "is empty", "text.png": "not an image"}
    cases |= {"gif.png": "not an image", "folder.png": "is a folder", "n" * 300 + ".png": "can't be read"}
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        cases["pipe.png"] = "not a plain file"
    for name, words in cases.items():
        for reader in (read, read_size, read_gray):
            with pytest.raises(DataError) as caught:
                reader(tmp_path / name)
            assert words in str(caught.value) and name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"a\\nb"):
        read(tmp_path / "a\nb.png")


def test_no_permission_is_an_error_in_one_line(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(saved(scene(), "PNG"))

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(DataError, match="no permission"):
        read(path)


def test_readers(tmp_path):
    rgb, path = smooth(), tmp_path / "사진.png"
    path.write_bytes(saved(rgb, "PNG"))
    np.testing.assert_array_equal(read_rgb(path), rgb)
    np.testing.assert_array_equal(read_gray(path), np.asarray(Image.fromarray(rgb).convert("L")))
    assert read_size(path) == (37, 24)
    path.write_bytes(saved(rgb[..., 0], "PNG"))
    np.testing.assert_array_equal(read_gray(path), rgb[..., 0])
    np.testing.assert_array_equal(read_rgb(path), np.dstack([rgb[..., 0]] * 3))
    deep = scene(dtype=np.uint16)
    path.write_bytes(png16(deep))
    np.testing.assert_array_equal(read_rgb(path), np.round(deep / 257).astype(np.uint8))


def test_integer_luma_is_the_formula_of_bt601():
    rgb = scene(100, 100)
    red, green, blue = np.moveaxis(rgb.astype(np.int64), -1, 0)
    found = integer_luma(rgb)
    np.testing.assert_array_equal(found, (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("shape", [(65536, 1), (1, 65536), (256, 256), (513, 7, 3)])
def test_sixteen_bits_are_rounded_to_the_nearest_of_eight(shape):
    values = np.resize(np.arange(65536, dtype=np.uint16), shape)
    found = to_8bit(values)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.rint(values / 257))


def test_mask(tmp_path):
    gray = np.array([[0, 127, 128, 255]], np.uint8)
    write_png(tmp_path / "gray.png", gray)
    assert read_mask(tmp_path / "gray.png").tolist() == [[False, False, True, True]]
    for meaning, expected in (
        ("painted", [True, False, True, True]),
        ("transparent", [False, True, False, True]),
        ("white", [False, False, True, True]),
    ):
        write_png(tmp_path / "alpha.png", gray, alpha=np.array([[255, 0, 255, 127]], np.uint8))
        assert read_mask(tmp_path / "alpha.png", meaning=meaning).tolist() == [expected]
    write_png(tmp_path / "bool.png", gray > 127)
    assert read_mask(tmp_path / "bool.png").tolist() == [[False, False, True, True]]


def test_find_images(tmp_path):
    for name in ["b.png", "a.JPG", "c.tiff", ".hidden.png", "notes.txt", "d.webp"]:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in find_images(tmp_path)] == ["a.JPG", "b.png", "c.tiff", "d.webp"]
    for wrong in (tmp_path / "none", tmp_path / "b.png"):
        with pytest.raises(DataError, match=wrong.name):
            find_images(wrong)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_encoded_png_is_read_back(channels, dtype, tmp_path):
    pixels, alpha = scene(channels=channels, dtype=dtype), scene(channels=1, dtype=dtype, seed=1)
    data = encode_png(pixels)
    assert data == encode_png(np.asfortranarray(pixels))
    np.testing.assert_array_equal(decode(data, "a").pixels, pixels)
    if dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    photo = decode(encode_png(pixels, alpha=alpha, exif=exif_of(1).tobytes()), "a")
    np.testing.assert_array_equal(photo.alpha, alpha)
    colours = photo.pixels if channels == 3 else photo.pixels[..., 0]
    np.testing.assert_array_equal(colours, pixels)
    assert photo.exif is not None
    write_png(tmp_path / "a.png", pixels)
    assert (tmp_path / "a.png").read_bytes() == data
    with pytest.raises(OutputError, match="none"):
        write_png(tmp_path / "none" / "a.png", pixels)


def test_threads_that_decode_leave_no_filter_that_hides_other_warnings(tmp_path):
    def hiding():
        return [row for row in warnings.filters if row[0] == "ignore" and row[1] is None and row[3] is None]

    write_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
        before = hiding()
        assert all(rows == before for rows in pool.map(lambda _: (read(tmp_path / "a.png"), hiding())[1], range(300)))
        assert hiding() == before
