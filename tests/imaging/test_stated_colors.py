"""Colours that are stated by other means than a profile, turned resolutions, kinds of TIFF and JPEG. About 1 s."""

from __future__ import annotations

import io as streams
import struct
import zlib

import numpy as np
import pytest
from pictures import chunk, exif_of, oriented, saved, smooth
from PIL import Image, features
from profiles import profile
from tiffs import tiff

from toolbox.errors import DataError
from toolbox.imaging import io
from toolbox.imaging.io import decode, encode

ADOBE_CHRM = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
# From linear Adobe RGB (1998) to linear sRGB: both have the white point D65.
ADOBE_TO_SRGB = np.array([[1.3982, -0.3982, 0.0], [0.0, 1.0, 0.0], [0.0, -0.0429, 1.0429]])


def from_adobe_rgb(pixels):
    linear = (pixels / 255.0) ** 2.2 @ ADOBE_TO_SRGB.T
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


def mild():
    """Return a picture whose colours are inside sRGB."""
    return (smooth(32, 48) // 4 + 90).astype(np.uint8)


def dark():
    return (smooth(32, 48) // 8 + 8).astype(np.uint8)


@pytest.mark.parametrize("pixels", [mild(), dark()])
def test_gamma_and_primaries_of_adobe_rgb(pixels):
    chunks = chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"cHRM", ADOBE_CHRM)
    data = saved(pixels, "PNG")
    photo = decode(data[:33] + chunks + data[33:], "a")
    assert np.abs(photo.pixels - from_adobe_rgb(pixels)).max() < 1.6


def camera_file(kind, space, index):
    exif = exif_of(1)
    exif[34665] = {0xA001: space, 0xA005: {1: index, 2: b"0100"}}
    return saved(mild(), kind, exif=exif, lossless=True) if kind == "WEBP" else saved(mild(), kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize(("space", "index"), [(65535, "R03"), (2, "R98"), (2, "R03")])
def test_adobe_rgb_that_only_exif_states_is_converted(kind, space, index):
    data = camera_file(kind, space, index)
    with Image.open(streams.BytesIO(data)) as image:
        stored = np.asarray(image.convert("RGB"))
    photo = decode(data, "a")
    assert np.abs(photo.pixels - from_adobe_rgb(stored)).max() < 1.6 and "colours converted to sRGB" in photo.notes
    kept = Image.Exif()
    kept.load(photo.exif)
    assert kept.get_ifd(34665)[0xA001] == 1 and kept.get_ifd(0xA005)[1] == "R98"  # as the result has them


@pytest.mark.parametrize(("space", "index"), [(1, "R03"), (1, "R98"), (65535, "R98"), (65535, "THM")])
def test_other_files_of_cameras_keep_their_colours(space, index):
    data = camera_file("JPEG", space, index)
    with Image.open(streams.BytesIO(data)) as image:
        assert np.array_equal(decode(data, "a").pixels, np.asarray(image.convert("RGB")))


def test_a_profile_and_the_colours_of_a_png_come_before_exif():
    exif = exif_of(1)
    exif[34665] = {0xA001: 65535, 0xA005: {1: "R03"}}
    srgb = saved(mild(), "PNG", exif=exif)
    srgb = srgb[:33] + chunk(b"sRGB", b"\0") + srgb[33:]
    assert np.array_equal(decode(srgb, "a").pixels, mild())
    linear = profile(b"RGB ", gamma=256)
    alone = decode(saved(mild(), "WEBP", lossless=True, icc_profile=linear), "a").pixels
    assert np.array_equal(
        decode(saved(mild(), "WEBP", lossless=True, icc_profile=linear, exif=exif), "a").pixels, alone
    )


def avif_with_codes(primaries, transfer, **options):
    """Return an AVIF with these colour codes, and its pixels as they are stored."""
    data = saved(mild(), "AVIF", quality=95, **options)
    with Image.open(streams.BytesIO(data)) as image:
        stored = np.asarray(image.convert("RGB"))
    head, box, rest = data.partition(b"colrnclx")
    return (head + box + struct.pack(">HH", primaries, transfer) + rest[4:] if box else data), stored


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF decoder here")


@needs_avif
@pytest.mark.parametrize(("primaries", "transfer"), [(12, 13), (9, 13), (9, 14), (1, 8), (1, 4)])
def test_the_colour_codes_of_an_avif_are_converted_as_those_of_a_png(primaries, transfer):
    data, stored = avif_with_codes(primaries, transfer)
    curve = 13 if transfer == 14 else transfer  # photographs in sRGB often have the codes of video
    png = saved(stored, "PNG")
    expected = decode(png[:33] + chunk(b"cICP", bytes((primaries, curve, 0, 1))) + png[33:], "a")
    photo = decode(data, "a")
    assert np.array_equal(photo.pixels, expected.pixels) and not np.array_equal(photo.pixels, stored)
    assert photo.notes == ("colours converted to sRGB",)


@needs_avif
@pytest.mark.parametrize(
    ("primaries", "transfer", "notes"),
    [
        (1, 13, ()),
        (1, 1, ()),
        (1, 6, ()),
        (2, 2, ()),
        (9, 16, ("HDR colours (PQ) are not converted",)),
        (12, 18, ("HDR colours (HLG) are not converted",)),
        (77, 13, ("colour code of an unknown kind ignored",)),
    ],
)
def test_an_avif_in_srgb_or_in_colours_that_are_not_converted_keeps_its_pixels(primaries, transfer, notes):
    data, stored = avif_with_codes(primaries, transfer)
    photo = decode(data, "a")
    assert np.array_equal(photo.pixels, stored) and photo.notes == notes


@needs_avif
def test_the_profile_of_an_avif_comes_before_its_codes():
    data, stored = avif_with_codes(9, 16, icc_profile=profile(b"RGB ", gamma=256))
    expected = decode(saved(stored, "PNG", icc_profile=profile(b"RGB ", gamma=256)), "a")
    photo = decode(data, "a")
    assert np.array_equal(photo.pixels, expected.pixels) and photo.notes == ("colours converted to sRGB",)


def bmp(space, *, icc=b"", size=124, primaries=bytes(36), offset=None, length=None):
    """Return a BMP of `mild()` with a header of version 4 or 5."""
    pixels = mild()
    height, width = pixels.shape[:2]
    rows = pixels[::-1, :, ::-1].tobytes()
    header = struct.pack("<IiiHHIIiiII", size, width, height, 1, 24, 0, len(rows), 2835, 2835, 0, 0) + bytes(16)
    header += struct.pack("<I", space) + primaries + bytes(12)
    if size == 124:
        start = size + len(rows) if offset is None else offset
        header += struct.pack("<4I", 4, start, len(icc) if length is None else length, 0)
    start = 14 + size
    return b"BM" + struct.pack("<IHHI", start + len(rows) + len(icc), 0, 0, start) + header + rows + icc


def test_the_profile_of_a_bmp():
    icc = profile(b"RGB ", gamma=256)
    expected = decode(saved(mild(), "PNG", icc_profile=icc), "a").pixels
    photo = decode(bmp(0x4D424544, icc=icc), "a")
    assert np.array_equal(photo.pixels, expected) and photo.notes == ("colours converted to sRGB",)


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (bmp(0x4C494E4B, icc=b"C:\\a.icc\0"), "linked ICC profile ignored"),
        (bmp(0, size=108, primaries=bytes([1] * 36)), "colour calibration of the BMP ignored"),
        (bmp(0x4D424544, icc=b"short", length=1 << 30), "unreadable ICC profile ignored"),
        (bmp(0x4D424544, icc=b"short", offset=1 << 31), "unreadable ICC profile ignored"),
    ],
)
def test_colours_of_a_bmp_that_cant_be_converted_have_a_note(data, note):
    photo = decode(data, "a")
    assert photo.notes == (note,) and np.array_equal(photo.pixels, mild())


@pytest.mark.parametrize("data", [bmp(0x73524742), bmp(0x57696E20), bmp(0, size=108), saved(mild(), "BMP")])
def test_a_bmp_in_srgb_has_no_note(data):
    photo = decode(data, "a")
    assert photo.notes == () and np.array_equal(photo.pixels, mild())


# ---- side data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_resolution_turns_with_the_photograph(kind, orientation):
    stored = oriented(smooth(32, 48), orientation)
    photo = decode(saved(stored, kind, dpi=(300, 150), exif=exif_of(orientation)), "a")
    assert photo.pixels.shape[:2] == (32, 48)
    expected = (150, 300) if orientation >= 5 else (300, 150)
    for target in ("JPEG", "PNG", "TIFF"):
        data, _ = encode(io.to_rgb8(photo), target, photo.exif)
        with Image.open(streams.BytesIO(data)) as image:
            assert image.info["dpi"] == pytest.approx(expected, abs=0.5), target


@pytest.mark.parametrize(("kind", "note"), [(b"iptc", "IPTC"), (b"8bim", "IPTC"), (b"xmp", "XMP")])
def test_raw_profiles_in_the_text_of_a_png_are_noted(kind, note):
    body = b"Raw profile type " + kind + b"\0\0" + zlib.compress(b"\n" + kind + b"\n       3\n616263\n")
    data = saved(smooth(), "PNG")
    assert decode(data[:33] + chunk(b"zTXt", body) + data[33:], "a").notes == (f"{note} left out",)


def test_exif_that_is_cut_short_is_noted():
    exif = exif_of(1).tobytes()
    assert decode(saved(smooth(), "JPEG", exif=exif[:30]), "a").notes == ("unreadable EXIF left out",)
    upright = Image.Exif()
    upright[274] = 1
    assert decode(saved(smooth(), "JPEG", exif=upright), "a").notes == ()


# ---- kinds of files


def test_the_colour_map_of_a_tiff_may_have_8_bits():
    indices = (smooth()[..., :1] // 16).astype(np.uint8)
    levels = [(7 * index + shift) % 256 for shift in (0, 90, 180) for index in range(256)]
    expected = np.array(levels).reshape(3, 256).T[indices[..., 0]]
    for scale in (1, 257):
        data = tiff(indices, "none", kind="u1", t262=[3], t320=[scale * level for level in levels])
        # The entry of the colour map must have numbers of 16 bits.
        data = data.replace(struct.pack("<HHI", 320, 4, 768), struct.pack("<HHI", 320, 3, 768))
        start = struct.unpack_from("<I", data, data.index(struct.pack("<HHI", 320, 3, 768)) + 8)[0]
        short = struct.pack("<768H", *[scale * level for level in levels])
        data = data[:start] + short + data[start + len(short) :]
        assert np.array_equal(decode(data, "a").pixels, expected), scale


@pytest.mark.parametrize("number", [34712, 34887, 50001, 50002, 34892])
def test_a_tiff_of_an_unsupported_compression_is_not_called_damaged(number):
    data = tiff(smooth()[..., :3], "none", kind="u1", rows=24)
    entry = struct.pack("<HHII", 259, 4, 1, 1)
    assert data.count(entry) == 1
    with pytest.raises(DataError) as raised:
        decode(data.replace(entry, struct.pack("<HHII", 259, 4, 1, number)), "a")
    assert f"a compression that is not supported (number {number})" in str(raised.value)


def test_a_jpeg_of_12_bits_is_not_called_damaged():
    data = saved(smooth(), "JPEG")
    start = data.index(b"\xff\xc0")
    with pytest.raises(DataError, match=r"is a JPEG of a kind that is not supported \(12-bit layers\): save it"):
        decode(data[: start + 4] + b"\x0c" + data[start + 5 :], "a")


def with_picture_below(first, below, *, reduced):
    """Return a TIFF whose first directory is a picture with another one in a directory below it, as in a DNG."""
    parts = [tiff(first, "none", kind="u1", rows=len(first), t254=[reduced], t330=[0])]
    second = tiff(below, "none", kind="u1", rows=len(below), t254=[0])
    base = len(parts[0])
    # The offsets in the second file count from the start of the first one.
    count = struct.unpack_from("<H", second, 8)[0]
    moved = bytearray(second)
    for index in range(count):
        tag, _, number, value = struct.unpack_from("<HHII", second, 10 + 12 * index)
        if tag == 273 or number > 1:
            struct.pack_into("<I", moved, 10 + 12 * index + 8, value + base)
    head = parts[0].replace(struct.pack("<HHII", 330, 4, 1, 0), struct.pack("<HHII", 330, 4, 1, base + 8))
    return head + bytes(moved)


@pytest.mark.parametrize("reduced", [0, 1])
def test_the_full_picture_may_be_below_the_thumbnail(reduced):
    full, small = smooth(32, 48), smooth(8, 12)
    assert np.array_equal(decode(with_picture_below(small, full, reduced=reduced), "a").pixels, full)


def test_smaller_pictures_below_do_not_count():
    assert np.array_equal(
        decode(with_picture_below(smooth(32, 48), smooth(8, 12), reduced=0), "a").pixels, smooth(32, 48)
    )
