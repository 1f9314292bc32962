"""The synthetic damage: frequencies and sizes of the shapes, Pillow's luma, exact masks. Takes about 6 s."""

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


def box_size(mask):
    y, x = np.nonzero(mask)
    return int(np.ptp(y)) + 1, int(np.ptp(x)) + 1


def fill_ratio(mask):
    height, width = box_size(mask)
    return np.count_nonzero(mask) / (height * width)


def draw_masks(count, **shapes):
    rng = np.random.default_rng(0)
    return [damage(BLANK, rng, **shapes)[1] for _ in range(count)]


def test_half_are_rectangles_a_quarter_circles_a_quarter_polygons():
    masks = draw_masks(1000)
    boxes = [box_size(mask) for mask in masks]
    rectangles = sum(fill_ratio(mask) == 1 for mask in masks)
    circles = sum(h == w and abs(fill_ratio(m) - np.pi / 4) < 0.02 for m, (h, w) in zip(masks, boxes, strict=True))
    # The tolerances are four standard deviations of a binomial distribution with n = 1000.
    assert rectangles == pytest.approx(500, abs=64)
    assert circles == pytest.approx(250, abs=56)


@pytest.mark.parametrize(
    ("shape", "smallest", "largest"), [("rectangle", 33, 149), ("circle", 65, 144), ("polygon", 179, 489)]
)
def test_the_sides_of_the_boxes_are_in_the_measured_range(shape, smallest, largest):
    sides = [side for mask in draw_masks(300, **ONLY[shape]) for side in box_size(mask)]
    assert min(sides) >= smallest and max(sides) <= largest
    assert np.ptp(sides) > 0.9 * (largest - smallest)


@pytest.mark.parametrize(("shape", "median"), [("rectangle", 3.0), ("circle", 2.7), ("polygon", 12.2)])
def test_the_median_area_is_near_the_measured_one(shape, median):
    areas = [100 * mask.mean() for mask in draw_masks(400, **ONLY[shape])]
    assert np.median(areas) == pytest.approx(median, rel=0.2)


@pytest.mark.parametrize("shape", ONLY)
def test_pixels_outside_are_pillows_luma_and_inside_have_one_level(shape):
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


def test_the_same_random_state_gives_the_same_damage():
    photo = noise(64, 64)
    first, second, different = (damage(photo, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[1], different[1])
    assert np.array_equal(photo, noise(64, 64))


def test_some_polygons_cross_themselves_and_have_a_hole():
    with_hole = 0
    for mask in draw_masks(60, **ONLY["polygon"]):
        # By the even-odd rule, an area that the outline encloses twice is outside.
        padded = np.zeros((514, 514), bool)
        padded[1:-1, 1:-1] = mask
        with_hole += count_hole_pixels(padded) > 30
    assert with_hole >= 3


def count_hole_pixels(mask):
    """Return the number of background pixels that are not connected to the border."""
    import cv2

    _, labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    return int(np.count_nonzero(~mask & (labels != labels[0, 0])))


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32), st.sampled_from(sorted(ONLY)))
def test_shapes_scale_with_any_picture_size(height, width, seed, shape):
    photo = noise(height, width)
    gray, mask = damage(photo, np.random.default_rng(seed), **ONLY[shape])
    assert gray.shape == mask.shape == (height, width)
    assert mask.any()
    box_height, box_width = box_size(mask)
    largest = {"rectangle": 149, "circle": 144, "polygon": 489}[shape] / 512
    assert box_height <= max(1, round(largest * height)) and box_width <= max(1, round(largest * width))


@pytest.mark.parametrize(
    ("photo", "options", "message"),
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
def test_invalid_arguments_are_rejected(photo, options, message):
    with pytest.raises(ValueError, match=message):
        damage(photo, np.random.default_rng(0), **options)
