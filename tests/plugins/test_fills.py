"""The fills: what they must keep for any image and hole, and what each is for."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toolbox_plugins.fills.auto import auto
from toolbox_plugins.fills.average import average
from toolbox_plugins.fills.frequency import extrapolate, frequency
from toolbox_plugins.fills.smooth import smooth
from toolbox_plugins.fills.texture import texture

from toolbox.smooth_fill import fill_array

FILLS = {"smooth": smooth, "frequency": frequency, "texture": texture, "average": average, "auto": auto}
every = pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)


@st.composite
def damaged(draw):
    """An image of any size, depth and channels, with rectangles and lines lost, at the borders too."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    depth = draw(st.sampled_from([np.uint8, np.uint16]))
    shape = (height, width, *draw(st.sampled_from([(), (3,)])))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = random.integers(0, np.iinfo(depth).max, shape, dtype=depth, endpoint=True)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 4))):
        x, y = (int(random.integers(-20, side + 20)) for side in (width, height))
        if draw(st.booleans()):
            cv2.rectangle(mask, (x, y), tuple(map(int, (x + random.integers(40), y + random.integers(40)))), 1, -1)
        else:
            cv2.line(mask, (x, y), tuple(map(int, random.integers(0, 70, 2))), 1, int(random.integers(1, 5)))
    return image, mask.astype(bool)


@every
@settings(max_examples=30, deadline=None)
@given(damaged(), st.integers(0, 5))
def test_any_hole_is_filled_and_what_is_known_stays(fill, case, seed):
    image, mask = case
    before, lost = image.copy(), mask.copy()
    found = fill(image, mask, seed=seed)
    assert found.shape == image.shape and found.dtype == image.dtype
    assert np.array_equal(found[~mask], image[~mask])
    # Nothing is written into the input, what lies under the mask is not looked at, and a seed repeats.
    assert np.array_equal(image, before) and np.array_equal(mask, lost)
    image[mask] = np.iinfo(image.dtype).max // 3
    assert np.array_equal(fill(image, mask, seed=seed), found)


@every
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (40, 30), (5, 3, 3), (1, 200)])
def test_an_image_that_is_lost_completely_is_black(fill, shape):
    image = np.full(shape, 200, np.uint8)
    assert not fill(image, np.ones(shape[:2], bool)).any()


@every
def test_one_known_pixel_is_enough(fill):
    image, mask = np.full((30, 41), 90, np.uint8), np.ones((30, 41), bool)
    mask[3, 40] = False
    assert (fill(image, mask) == 90).all()


@every
def test_nothing_lost_is_the_image_itself(fill):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(fill(image, np.zeros((20, 30), bool)), image)


@every
@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (np.zeros((8, 8), np.float32), np.zeros((8, 8), bool), "uint8 or uint16"),
        (np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8), bool), "uint8 or uint16"),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 9), bool), "mask must be bool"),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), "mask must be bool"),
        (np.zeros((0, 8), np.uint8), np.zeros((0, 8), bool), "mask must be bool"),
    ],
)
def test_other_types_and_shapes_are_refused(fill, image, mask, message):
    with pytest.raises(ValueError, match=message):
        fill(image, mask)


@every
def test_sixteen_bits_are_filled_as_eight_are(fill):
    image, mask = scene()
    eight = fill(image, mask).astype(int)
    sixteen = fill((image.astype(np.uint16) * 257), mask).astype(int)
    assert np.abs(sixteen - eight * 257).max() <= 129


@every
def test_a_slope_goes_on(fill):
    slope = np.tile(np.linspace(20, 220, 160).round().astype(np.uint8), (120, 1))
    mask = np.zeros(slope.shape, bool)
    mask[40:80, 60:100] = True
    off = np.abs(fill(slope, mask).astype(int) - slope)[mask]
    flat = np.abs(slope[mask].astype(int) - int(slope[mask].mean()))
    assert off.mean() < 0.25 * flat.mean()


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Stripes beside sand, with a window and a scratch lost."""
    y, x = np.mgrid[:150, :200]
    sand = np.random.default_rng(1).normal(0, 12, (150, 200))
    image = np.where(x < 100, 128 + 80 * np.sign(np.sin(2 * np.pi * y / 12)), 120 + cv2.GaussianBlur(sand, (0, 0), 1))
    mask = np.zeros(image.shape, bool)
    mask[50:100, 30:80] = True
    mask[:, 150:153] = True
    return image.clip(0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("name", ["frequency", "texture", "auto"])
def test_stripes_go_on(name):
    image, mask = scene()
    mask[:, 150:153] = False

    def error(found):
        return np.abs(found[mask].astype(int) - image[mask]).mean()

    assert error(FILLS[name](image, mask)) < 0.25 * error(smooth(image, mask))


@pytest.mark.parametrize("name", ["texture", "auto"])
def test_an_edge_that_ends_at_the_hole_goes_through_it(name):
    """A dark half-plane under a textured sky, whose border is slanted."""
    y, x = np.mgrid[:160, :220]
    noise = np.random.default_rng(2).normal(0, 6, y.shape)
    image = (np.where(y > 60 + 0.2 * x, 50, 180) + noise).clip(0, 255).astype(np.uint8)
    mask = np.zeros(image.shape, bool)
    mask[50:110, 80:130] = True
    found = FILLS[name](image, mask)
    wrong = np.abs(found.astype(int) - image)[mask] > 60
    assert wrong.mean() < 0.06


def test_texture_copies_and_is_no_flatter_than_what_is_around():
    sand = np.random.default_rng(3).normal(128, 25, (200, 200))
    image = cv2.GaussianBlur(sand, (0, 0), 1.5).clip(0, 255).astype(np.uint8)
    mask = np.zeros(image.shape, bool)
    mask[70:130, 70:130] = True
    inside = texture(image, mask)[76:124, 76:124].std()
    assert 0.8 < inside / image[~mask].std() < 1.2
    assert smooth(image, mask)[76:124, 76:124].std() < 0.4 * image[~mask].std()


def test_texture_does_not_copy_what_is_forbidden():
    """The only bright pixels are forbidden, on both sides of a hole that they would fill well."""
    random = np.random.default_rng(4)
    image = random.integers(60, 100, (120, 160), dtype=np.uint8)
    image[:, :40] = random.integers(200, 240, (120, 40))
    mask, forbidden = np.zeros((2, 120, 160), bool)
    mask[40:80, 50:90] = True
    forbidden[:, :45] = True
    assert texture(image, mask, forbidden=forbidden)[mask].max() < 160
    with pytest.raises(ValueError, match="forbidden must be bool"):
        texture(image, mask, forbidden=forbidden[:5])


def test_a_hole_that_touches_what_is_forbidden_is_not_made_up():
    image, mask = scene()
    forbidden = np.zeros(mask.shape, bool)
    forbidden[20:55, 30:80] = True
    mask[:, 150:153] = False
    found, waves = (fill.astype(float) for fill in (texture(image, mask, forbidden=forbidden), frequency(image, mask)))
    # Not equal: the crops differ, and with them the grid of blocks.
    assert np.abs(found - waves)[mask].mean() < 0.2 * np.abs(texture(image, mask) - waves)[mask].mean()


def test_seeds_give_other_textures():
    image, mask = scene()
    assert not np.array_equal(texture(image, mask, seed=0), texture(image, mask, seed=1))


@pytest.mark.parametrize("name", ["smooth", "frequency", "auto"])
def test_thousands_of_specks_in_a_large_photograph_are_quick(name):
    """5,000 specks and scratches in 12 megapixels, against OpenCV's Telea on the same machine."""
    random = np.random.default_rng(0)
    image = cv2.resize(random.integers(0, 256, (300, 400), dtype=np.uint8), (4000, 3000), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros(image.shape, np.uint8)
    for x, y, dx, dy, width in zip(
        *random.integers(0, (4000, 3000), (5000, 2)).T,
        *random.integers(-12, 13, (2, 5000)),
        random.integers(1, 4, 5000),
        strict=True,
    ):
        cv2.line(mask, (int(x), int(y)), (int(x + dx), int(y + dy)), 1, int(width))
    started = time.process_time()
    cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA)
    theirs, started = time.process_time() - started, time.process_time()
    FILLS[name](image, mask.astype(bool))
    assert time.process_time() - started < max(120, 40 * theirs)


def test_the_quick_form_is_good_for_training_starts():
    """A crop of 128 pixels with one hole; the time is of the order of two of Telea's dozen milliseconds."""
    image, mask = scene()
    values, lost = image[20:148, 10:138, None].astype(np.float32), mask[20:148, 10:138]
    found = extrapolate(values, lost, window=32, rounds=24)
    off = np.abs(found - values)[lost].mean()
    assert off < 0.4 * np.abs(fill_array(values, ~lost) - values)[lost].mean()
    assert np.array_equal(found[~lost], values[~lost])
