"""The synthetic damage: shares and sizes of the shapes, Pillow's luma, exact masks. About 6 s."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from toolbox_plugins.default.lost_region import damage

BLANK = np.full((512, 512, 3), 200, np.uint8)
ONLY = {
    "rectangle": {"rectangle": 1, "circle": 0, "polygon": 0},
    "circle": {"rectangle": 0, "circle": 1, "polygon": 0},
    "polygon": {"rectangle": 0, "circle": 0, "polygon": 1},
}


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def box(mask):
    y, x = np.nonzero(mask)
    return int(np.ptp(y)) + 1, int(np.ptp(x)) + 1


def share_of_box(mask):
    height, width = box(mask)
    return np.count_nonzero(mask) / (height * width)


def masks(count, **shapes):
    rng = np.random.default_rng(0)
    return [damage(BLANK, rng, **shapes)[1] for _ in range(count)]


def test_half_are_rectangles_a_quarter_circles_a_quarter_polygons():
    drawn = masks(1000)
    boxes = [box(mask) for mask in drawn]
    rectangles = sum(share_of_box(mask) == 1 for mask in drawn)
    circles = sum(h == w and abs(share_of_box(m) - np.pi / 4) < 0.02 for m, (h, w) in zip(drawn, boxes, strict=True))
    # Four standard deviations of a binomial draw of 1000.
    assert rectangles == pytest.approx(500, abs=64)
    assert circles == pytest.approx(250, abs=56)


@pytest.mark.parametrize(
    ("shape", "least", "most"), [("rectangle", 33, 149), ("circle", 65, 144), ("polygon", 179, 489)]
)
def test_the_boxes_keep_to_the_measured_sides(shape, least, most):
    sides = [side for mask in masks(300, **ONLY[shape]) for side in box(mask)]
    assert min(sides) >= least and max(sides) <= most
    assert np.ptp(sides) > 0.9 * (most - least)


@pytest.mark.parametrize(("shape", "median"), [("rectangle", 3.0), ("circle", 2.7), ("polygon", 12.2)])
def test_the_middle_area_is_near_the_measured_one(shape, median):
    areas = [100 * mask.mean() for mask in masks(400, **ONLY[shape])]
    assert np.median(areas) == pytest.approx(median, rel=0.2)


@pytest.mark.parametrize("shape", ONLY)
def test_outside_is_pillows_luma_and_inside_one_level(shape):
    photo = noise(200, 300)
    gray, mask = damage(photo, np.random.default_rng(5), **ONLY[shape])
    assert gray.dtype == np.uint8 and mask.dtype == bool and mask.any()
    luma = np.asarray(Image.fromarray(photo).convert("L"))
    assert np.array_equal(gray[~mask], luma[~mask])
    assert len(np.unique(gray[mask])) == 1


def test_levels_are_drawn_evenly_from_low_to_high():
    rng = np.random.default_rng(0)
    photo = np.full((8, 8, 3), 200, np.uint8)
    levels = [int(gray[mask][0]) for gray, mask in (damage(photo, rng) for _ in range(2000))]
    assert set(levels) == set(range(101))
    assert np.mean(levels) == pytest.approx(50, abs=4 * 29.2 / 2000**0.5)
    gray, mask = damage(photo, rng, low=250, high=250)
    assert np.unique(gray[mask]).tolist() == [250]


def test_the_same_state_of_the_generator_gives_the_same_damage():
    photo = noise(64, 64)
    one, two, other = (damage(photo, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])
    assert not np.array_equal(one[1], other[1])
    assert np.array_equal(photo, noise(64, 64))


def test_polygons_cross_themselves_and_leave_the_inside_of_a_crossing_out():
    enclosed = 0
    for mask in masks(60, **ONLY["polygon"]):
        # Even-odd: going round twice is outside again, so that some polygons have a hole.
        outside = np.zeros((514, 514), bool)
        outside[1:-1, 1:-1] = mask
        enclosed += _holes(outside) > 30
    assert enclosed >= 3


def _holes(mask):
    """Return how many pixels of the background can't be reached from the border."""
    import cv2

    _, labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    return int(np.count_nonzero(~mask & (labels != labels[0, 0])))


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32), st.sampled_from(sorted(ONLY)))
def test_any_size_gets_a_shape_that_is_in_proportion(height, width, seed, shape):
    photo = noise(height, width)
    gray, mask = damage(photo, np.random.default_rng(seed), **ONLY[shape])
    assert gray.shape == mask.shape == (height, width)
    assert mask.any()
    tall, wide = box(mask)
    most = {"rectangle": 149, "circle": 144, "polygon": 489}[shape] / 512
    assert tall <= max(1, round(most * height)) and wide <= max(1, round(most * width))


@pytest.mark.parametrize(
    ("photo", "options", "word"),
    [
        (np.zeros((4, 4), np.uint8), {}, "photo"),
        (np.zeros((4, 4, 3), np.float32), {}, "photo"),
        (np.zeros((0, 4, 3), np.uint8), {}, "photo"),
        (np.zeros((4, 4, 3), np.uint8), {"low": 5, "high": 4}, "levels"),
        (np.zeros((4, 4, 3), np.uint8), {"high": 256}, "levels"),
        (np.zeros((4, 4, 3), np.uint8), {"rectangle": 0, "circle": 0, "polygon": 0}, "weights"),
        (np.zeros((4, 4, 3), np.uint8), {"circle": float("nan")}, "weights"),
    ],
)
def test_what_can_not_be_damaged_is_refused(photo, options, word):
    with pytest.raises(ValueError, match=word):
        damage(photo, np.random.default_rng(0), **options)
