from __future__ import annotations

import io
import json
import struct
import zlib

import cv2
import numpy as np
import pytest
from pictures import ORIENTATION, chunk, exif_of, oriented, png16, saved, scene, smooth, tiff16
from PIL import Image, ImageOps

from toolbox.errors import DataError
from toolbox.imaging.io import decode, read, read_rgb, read_size


@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_colour_is_unchanged(fmt):
    pixels = scene()
    photo = decode(saved(pixels, fmt, **({"lossless": True} if fmt == "WEBP" else {})), "a")
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert (photo.format, photo.alpha, photo.exif, photo.notes) == (fmt, None, None, ())
    photo.pixels[0, 0] = 0


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_what_opencv_reads(mode):
    data = saved(Image.fromarray(smooth()).convert(mode), "JPEG", quality=95)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    found = decode(data, "a").pixels
    np.testing.assert_allclose(found.astype(int), expected[..., ::-1] if mode == "RGB" else expected, atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_orientation(fmt, orientation, tmp_path):
    upright = smooth(48, 64)
    stored = oriented(upright, orientation)
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(fmt, {})
    data = saved(stored, fmt, exif=exif_of(orientation), **options)
    photo = decode(data, "a")
    np.testing.assert_allclose(photo.pixels.astype(int), upright, atol=4 if fmt == "JPEG" else 0)
    assert ("orientation applied" in photo.notes) == (orientation != 1)
    again = Image.Exif()
    again.load(photo.exif)
    assert again.get(271) == "Maker" and ORIENTATION not in again
    (tmp_path / "a").write_bytes(data)
    assert read_size(tmp_path / "a") == (64, 48)
    if fmt != "TIFF":  # Pillow turns a TIFF when it loads it, so its function is no independent check
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        np.testing.assert_array_equal(photo.pixels, np.asarray(turned))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_orientation_in_16_bits(channels, orientation):
    upright = scene(channels=channels, dtype=np.uint16)
    stored = oriented(upright, orientation)
    raw = exif_of(orientation).tobytes().removeprefix(b"Exif\0\0")
    datas = [png16(stored, chunk(b"eXIf", raw))]
    if channels < 4:
        datas += [tiff16(stored, orientation), tiff16(stored, orientation, ">")]
    for data in datas:
        photo = decode(data, "a")
        found = photo.pixels if photo.alpha is None else np.dstack([photo.pixels, photo.alpha])
        np.testing.assert_array_equal(found, upright)
        assert "16-bit" in photo.notes


def test_16_bit_gray_with_alpha():
    pixels = scene(channels=2, dtype=np.uint16)
    photo = decode(png16(pixels), "a")
    np.testing.assert_array_equal(np.dstack([photo.pixels, photo.alpha]), pixels)


def test_the_gamma_of_srgb_and_text_do_not_change_16_bits():
    pixels = scene(dtype=np.uint16)
    side = chunk(b"gAMA", struct.pack(">I", 45_455)) + chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**7)))
    np.testing.assert_array_equal(decode(png16(pixels, side), "a").pixels, pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_key(channels):
    pixels = scene(channels=channels, dtype=np.uint16)
    key = np.atleast_1d(pixels[3, 5])
    photo = decode(png16(pixels, chunk(b"tRNS", key.astype(">u2").tobytes())), "a")
    np.testing.assert_array_equal(photo.pixels, pixels)
    hit = (pixels.reshape(*pixels.shape[:2], -1) == key).all(axis=-1)
    np.testing.assert_array_equal(photo.alpha, np.where(hit, 0, 65535))
    assert photo.alpha[3, 5] == 0


def test_palette_alpha_gray_and_bilevel():
    paletted = Image.fromarray(smooth()).quantize(20)
    photo = decode(saved(paletted, "PNG"), "a")
    np.testing.assert_array_equal(photo.pixels, np.asarray(paletted.convert("RGB")))
    assert photo.notes == ("palette expanded",) and photo.alpha is None
    photo = decode(saved(paletted, "PNG", transparency=3), "a")
    np.testing.assert_array_equal(photo.alpha, np.where(np.asarray(paletted) == 3, 0, 255))
    for channels in (2, 4):
        pixels = scene(channels=channels)
        photo = decode(saved(pixels, "PNG"), "a")
        np.testing.assert_array_equal(np.dstack([photo.pixels, photo.alpha]), pixels)
    bits = scene()[..., 0] > 127
    for fmt in ("PNG", "TIFF", "BMP"):
        photo = decode(saved(Image.fromarray(bits), fmt), "a")
        np.testing.assert_array_equal(photo.pixels, bits * np.uint8(255))


def test_cmyk_jpeg_becomes_rgb():
    cmyk = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    photo = decode(saved(cmyk, "JPEG", quality=100), "a")
    assert photo.notes == ("CMYK converted",) and photo.pixels.shape == (16, 16, 3)
    np.testing.assert_allclose(photo.pixels.astype(int), np.broadcast_to([0, 255, 255], (16, 16, 3)), atol=3)


def without_chunk(data, kind):
    """Return a PNG without its first chunk of a kind."""
    start = data.find(kind) - 4
    return data if start < 0 else data[:start] + data[start + 12 + int.from_bytes(data[start : start + 4], "big") :]


def test_pngsuite(shared):
    suite = shared / "corpora" / "pngsuite"
    valid = refused = 0
    for path in sorted((suite / "png").glob("*.png")):
        if path.name.startswith("x"):
            with pytest.raises(DataError, match=path.name):
                read(path)
            refused += 1
            continue
        # The expected pixels are as stored. Nearly all files state a gamma of 1, which `read` converts.
        photo = decode(without_chunk(path.read_bytes(), b"gAMA"), path.name)
        height, width = photo.pixels.shape[:2]
        full = np.iinfo(photo.pixels.dtype).max
        colours = photo.pixels if photo.pixels.ndim == 3 else np.dstack([photo.pixels] * 3)
        alpha = np.full((height, width), full) if photo.alpha is None else photo.alpha
        expected = np.array(json.loads((suite / "json" / f"{path.stem}.json").read_text()))
        found = np.dstack([colours, alpha]).astype(int)
        np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1, err_msg=path.name)
        valid += 1
    assert (valid, refused) == (161, 14)


@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
def test_camera_orientations(shared, shape):
    folder = shared / "corpora" / "exif-orientation"
    upright = read_rgb(folder / f"{shape}_1.jpg").astype(int)
    for orientation in range(2, 9):
        found = read_rgb(folder / f"{shape}_{orientation}.jpg").astype(int)
        assert found.shape == upright.shape
        # Each file was compressed separately. In a wrong orientation the difference is ten times as large.
        assert np.abs(found - upright).mean() < 5
        assert np.abs(found[::-1, ::-1] - upright).mean() > 30
