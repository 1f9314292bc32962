"""A reference photograph is found, aligned and tested; pixels that disagree are not used. About 6 s."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scenes import scene, second_photo, square_hole

from toolbox.color import integer_luma
from toolbox.guidance.compose import NO_SOURCE
from toolbox.guidance.guide import as_references, make_guide
from toolbox.guidance.matching import find_features, find_homographies, is_plausible
from toolbox.guidance.reference import Reference, apply_reference
from toolbox.imaging.chroma_upsampling import compose_rgb

SIDE = 320
HOLE = square_hole(SIDE, 130, 180)


@pytest.fixture(scope="module")
def truth():
    return scene()


def damaged(truth, mask=HOLE):
    gray = integer_luma(truth)
    gray[mask] = 99
    return gray


def apply(gray, rgb, mask=HOLE, damage=None):
    return apply_reference(gray, mask, [Reference(name="r", rgb=rgb, damage=damage)])


def mean_error(first, second, where):
    return float(np.abs(first[where].astype(float) - second[where].astype(float)).mean())


def test_the_homography_is_that_of_the_camera(truth):
    gray = integer_luma(truth)
    turned = second_photo(truth, angle=10)
    homography = find_homographies(find_features(gray), find_features(integer_luma(turned)))[0]
    matrix = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), 10, 1.0)
    matrix[:, 2] += (3, -2)
    corners = np.array([[[60, 60], [260, 60], [160, 260]]], np.float64)
    expected = cv2.transform(corners, matrix)
    assert np.abs(cv2.perspectiveTransform(corners, homography) - expected).max() < 0.5


def test_a_mirrored_homography_is_refused():
    points = np.array([[10, 10], [90, 20], [50, 80]], np.float32)
    assert is_plausible(np.eye(3), points)
    assert not is_plausible(np.diag([-1.0, 1, 1]), points)
    assert not is_plausible(np.diag([9.0, 9, 1]), points)


@pytest.mark.parametrize(("gamma", "gain", "quality"), [(1.0, 1.0, None), (1.3, 0.85, 75)])
def test_colours_and_the_hole_come_from_the_reference(truth, gamma, gain, quality):
    result = apply(damaged(truth), second_photo(truth, gamma=gamma, gain=gain, quality=quality))
    inner = slice(30, -30)
    assert result.confidence[inner, inner].mean() > 0.9
    assert result.luma_confidence[HOLE].mean() > 0.9
    assert not result.luma_confidence[~HOLE].any()
    assert mean_error(result.luma, integer_luma(truth), HOLE) < 9
    restored = compose_rgb(integer_luma(truth), [(slice(0, SIDE), result.differences)])
    trusted = result.confidence > 0.9
    gray_error = mean_error(np.repeat(integer_luma(truth)[..., None], 3, axis=2), truth, trusted)
    assert mean_error(restored, truth, trusted) < 0.3 * gray_error


def test_a_copy_is_taken_as_it_is(truth):
    result = apply(damaged(truth), truth)
    assert np.array_equal(result.luma, integer_luma(truth))
    assert result.confidence.min() > 0.99


def test_16_bits(truth):
    result = apply(damaged(truth).astype(np.uint16) * 257, truth.astype(np.uint16) * 257)
    assert result.luma.dtype == np.uint16
    assert mean_error(result.luma / 257, integer_luma(truth), HOLE) < 1


@pytest.mark.parametrize("seed", range(1, 5))
def test_another_scene_changes_no_pixel(truth, seed):
    gray = damaged(truth)
    result = apply(gray, scene(seed))
    assert result.is_empty
    assert np.array_equal(result.luma, gray)
    assert (result.source == NO_SOURCE).all()
    assert "same scene" in result.notes[0]


def test_what_moved_has_no_confidence(truth):
    reference = truth.copy()
    reference[40:90, 200:260] = scene(7)[40:90, 200:260]
    confidence = apply(damaged(truth), second_photo(reference, angle=0, shift=(0, 0), quality=90)).confidence
    assert confidence[50:80, 210:250].mean() < 0.1
    assert confidence[200:300, 20:120].mean() > 0.9


def test_damage_of_the_reference_is_not_copied(truth):
    reference = truth.copy()
    damage = square_hole(SIDE, 125, 160)
    reference[damage] = 99
    result = apply(damaged(truth), reference, damage=damage)
    assert not result.luma_confidence[damage & HOLE].any()
    assert not result.confidence[damage].any()
    assert result.luma_confidence[165:178, 165:178].min() > 0.9


def test_a_gray_reference_fills_and_gives_no_colours(truth):
    gray = integer_luma(truth)
    result = apply(damaged(truth), np.repeat(gray[..., None], 3, axis=2))
    assert not result.confidence.any()
    assert np.array_equal(result.luma[HOLE], gray[HOLE])
    assert "is gray" in result.notes[0]


def test_without_references_nothing_is_found(truth):
    guide = make_guide(damaged(truth), HOLE)
    assert guide.result is None and not guide.found.any()


def test_several_references_complete_each_other(truth):
    left, right = truth[:, :200], truth[:, 120:]
    guide = make_guide(damaged(truth), HOLE, [left, right])
    assert guide.found[HOLE].mean() > 0.9
    assert guide.result.confidence.mean() > 0.9
    assert guide.result.names == ("reference 1", "reference 2")
    assert {0, 1} <= set(np.unique(guide.result.source))


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)])
def test_arrays_of_another_kind_are_refused(bad):
    with pytest.raises(ValueError, match="reference is"):
        list(as_references(bad))
