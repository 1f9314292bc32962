"""The marks of old prints and the filled shapes that the colour network sees while it trains."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from toolbox_plugins.luma import imperfect_fill, scan

from toolbox import Sample
from toolbox.color import integer_luma


def whole(seed=0, size=(96, 128)):
    draw = np.random.default_rng(seed)
    truth = cv2.GaussianBlur(draw.integers(0, 256, (*size, 3)).astype(np.uint8), (0, 0), 2)
    gray = cv2.cvtColor(integer_luma(truth), cv2.COLOR_GRAY2RGB)
    return Sample(image=gray, mask=np.zeros(size, bool), truth=truth)


@pytest.mark.parametrize(
    "make", [lambda: scan.scan(0, 0), lambda: imperfect_fill.imperfect_fill(0)], ids=["scan", "imperfect fill"]
)
def test_a_share_of_nothing_changes_nothing(make):
    sample = whole()
    found = make()(sample, np.random.default_rng(0))
    assert (found.image == sample.image).all() and (found.truth == sample.truth).all()


def test_every_mark_changes_the_gray_and_stays_near_it():
    gray = whole().image[..., 0].astype(np.float32)
    for _, mark in scan.MARKS:
        found = mark(gray.copy(), np.random.default_rng(1))
        assert found.shape == gray.shape and found.dtype == np.float32
        assert np.abs(found - gray).max() > 0.5, mark.__name__
        # What is fine is lost or added, not what the picture shows.
        wide, before = (cv2.GaussianBlur(one, (0, 0), 8) for one in (found, gray))
        assert np.abs((wide - wide.mean()) - (before - before.mean())).max() < 40, mark.__name__


def test_scans_have_the_truths_colours_but_for_a_border():
    draw, bordered = np.random.default_rng(2), 0
    degrade = scan.scan(1, 0.5)
    for seed in range(60):
        sample = whole(seed % 3)
        found = degrade(sample, draw)
        assert (found.image == found.image[..., :1]).all() and not found.mask.any()
        if (found.truth != sample.truth).any():
            bordered += 1
            edge = found.truth[0]
            assert (edge == edge[0, 0]).all() and (found.image[0] == edge).all()
            assert (found.truth[12:-12, 12:-12] == sample.truth[12:-12, 12:-12]).all()
    assert 0 < bordered < 20


def test_film_weighs_the_colours_otherwise():
    sample = whole()
    found = scan.scan(0, 1)(sample, np.random.default_rng(0))
    mixed = found.image[..., 0].astype(float).ravel()
    shares, *_ = np.linalg.lstsq(sample.truth.reshape(-1, 3).astype(float), mixed, rcond=None)
    assert shares.sum() == pytest.approx(1, abs=0.02) and (shares > -0.01).all()
    assert np.abs(shares - [0.299, 0.587, 0.114]).max() > 0.02


def test_a_filled_shape_changes_its_inside_alone_and_meets_its_surroundings():
    for seed in range(30):
        gray = whole(seed).image[..., 0].astype(np.float32)
        lost = imperfect_fill.random_shape(gray.shape, np.random.default_rng(seed))
        found = imperfect_fill.fill_shape(gray, np.random.default_rng(seed))
        assert np.isfinite(found).all()
        assert (found == gray)[~lost].all()
        assert 0 < lost.mean() < 0.6


def test_the_same_draw_gives_the_same_sample():
    for degrade in (scan.scan(0.7, 0.3), imperfect_fill.imperfect_fill(1)):
        first, second = (degrade(whole(), np.random.default_rng(9)) for _ in range(2))
        assert (first.image == second.image).all() and (first.truth == second.truth).all()
