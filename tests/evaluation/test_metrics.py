"""The competition's score against reference figures, scikit-image, OpenCV and values worked out by hand."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from toolbox.evaluation import metrics
from toolbox.evaluation.figures import summarize
from toolbox.evaluation.metrics import Score

REFERENCE = Path(__file__).parents[1] / "reference" / "competition_score.npz"


def library_scores(restored, truth, mask):
    """Return S, M and C by the competition's definition, from scikit-image and OpenCV."""
    data_range = int(restored.max()) - int(restored.min())
    lost = mask.astype(bool)
    s, m = (
        structural_similarity(a, b, channel_axis=-1, data_range=data_range)
        for a, b in ((truth, restored), (truth[lost], restored[lost]))
    )
    histograms = []
    for picture in (truth, restored):
        hsv = cv2.cvtColor(np.ascontiguousarray(picture[..., ::-1]), cv2.COLOR_BGR2HSV)
        hue = cv2.calcHist([hsv], [0], None, [180], [0, 180])
        histograms.append(cv2.normalize(hue, hue))
    return s, m, cv2.compareHist(histograms[0], histograms[1], cv2.HISTCMP_CORREL)


def picture(rng, height, width, low=0, high=255):
    return rng.integers(low, high + 1, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("index", range(4))
def test_reference_figures(index):
    with np.load(REFERENCE) as reference:
        scores = metrics.score(reference[f"pred{index}"], reference[f"gt{index}"], reference[f"mask{index}"])
        expected = reference["S_M_C_score"][index]
    assert (scores.S, scores.M, scores.C, scores.score) == pytest.approx(tuple(expected), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(7, 60),
    width=st.integers(7, 60),
    seed=st.integers(0, 2**32 - 1),
    low=st.integers(0, 253),
    spread=st.integers(1, 255),
    noise=st.integers(0, 60),
)
def test_equals_the_libraries_on_any_size(height, width, seed, low, spread, noise):
    rng = np.random.default_rng(seed)
    restored = picture(rng, height, width, low, min(255, low + spread))
    restored[0, 0], restored[0, 1] = low, low + 1
    truth = np.clip(restored + rng.integers(-noise, noise + 1, restored.shape), 0, 255).astype(np.uint8)
    mask = rng.random((height, width)) < 0.4
    mask[0] = True
    scores = metrics.score(restored, truth, mask)
    assert (scores.S, scores.M, scores.C) == pytest.approx(library_scores(restored, truth, mask), abs=1e-6)


def test_equals_the_libraries_on_photographs(shared):
    for index, path in enumerate(sorted((shared / "photos" / "train").glob("*"))[:60:10]):
        truth = cv2.imread(str(path))[:240, :300, ::-1].copy()
        gray = cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY)
        restored = cv2.GaussianBlur(truth, (5, 5), 0) if index % 2 else np.repeat(gray[..., None], 3, axis=-1)
        mask = np.zeros(truth.shape[:2], np.uint8)
        cv2.circle(mask, (70, 60), 40, 255, -1)
        restored[mask > 0] = 40
        scores = metrics.score(restored, truth, mask)
        assert (scores.S, scores.M, scores.C) == pytest.approx(library_scores(restored, truth, mask), abs=1e-6)


def test_a_perfect_restoration_scores_one():
    truth = picture(np.random.default_rng(0), 20, 31)
    scores = metrics.score(truth, truth, np.ones((20, 31), bool))
    assert (scores.S, scores.M, scores.C, scores.score) == pytest.approx((1, 1, 1, 1), abs=1e-12)


def test_the_score_is_the_weighted_sum_of_its_parts():
    rng = np.random.default_rng(1)
    scores = metrics.score(picture(rng, 16, 16), picture(rng, 16, 16), np.ones((16, 16), bool))
    assert scores.score == pytest.approx((scores.S + 2 * scores.M + 2 * scores.C) / 5, abs=1e-15)


def test_a_constant_prediction_of_a_constant_truth():
    # Neither has contrast, so that factor is 1. The factor of brightness is 2ab / (a^2 + b^2).
    scores = metrics.score(np.full((9, 9, 3), 50, np.uint8), np.full((9, 9, 3), 100, np.uint8), np.ones((9, 9), bool))
    assert (scores.S, scores.M, scores.C) == pytest.approx((0.8, 0.8, 1.0), abs=1e-12)


def test_a_black_prediction_of_a_black_truth_is_perfect():
    black = np.zeros((9, 9, 3), np.uint8)
    assert metrics.score(black, black, np.ones((9, 9))).score == pytest.approx(1, abs=1e-12)


def test_a_constant_prediction_of_a_photograph_has_no_structural_similarity():
    truth = picture(np.random.default_rng(2), 30, 30)
    scores = metrics.score(np.full_like(truth, 90), truth, np.ones((30, 30)))
    assert (scores.S, scores.M) == pytest.approx((0, 0), abs=1e-12)
    assert scores.C is not None and -1 <= scores.C <= 1


def test_a_constant_prediction_counts_flat_windows_of_the_truth():
    # 17 columns have 11 windows. The first 4 are black, where the prediction 0 is exactly right.
    truth = np.zeros((7, 17, 3), np.uint8)
    truth[:, 10::2] = 255
    assert metrics.structural_similarity(np.zeros_like(truth), truth) == pytest.approx(4 / 11, abs=1e-12)


@pytest.mark.parametrize("mask", [None, np.zeros((20, 20), bool), np.arange(400).reshape(20, 20) < 6])
def test_without_seven_lost_pixels_there_is_no_m_and_no_score(mask):
    rng = np.random.default_rng(3)
    scores = metrics.score(picture(rng, 20, 20), picture(rng, 20, 20), mask)
    assert scores.M is None and scores.score is None
    assert scores.S is not None and scores.C is not None


def test_seven_lost_pixels_are_enough():
    rng = np.random.default_rng(4)
    restored, truth, mask = picture(rng, 20, 20), picture(rng, 20, 20), np.arange(400).reshape(20, 20) < 7
    assert metrics.score(restored, truth, mask).M == pytest.approx(library_scores(restored, truth, mask)[1], abs=1e-6)


@pytest.mark.parametrize("shape", [(6, 30), (30, 6), (1, 1)])
def test_a_picture_smaller_than_the_window_has_no_s(shape):
    rng = np.random.default_rng(5)
    scores = metrics.score(picture(rng, *shape), picture(rng, *shape), np.ones(shape))
    assert scores.S is None and scores.score is None
    assert (scores.M is None) == (shape == (1, 1))


def test_mean_averages_the_defined_parts():
    full = Score(S=0.5, M=0.25, C=1.0, score=0.6)
    part = Score(S=0.75, M=None, C=0.0, score=None)
    assert metrics.mean([full, part]) == Score(S=0.625, M=0.25, C=0.5, score=pytest.approx(0.425))
    assert metrics.mean([part]) == Score(S=0.75, M=None, C=0.0, score=None)
    assert metrics.mean([]) == Score(S=None, M=None, C=None, score=None)


def test_mean_of_complete_scores_is_the_mean_score():
    rng = np.random.default_rng(6)
    all_scores = [metrics.score(picture(rng, 12, 12), picture(rng, 12, 12), np.ones((12, 12))) for _ in range(5)]
    assert metrics.mean(all_scores).score == pytest.approx(np.mean([each.score for each in all_scores]), abs=1e-12)


@pytest.mark.parametrize(
    ("restored", "truth", "mask", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8), None, "restored is float32"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), None, "truth is uint8"),
        (np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), None, "of one size"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8)), r"mask is \(9, 8\)"),
    ],
)
def test_wrong_arrays_are_refused(restored, truth, mask, message):
    with pytest.raises(ValueError, match=message):
        metrics.score(restored, truth, mask)


def test_figures_whose_sum_is_too_large_have_a_mean_without_a_warning():
    """NumPy printed its warning on the progress bar, and the mean of 1e308 and 1e308 was infinite."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.mean_figure([1e308, 1e308, 1e308]) == pytest.approx(1e308)
        assert metrics.mean_figure([0.25, 0.5]) == 0.375
        rows = {str(index): {"S": 0.5, "M": 0.5, "C": 0.5, "score": 0.5, "mine": 1e308} for index in range(4)}
        table = summarize(rows)
    assert table.mean["mine"] == pytest.approx(1e308) and table.intervals["mine"] is None
    assert [metrics.format_figure(value) for value in (None, 0.5, 1e308, -2e9)] == ["-", "0.5000", "1e+308", "-2e+09"]
