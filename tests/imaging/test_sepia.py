"""Gray, toned or in colour: photographs after simulated printing, scanning and JPEG."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import jpeg, smooth

from toolbox.color import integer_luma
from toolbox.data import sample
from toolbox.imaging.io import find_images, read_rgb
from toolbox.imaging.sepia import apply_toning, measure_toning

SEPIA = (1.07, 0.95, 0.78)


def photos(count=8):
    return [read_rgb(path) for path in find_images(sample.folder() / "photos")[:count]]


def gray_to_rgb(gray):
    return np.repeat(gray[..., None], 3, axis=2)


def sepia(gray):
    return np.clip(gray[..., None] * np.array(SEPIA), 0, 255).astype(np.uint8)


def filtered(photo):
    """Return the sepia filter of image editors: a weighted sum of the channels with three scales, clipped at white."""
    rows = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
    return (photo @ rows.T).clip(0, 255).astype(np.uint8)


def test_real_photographs_are_in_colour():
    assert [measure_toning(photo).kind for photo in photos()] == ["colour"] * 8


@pytest.mark.parametrize("quality", [60, 90])
def test_a_gray_photograph_saved_as_colour_jpeg_is_gray(quality):
    assert {measure_toning(jpeg(gray_to_rgb(integer_luma(photo)), quality)).kind for photo in photos()} == {"gray"}


def test_a_scan_with_noise_is_gray():
    random = np.random.default_rng(0)
    for photo in photos(4):
        noisy = gray_to_rgb(integer_luma(photo)) + random.normal(0, 2, photo.shape)
        assert measure_toning(np.clip(noisy, 0, 255).round().astype(np.uint8)).kind == "gray"


@pytest.mark.parametrize("quality", [None, 80, 60])
def test_sepia_is_toned(quality):
    for photo in photos():
        for toned in (sepia(integer_luma(photo)), filtered(photo)):
            assert measure_toning(toned if quality is None else jpeg(toned, quality)).kind == "toned"


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_tone_can_be_applied_again(kind):
    scale = np.iinfo(kind).max // 255
    for photo in photos():
        for toned in (sepia(integer_luma(photo)), filtered(photo)):
            found = measure_toning(toned)
            deep = toned.astype(kind) * kind(scale)
            again = apply_toning(integer_luma(deep), found)
            assert again.dtype == kind
            # Near white single channels are clipped, and different colours have almost the same luma.
            assert np.percentile(np.abs(again.astype(int) - deep), 99) <= 6 * scale
            assert np.abs(integer_luma(again).astype(int) - integer_luma(deep)).max() <= 6 * scale


def test_16_bits_have_tones_between_the_levels_of_8_bits():
    level = np.arange(65536, dtype=np.uint16)[None]
    found = apply_toning(level, measure_toning(sepia(np.arange(256, dtype=np.uint8)[None])))
    assert len(np.unique(found[0, :60000, 1])) > 50_000
    assert np.diff(found[0].astype(int), axis=0).min() >= -1


def test_a_sunset_is_in_colour():
    photo = integer_luma(photos(1)[0]) / 255
    sunset = np.stack([photo**0.3, photo, photo**4], axis=-1)
    assert measure_toning((255 * sunset).astype(np.uint8)).kind == "colour"


def test_a_blue_photograph_of_one_tone_is_in_colour():
    blue = np.clip(integer_luma(photos(1)[0])[..., None] * np.array([0.8, 0.95, 1.15]), 0, 255).astype(np.uint8)
    assert measure_toning(blue).kind == "colour"


def test_lost_pixels_do_not_count():
    gray = gray_to_rgb(integer_luma(photos(1)[0]))
    lost = np.zeros(gray.shape[:2], bool)
    lost[: len(lost) // 2] = True
    gray[lost] = (255, 0, 0)
    assert measure_toning(gray).kind == "colour"
    assert measure_toning(gray, lost).kind == "gray"


def test_the_smallest_pictures():
    for pixels in (np.zeros((1, 1, 3), np.uint8), np.full((1, 700, 3), 255, np.uint8)):
        assert measure_toning(pixels).kind == "gray"
    red = np.zeros((2, 2, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    assert measure_toning(red, np.ones((2, 2), bool)).kind in ("colour", "toned")


def test_a_gray_picture_with_a_brown_border_is_gray():
    rgb = np.repeat(integer_luma(smooth(120, 160))[..., None], 3, axis=2)
    rgb[:6] = rgb[-6:] = rgb[:, :6] = rgb[:, -6:] = (150, 110, 70)
    assert measure_toning(rgb).kind == "gray"
