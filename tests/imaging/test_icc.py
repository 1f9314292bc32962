from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from pictures import chunk, png16, saved, scene
from PIL import ImageCms
from profiles import profile, tables

from toolbox.imaging import io


def srgb_curve(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("numbers", [[(1, 2)], [(1, 1), (1, 1)], [(1, 3), (3, 3)]])
def test_a_profile_in_a_jpeg_that_is_not_complete_is_noted(numbers):
    data, icc = saved(scene(), "JPEG"), profile(b"RGB ")
    segments = [b"ICC_PROFILE\0" + bytes(number) + icc[:200] for number in numbers]
    segments = b"".join(b"\xff\xe2" + struct.pack(">H", len(segment) + 2) + segment for segment in segments)
    assert io.decode(data[:2] + segments + data[2:], "a").notes == ("unusable ICC profile ignored",)


def test_a_profile_of_tables_in_16_bits_has_a_remedy():
    icc = chunk(b"iCCP", b"a\0\0" + zlib.compress(profile(b"RGB ", A2B0=tables())))
    note = io.decode(png16(scene().astype(np.uint16) * 257, icc), "a").notes[-1]
    assert note.startswith("ICC profile ignored") and "or save it with 8 bits" in note


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_foreign_profile_is_converted(fmt):
    pixels = np.full((16, 16, 3), (40, 128, 220), np.uint8)
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(fmt, {})
    photo = io.decode(saved(pixels, fmt, icc_profile=profile(b"RGB "), **options), "a")
    assert photo.notes == ("colours converted to sRGB",)
    expected = srgb_curve(np.array([40, 128, 220]) / 255) * 255
    np.testing.assert_allclose(photo.pixels[8, 8], expected, atol=3 if fmt == "JPEG" else 1)


def test_a_gray_profile_is_converted_and_stays_gray():
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, 0)
    photo = io.decode(saved(ramp, "PNG", icc_profile=profile(b"GRAY")), "a")
    assert photo.notes == ("colours converted to sRGB",)
    np.testing.assert_allclose(photo.pixels[0], srgb_curve(np.arange(256) / 255) * 255, atol=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_profile_is_followed_in_16_bits(channels):
    pixels = scene(channels=channels, dtype=np.uint16)
    icc = profile(b"RGB " if channels == 3 else b"GRAY", gamma=512)
    photo = io.decode(png16(pixels, chunk(b"iCCP", b"p\0\0" + zlib.compress(icc))), "a")
    assert photo.notes == ("16-bit", "colours converted to sRGB")
    expected = srgb_curve((pixels / 65535) ** 2) * 65535
    np.testing.assert_allclose(photo.pixels, expected, atol=1)


def test_srgb_and_broken_profiles_leave_the_pixels():
    pixels = scene()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc, notes in [(srgb, ()), (b"rubbish", ("unusable ICC profile ignored",))]:
        photo = io.decode(saved(pixels, "PNG", icc_profile=icc), "a")
        np.testing.assert_array_equal(photo.pixels, pixels)
        assert photo.notes == notes
    photo = io.decode(saved(pixels[..., 0], "PNG", icc_profile=srgb), "a")
    np.testing.assert_array_equal(photo.pixels, pixels[..., 0])
