from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from pictures import part, png16, saved, scene
from PIL import ImageCms

from toolbox import images


def profile(space, gamma=256):
    """A hand-made ICC profile: sRGB's primaries at D50 and a pure power curve (256 is a power of 1)."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, gamma) + b"\0\0"
    xyz = {b"rXYZ": (0.43607, 0.22249, 0.01392), b"gXYZ": (0.38515, 0.71687, 0.09708)}
    xyz |= {b"bXYZ": (0.14307, 0.06061, 0.71410), b"wtpt": (0.9642, 1.0, 0.8249)}
    kept = xyz if space == b"RGB " else {b"wtpt": xyz[b"wtpt"]}
    tags = {k: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(c * 65536) for c in v)) for k, v in kept.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC") if space == b"RGB " else (b"kTRC",), curve)
    tags[b"desc"] = b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(79)
    tags[b"cprt"] = b"text" + bytes(4) + b"none\0\0\0\0"
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, at + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def srgb_curve(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_foreign_profile_is_converted(fmt):
    pixels = np.full((16, 16, 3), (40, 128, 220), np.uint8)
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(fmt, {})
    photo = images.decode(saved(pixels, fmt, icc_profile=profile(b"RGB "), **options), "a")
    assert photo.notes == ("ICC profile converted",)
    expected = srgb_curve(np.array([40, 128, 220]) / 255) * 255
    np.testing.assert_allclose(photo.pixels[8, 8], expected, atol=3 if fmt == "JPEG" else 1)


def test_a_gray_profile_is_converted_and_stays_gray():
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, 0)
    photo = images.decode(saved(ramp, "PNG", icc_profile=profile(b"GRAY")), "a")
    assert photo.notes == ("ICC profile converted",)
    np.testing.assert_allclose(photo.pixels[0], srgb_curve(np.arange(256) / 255) * 255, atol=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_profile_is_followed_in_16_bits(channels):
    pixels = scene(channels=channels, dtype=np.uint16)
    icc = profile(b"RGB " if channels == 3 else b"GRAY", gamma=512)
    photo = images.decode(png16(pixels, part(b"iCCP", b"p\0\0" + zlib.compress(icc))), "a")
    assert photo.notes == ("16-bit", "ICC profile converted")
    expected = srgb_curve((pixels / 65535) ** 2) * 65535
    np.testing.assert_allclose(photo.pixels, expected, atol=1)


def test_srgb_and_broken_profiles_leave_the_pixels():
    pixels = scene()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc, notes in [(srgb, ()), (b"rubbish", ("unusable ICC profile ignored",))]:
        photo = images.decode(saved(pixels, "PNG", icc_profile=icc), "a")
        np.testing.assert_array_equal(photo.pixels, pixels)
        assert photo.notes == notes
    photo = images.decode(saved(pixels[..., 0], "PNG", icc_profile=srgb), "a")
    np.testing.assert_array_equal(photo.pixels, pixels[..., 0])
