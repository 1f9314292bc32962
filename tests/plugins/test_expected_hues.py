"""The post-processor `expected-hues`: the luma stays, the changes are small, the hue histogram is the expected one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from toolbox_plugins.luma.classes import COUNT
from toolbox_plugins.luma.expected_hues import BINS, HueMap, expected_hues, hues

from toolbox import load_restorer
from toolbox.color import array_cbcr, array_luma, integer_luma, is_gray
from toolbox.data import sample
from toolbox.imaging import io


@pytest.fixture(scope="module")
def photo():
    """A photograph with the pale colours of a restored one."""
    photo = io.read_rgb(io.find_images(sample.folder() / "photos")[0])[:80, :96].astype(np.float32)
    gray = array_luma(photo)[..., None]
    return np.rint(gray + 0.15 * (photo - gray)).clip(0, 255).astype(np.uint8)


def flat_map(histogram):
    """Return a map that expects `histogram` for every photograph."""
    return HueMap(weight=np.zeros((COUNT, BINS), np.float32), bias=np.asarray(histogram, np.float32))


def histogram(picture):
    return np.bincount(hues(picture.reshape(-1, 3)), minlength=BINS) / (picture.size // 3)


@pytest.mark.parametrize("strength", [0.6, 1.25, 2])
def test_the_luma_stays_and_no_colour_changes_more_than_the_strength(photo, strength):
    result = expected_hues(photo, HueMap.load(), strength)
    assert np.array_equal(integer_luma(result), integer_luma(photo)) and not np.array_equal(result, photo)
    change = result.astype(np.float32) - photo
    assert np.hypot(*np.moveaxis(array_cbcr(change, array_luma(change)), -1, 0)).max() <= strength + 1e-5


def test_the_histogram_comes_nearer_to_the_expected_one(photo):
    goal = np.zeros(BINS)
    goal[[0, 15, 30, 105, 120]] = 0.2
    before = np.corrcoef(histogram(photo), goal)[0, 1]
    after = np.corrcoef(histogram(expected_hues(photo, flat_map(goal), 1.25)), goal)[0, 1]
    more = np.corrcoef(histogram(expected_hues(photo, flat_map(goal), 2)), goal)[0, 1]
    assert before + 0.2 < after < more


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_the_luma_of_flat_pictures_stays(value, size):
    picture = np.full((*size, 3), value, np.uint8)
    assert np.array_equal(integer_luma(expected_hues(picture, HueMap.load(), 1.25)), integer_luma(picture))


def test_neighbouring_pixels_change_alike(photo):
    """A histogram by independent changes of each pixel would be noise."""
    change = expected_hues(photo, HueMap.load(), 1.25).astype(np.float32) - photo
    shuffled = np.random.default_rng(0).permutation(change.reshape(-1, 3)).reshape(change.shape)
    smooth, noisy = (np.abs(cv2.GaussianBlur(each, (0, 0), 2)).mean() for each in (change, shuffled))
    assert smooth > 1.5 * noisy


def test_pictures_of_16_bits_stay(photo):
    deep = photo.astype(np.uint16) * 257
    assert np.array_equal(expected_hues(deep, HueMap.load(), 1.25), deep)


def test_a_gray_photograph_may_have_one_channel_or_three_equal_ones(photo):
    gray = integer_luma(photo)
    assert is_gray(gray) and is_gray(np.dstack([gray] * 3)) and not is_gray(photo)


def test_photographs_with_colours_of_their_own_keep_them(photo):
    mask = np.zeros(photo.shape[:2], bool)
    mask[40:60, 40:60] = True
    plain, processed = (load_restorer("luma", device="cpu", post=post) for post in ("none", "expected-hues"))
    assert np.array_equal(processed(photo, mask), plain(photo, mask))
    gray = integer_luma(photo)
    results = [restorer(gray, mask) for restorer in (plain, processed)]
    assert not np.array_equal(*results)
    assert np.array_equal(*(integer_luma(result) for result in results))
