"""Gray, toned or in colour: real photographs and what printing, scanning and JPEG make of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from toolbox import images, sample
from toolbox.toning import judge, toned

SEPIA = (1.07, 0.95, 0.78)


def photos(count=8):
    return [images.read_rgb(path) for path in images.find(sample.folder() / "photos")[:count]]


def jpeg(pixels, quality):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream).convert("RGB"))


def three(gray):
    return np.repeat(gray[..., None], 3, axis=2)


def sepia(gray):
    return np.clip(gray[..., None] * np.array(SEPIA), 0, 255).astype(np.uint8)


def test_real_photographs_are_in_colour():
    assert [judge(photo).kind for photo in photos()] == ["colour"] * 8


@pytest.mark.parametrize("quality", [60, 90])
def test_a_gray_photograph_saved_as_colour_jpeg_is_gray(quality):
    assert {judge(jpeg(three(images.luma(photo)), quality)).kind for photo in photos()} == {"gray"}


def test_a_scan_with_noise_is_gray():
    random = np.random.default_rng(0)
    for photo in photos(4):
        noisy = three(images.luma(photo)) + random.normal(0, 2, photo.shape)
        assert judge(np.clip(noisy, 0, 255).round().astype(np.uint8)).kind == "gray"


def test_sepia_is_toned_and_its_tone_can_be_given_back():
    for photo in photos():
        print_ = sepia(images.luma(photo))
        found = judge(print_)
        assert found.kind == "toned"
        again = toned(images.luma(print_), found)
        assert np.abs(again.astype(int) - print_).max() <= 6


def test_a_blue_photograph_of_one_tone_is_in_colour():
    blue = np.clip(images.luma(photos(1)[0])[..., None] * np.array([0.8, 0.95, 1.15]), 0, 255).astype(np.uint8)
    assert judge(blue).kind == "colour"


def test_what_is_lost_does_not_count():
    gray = three(images.luma(photos(1)[0]))
    lost = np.zeros(gray.shape[:2], bool)
    lost[: len(lost) // 2] = True
    gray[lost] = (255, 0, 0)
    assert judge(gray).kind == "colour"
    assert judge(gray, lost).kind == "gray"


def test_the_smallest_and_the_emptiest():
    for pixels in (np.zeros((1, 1, 3), np.uint8), np.full((1, 700, 3), 255, np.uint8)):
        assert judge(pixels).kind == "gray"
    red = np.zeros((2, 2, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    assert judge(red, np.ones((2, 2), bool)).kind in ("colour", "toned")
