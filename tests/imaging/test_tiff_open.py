"""TIFF files that Pillow has no mode for: gray with alpha in 16 bits, and floating-point samples."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import smooth
from tiffs import tiff

from toolbox.errors import DataError
from toolbox.imaging.io import decode, read_mask

GRAY = smooth(24, 40)[..., :1].astype(np.uint16) * 257 + np.arange(40, dtype=np.uint16)[None, :, None]
ALPHA = np.full_like(GRAY, 65535)
ALPHA[3:9] = 30000
COLOR = smooth(24, 40).astype(np.float64) / 255
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2


def gray_alpha(extra, pixels=GRAY, **options):
    return tiff(np.concatenate([pixels, ALPHA], axis=2), t262=[1], t338=[extra], **options)


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_0_is_black_if_a_tiff_does_not_say_what_it_is(channels, compression, kind):
    pixels = smooth(24, 40)[..., :channels].astype(kind)
    data = tiff(pixels, compression, kind=kind, t262=None)
    assert np.array_equal(decode(data, "a").pixels, pixels.squeeze())


@pytest.mark.parametrize("compression", ["none", "deflate", "zstd"])
@pytest.mark.parametrize("options", [{}, {"planar": True}, {"tile": 16}, {"order": ">"}, {"orientation": 6}], ids=str)
def test_gray_with_alpha_of_16_bits(compression, options):
    photo = decode(gray_alpha(UNASSOCIATED, compression=compression, **options), "a")
    turns = -1 if "orientation" in options else 0
    assert np.array_equal(photo.pixels, np.rot90(GRAY[..., 0], turns))
    assert np.array_equal(photo.alpha, np.rot90(ALPHA[..., 0], turns))


def test_the_kinds_of_alpha():
    photo = decode(gray_alpha(UNSPECIFIED, compression="none"), "a")
    assert np.array_equal(photo.pixels, GRAY[..., 0]) and photo.alpha is None
    multiplied = np.rint(GRAY * (ALPHA / 65535)).astype(np.uint16)
    photo = decode(gray_alpha(ASSOCIATED, multiplied, compression="none"), "a")
    assert np.abs(photo.pixels.astype(int) - GRAY[..., 0]).max() <= 2 and np.array_equal(photo.alpha, ALPHA[..., 0])


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("options", [{}, {"tile": 16}, {"order": ">"}, {"orientation": 6}], ids=str)
def test_floating_point_numbers_from_0_to_1_are_the_full_range(kind, channels, options):
    stored = np.concatenate([COLOR, COLOR[..., :1]], axis=2)[..., :channels]
    tags = {"t262": [1 if channels == 1 else 2]} | ({"t338": [UNASSOCIATED]} if channels == 4 else {})
    photo = decode(tiff(stored, "deflate", kind=kind, **tags, **options), "a")
    expected = np.rot90(np.rint(stored.astype(kind) * 65535), -1 if "orientation" in options else 0)
    assert photo.pixels.dtype == np.uint16
    assert np.array_equal(photo.pixels.reshape(expected[..., :3].shape), expected[..., :3])
    assert (photo.alpha is not None) == (channels == 4)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (COLOR * 255, "samples from 0 to 248, and only 0 for black to 1 for white is known: save it with 8 or 16 bits"),
        (COLOR - 0.5, "samples from -0.5 to 0.472549, and only 0"),
        (np.where(COLOR > 0.5, np.nan, COLOR), "NaN or infinite: save it"),
        (np.where(COLOR > 0.5, np.inf, COLOR), "NaN or infinite: save it"),
    ],
)
def test_numbers_without_a_clear_meaning_are_refused(pixels, message):
    with pytest.raises(DataError, match=message):
        decode(tiff(pixels, "none", kind="f4"), "a")


def test_other_kinds_say_what_to_do_and_are_not_called_damaged():
    five = np.concatenate([GRAY] * 5, axis=2)
    assert np.array_equal(decode(tiff(five, "none", t338=[0, 0]), "a").pixels, five[..., :3])
    kinds = {
        "in planes": tiff(COLOR, "none", kind="f4", planar=True),
        "under zstd": tiff(COLOR, "zstd", kind="f4"),
        "gray with alpha": tiff(COLOR[..., :2], "none", kind="f4", t262=[1], t338=[2]),
        "white is zero": gray_alpha(UNASSOCIATED, compression="none").replace(
            b"\x06\x01\x04\x00\x01\0\0\0\x01", b"\x06\x01\x04\x00\x01\0\0\0\x00"
        ),
        "big": b"MM\0+" + bytes(60),
    }
    for name, data in kinds.items():
        with pytest.raises(DataError, match="not supported.*: save it") as raised:
            decode(data, "a")
        assert "damaged" not in str(raised.value), name


def test_a_mask_of_zeros_and_ones_in_floating_point(tmp_path):
    lost = np.zeros((24, 40, 1))
    lost[4:9, 5:20] = 1
    (tmp_path / "m.tif").write_bytes(tiff(lost, "none", kind="f4", t262=[1]))
    assert np.array_equal(read_mask(tmp_path / "m.tif"), lost[..., 0] == 1)


def test_a_cut_file_is_called_cut():
    for data in (gray_alpha(UNASSOCIATED, compression="none"), tiff(COLOR, "none", kind="f4")):
        with pytest.raises(DataError, match="cut short"):
            decode(data[:-10], "a")
