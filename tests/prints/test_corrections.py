"""Contrast, cast and evenness of prints: what they restore, and what they leave. 2 s."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import jpeg
from prints import fade, picture, vignette, yellowed

from toolbox.color import integer_luma
from toolbox.errors import UsageError
from toolbox.prints.corrections import Corrections, correct_tones, faded_toning
from toolbox.prints.evenness import fit_unevenness, unevenness_field
from toolbox.prints.working_copy import make_working_copy, picture_area

ALL = Corrections(contrast=1, cast=1, evenness=1)


def distance(first, second):
    return np.abs(first.astype(float) - second).mean()


def test_contrast_and_cast_bring_a_faded_picture_closer():
    truth = picture()
    faded = fade(truth)
    both = correct_tones(faded, Corrections(contrast=1, cast=1))
    assert distance(both, truth) < 0.5 * distance(faded, truth)
    gray, faded_gray = integer_luma(truth), integer_luma(faded)
    assert distance(correct_tones(faded_gray, Corrections(contrast=1)), gray) < 0.5 * distance(faded_gray, gray)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_half_the_strength_is_about_half_the_way(kind):
    gray = integer_luma(fade(picture())).astype(kind) * (257 if kind == np.uint16 else 1)
    half, full = (correct_tones(gray, Corrections(contrast=strength)) for strength in (0.5, 1))
    assert half.dtype == full.dtype == kind and half.shape == gray.shape
    middle = (gray.astype(float) + full) / 2
    inside = (full > 0) & (full < np.iinfo(kind).max)
    assert np.abs(half - middle)[inside].max() <= 1


def test_sixteen_bits_give_what_eight_bits_give():
    faded = vignette(fade(picture()))
    eight, sixteen = (
        correct_tones(faded.astype(kind) * np.array(factor, kind), ALL)
        for kind, factor in ((np.uint8, 1), (np.uint16, 257))
    )
    # At 8 bits the evened picture is rounded before its contrast is raised threefold.
    difference = np.abs(sixteen / 257 - eight)
    assert difference.max() < 3 and difference.mean() < 1


@pytest.mark.parametrize("pixels", [picture(), integer_luma(picture()), picture().astype(np.uint16) * 257])
def test_strength_0_returns_the_pixels_themselves(pixels):
    assert correct_tones(pixels, Corrections()) is pixels


def test_an_evened_vignette_is_flatter():
    gray = integer_luma(picture(160, 200))
    dark = vignette(gray)
    evened = correct_tones(dark, Corrections(evenness=1))
    ratio = np.log(evened + 8.0) - np.log(gray + 8.0)
    before = np.log(dark + 8.0) - np.log(gray + 8.0)
    assert ratio.std() < 0.4 * before.std()
    # An even picture hardly changes.
    copy = make_working_copy(gray, None, 128)
    field = unevenness_field(fit_unevenness(copy), *copy.measured.shape)
    assert field.min() > -0.15


def test_a_full_range_keeps_its_contrast():
    truth = picture()
    assert distance(correct_tones(truth, Corrections(contrast=1)), truth) < 4


def test_a_mount_with_a_caption_does_not_hide_the_fading():
    faded = integer_luma(fade(picture()))
    mounted = np.pad(faded, 24, constant_values=252)
    mounted[150:158, 60:90:3] = 10
    inner = correct_tones(mounted, Corrections(contrast=1))[24:-24, 24:-24]
    assert distance(inner, correct_tones(faded, Corrections(contrast=1))) < 2
    area = picture_area(mounted.astype(np.float32))
    assert not area[:24].any() and not area[:, -24:].any() and area.sum() > 0.8 * faded.size


def test_lost_pixels_do_not_count():
    faded = integer_luma(fade(picture()))
    lost = np.zeros(faded.shape, bool)
    lost[30:70, 40:90] = True
    painted = np.where(lost, 0, faded).astype(np.uint8)
    corrected = correct_tones(painted, Corrections(contrast=1), lost)
    assert distance(corrected[~lost], correct_tones(faded, Corrections(contrast=1))[~lost]) < 2


def test_the_tone_of_a_sepia_print_goes_with_its_cast():
    gray = integer_luma(picture())
    sepia = np.rint(gray[..., None] * (1, 0.86, 0.62)).astype(np.uint8)
    neutral = correct_tones(sepia, Corrections(cast=1))
    assert np.ptp(neutral.astype(int), axis=2).mean() < 0.1 * np.ptp(sepia.astype(int), axis=2).mean()
    assert np.abs(integer_luma(neutral).astype(int) - integer_luma(sepia)).max() <= 2


@pytest.mark.parametrize("quality", [90, 75, 60])
def test_jpeg_does_not_make_a_faded_gray_print_one_in_colour(quality):
    """At full contrast, the errors of JPEG are as strong as colours."""
    for seed in range(6):
        assert faded_toning(jpeg(yellowed(picture(240, 320, seed)), quality)).kind == "toned"
    assert faded_toning(fade(picture())).kind == "colour"


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 700)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_any_size(size, kind, channels):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (*size, *channels)).astype(kind)
    original = pixels.copy()
    corrected = correct_tones(pixels, ALL, np.zeros(size, bool))
    assert corrected.shape == pixels.shape and corrected.dtype == kind
    assert np.array_equal(pixels, original)


@pytest.mark.parametrize("level", [0, 7, 128, 255])
def test_a_flat_picture_stays_flat_and_keeps_its_brightness(level):
    flat = np.full((40, 50, 3), level, np.uint8)
    corrected = correct_tones(flat, ALL)
    assert len(np.unique(corrected.reshape(-1, 3), axis=0)) == 1
    assert abs(int(corrected[0, 0, 0]) - level) <= 13


@pytest.mark.parametrize("values", [{"contrast": 1.2}, {"cast": -0.1}, {"crop": "table"}])
def test_impossible_values(values):
    with pytest.raises(UsageError, match=f"{next(iter(values))} is .*; it must be"):
        Corrections(**values)
