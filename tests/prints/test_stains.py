"""Stains: the level comes from the surroundings, detail and sound pixels stay, opaque ones are left to fill. 1 s."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from prints import picture

from toolbox.color import integer_luma
from toolbox.imaging.pixels import as_rgb
from toolbox.prints import stains
from toolbox.prints.stains import lift_stains

DISC = ((110, 90), 36)


def disc(shape, grow=0):
    centre, radius = DISC
    return cv2.circle(np.zeros(shape[:2], np.uint8), centre, radius + grow, 1, -1) > 0


def stained(truth, offset=(-30, -40, -60), keep=1.0):
    """Return a picture with a soft-edged stain that adds an offset to each channel and keeps a part of the contrast."""
    alpha = cv2.GaussianBlur(disc(truth.shape).astype(np.float32), (0, 0), 1)[..., None]
    level = truth.mean(axis=(0, 1)) * (1 - keep) + keep * truth + np.array(offset)
    return np.rint(np.clip(truth + alpha * (level - truth), 0, 255)).astype(np.uint8)


def error(first, second, where):
    return float(np.abs(first.astype(float) - second)[where].mean())


def test_a_stain_is_lifted_and_its_detail_stays():
    truth = np.clip(picture(200, 260), 70, 255)
    image, mask = stained(truth), disc(truth.shape, 4)
    lifted, left = lift_stains(image, mask, mask)
    core = mask & ~left
    assert core.sum() > 0.7 * mask.sum() and np.array_equal(lifted[~core], image[~core])
    assert error(lifted, truth, core) < 0.5 * error(image, truth, core)
    fine = [plane - cv2.GaussianBlur(plane, (0, 0), 1.5) for plane in (lifted.astype(float), truth.astype(float))]
    inner = disc(truth.shape, -8)
    assert np.corrcoef(fine[0][inner].ravel(), fine[1][inner].ravel())[0, 1] > 0.9


def test_gray_and_colour_of_8_and_16_bits_are_lifted_alike():
    truth = integer_luma(np.clip(picture(200, 260), 70, 255))
    image, mask = integer_luma(stained(as_rgb(truth), (-40, -40, -40))), disc(truth.shape, 4)
    lifted, left = lift_stains(image, mask, mask)
    in_color, left_in_color = lift_stains(as_rgb(image), mask, mask)
    deep, left_deep = lift_stains(image.astype(np.uint16) * 257, mask, mask)
    assert (in_color == lifted[..., None]).all() and deep.dtype == np.uint16
    assert np.abs(deep / 257 - lifted).max() <= 0.51
    assert np.array_equal(left, left_in_color) and np.array_equal(left, left_deep)


def test_a_sound_area_stays_as_it_is():
    image = picture(200, 260)
    mask = disc(image.shape)
    same, left = lift_stains(image, mask, mask)
    assert np.array_equal(same, image) and not left.any()


@pytest.mark.parametrize(("offset", "keep"), [(-40, 0.0), (190, 1.0)])
def test_an_opaque_stain_and_other_damage_are_left_to_fill(offset, keep):
    image = stained(picture(200, 260), (offset, offset, offset), keep)
    mask, scratch = disc(image.shape, 4), np.zeros(image.shape[:2], bool)
    scratch[20:24] = True
    same, left = lift_stains(image, mask, mask | scratch)
    assert np.array_equal(same, image) and np.array_equal(left, mask | scratch)


@pytest.mark.parametrize(("contrast", "is_filled"), [(0.4, True), (1.0, False)])
def test_a_stain_with_more_detail_than_around_is_left_to_fill_in_a_calm_picture(contrast, is_filled):
    truth = 128 + contrast * (picture(200, 260).astype(np.float32) - 128)
    image, mask = stained(truth, (-40, -40, -40), 1.9), disc(truth.shape, 4)
    result, left = lift_stains(image, mask, mask)
    assert np.array_equal(result, image) == is_filled and np.array_equal(left, mask) == is_filled


@pytest.mark.parametrize("size", [(1, 400), (3, 400), (400, 2)])
def test_a_stain_in_a_narrow_picture_is_lifted_or_left(size):
    image, mask = np.full(size, 90, np.uint8), np.ones(size, bool)
    image[-1, -1] = 140
    mask[-1, -1] = False
    lifted, left = lift_stains(image, mask, mask)
    assert lifted.shape == size and lifted[-1, -1] == 140 and not left[-1, -1]
    assert np.array_equal(lifted[left], image[left])


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (30, 30)])
def test_a_stain_over_everything_is_left(size):
    image, mask = np.full(size, 90, np.uint8), np.ones(size, bool)
    same, left = lift_stains(image, mask, mask)
    assert np.array_equal(same, image) and left.all()


def test_a_large_stain_is_measured_at_a_smaller_size(monkeypatch):
    truth = np.clip(picture(200, 260), 70, 255)
    image, mask = stained(truth), disc(truth.shape, 4)
    monkeypatch.setattr(stains, "MAX_PIXELS", 6000)
    lifted, left = lift_stains(image, mask, mask)
    core = mask & ~left
    assert core.any() and error(lifted, truth, core) < 0.5 * error(image, truth, core)
