"""The restorer with a reference: what is known stays, bit for bit. About 5 s."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import scene, second_photo, square_hole, tint_restorer

import toolbox
from toolbox.color import integer_luma
from toolbox.guidance.provenance import Origin

SIDE = 320
HOLE = square_hole(SIDE, 130, 180)


@pytest.fixture(scope="module")
def truth():
    return scene()


@pytest.mark.parametrize("size", [None, 128])
def test_known_luma_stays_and_the_rest_is_nearer_to_the_truth(truth, size):
    gray = integer_luma(truth)
    gray[HOLE] = 99
    alone = tint_restorer("luma", size)(gray, HOLE)
    restored = tint_restorer("luma", size).restore(gray, HOLE, reference=second_photo(truth, quality=90))
    assert np.array_equal(integer_luma(restored.pixels)[~HOLE], gray[~HOLE])
    for where in (HOLE, ~HOLE):
        error, error_alone = (np.abs(x[where].astype(float) - truth[where]).mean() for x in (restored.pixels, alone))
        assert error < 0.5 * error_alone
    assert np.mean(restored.origin[HOLE] == Origin.FILLED_FROM_REFERENCE) > 0.9
    assert np.mean(restored.origin[~HOLE] == Origin.COLOUR_FROM_REFERENCE) > 0.8
    assert restored.used[0][0] == "reference 1"


@pytest.mark.parametrize("keep", ["luma", "rgb"])
def test_another_scene_changes_nothing(truth, keep):
    image = integer_luma(truth) if keep == "luma" else truth
    assert np.array_equal(tint_restorer(keep)(image, HOLE, reference=scene(3)), tint_restorer(keep)(image, HOLE))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_colour_photograph_keeps_its_known_pixels(truth, dtype):
    image = truth.astype(dtype) * (1 if dtype == np.uint8 else 257)
    image[HOLE] = 0
    restored = tint_restorer("rgb")(image, HOLE, reference=[second_photo(truth, gain=0.9)])
    assert np.array_equal(restored[~HOLE], image[~HOLE])
    scale = np.iinfo(dtype).max / 255
    assert np.abs(restored[HOLE] / scale - truth[HOLE]).mean() < 12


@pytest.mark.parametrize("color", [False, True], ids=["gray", "colour"])
def test_only_pixels_that_come_from_a_reference_count_as_used(truth, color):
    image = truth.copy() if color else integer_luma(truth)
    image[HOLE] = 0
    restored = tint_restorer("rgb").restore(image, HOLE, reference=second_photo(truth))
    ((name, fraction),) = restored.used
    assert name == "reference 1"
    assert 0.9 * HOLE.mean() < fraction == np.mean(restored.origin == Origin.FILLED_FROM_REFERENCE) <= HOLE.mean()


def test_pixels_that_a_stroke_colours_do_not_count_as_used(truth):
    restored = tint_restorer("luma").restore(
        integer_luma(truth), ~np.ones_like(HOLE), reference=truth, hints=red_stroke()
    )
    assert dict(restored.used) == {"reference 1": np.mean(restored.origin == Origin.COLOUR_FROM_REFERENCE)}


def test_without_a_known_pixel_a_reference_is_refused(truth):
    with pytest.raises(ValueError, match="none"):
        tint_restorer("none")(integer_luma(truth), HOLE, reference=truth)


def red_stroke():
    hints = np.zeros((SIDE, SIDE, 4), np.uint8)
    hints[60:63, 60:80] = (220, 30, 30, 255)
    return hints


def test_a_stroke_changes_colours_and_no_luma(truth):
    gray = integer_luma(truth)
    restored = tint_restorer("luma", 128).restore(gray, np.zeros(gray.shape, bool), hints=red_stroke())
    assert np.array_equal(integer_luma(restored.pixels), gray)
    red, green = restored.pixels[60:63, 60:80, :2].astype(int).mean((0, 1))
    assert red > green + 30
    assert (restored.origin[60:63, 62:78] == Origin.COLOUR_FROM_HINT).all()


def test_a_stroke_comes_before_a_reference(truth):
    gray = integer_luma(truth)
    mask = np.zeros(gray.shape, bool)
    restored = tint_restorer("luma").restore(gray, mask, reference=truth, hints=red_stroke())
    assert (restored.origin[60:63, 62:78] == Origin.COLOUR_FROM_HINT).all()
    assert np.mean(restored.origin == Origin.COLOUR_FROM_REFERENCE) > 0.3


@pytest.mark.parametrize("keep", ["rgb", "none"])
def test_hints_need_new_colours(truth, keep):
    with pytest.raises(ValueError, match="Hints need"):
        tint_restorer(keep)(integer_luma(truth), HOLE, hints=red_stroke())


def test_toolbox_restore_takes_hints_and_references(truth):
    gray = integer_luma(truth)
    restored = toolbox.restore(gray, "none", weights=tint_restorer("luma"), reference=truth, hints=red_stroke())
    red, green = restored[60:63, 60:80, :2].astype(int).mean((0, 1))
    assert red > green + 30
    assert np.array_equal(integer_luma(restored), gray)
    with pytest.raises(ValueError, match="Hints need"):
        toolbox.restore(truth, "none", weights=tint_restorer("luma"), hints=red_stroke())
