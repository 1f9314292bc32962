"""The simulated pairs of `python -m benchmarks guidance`. About 2 s."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import scene

from benchmarks.guidance import PAIRS, draw_strokes, simulate
from toolbox.guidance.alignment import warp


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_homography_lays_the_reference_over_the_truth(shift):
    photo = scene(0, 400)[:280]
    truth, reference, homography = simulate(photo, 10, 100, shift, False, np.random.default_rng(0))
    warped = warp(reference, homography, np.zeros((*truth.shape[:2], 2), np.float32))
    error = np.abs(255 * warped.rgb - truth).mean(2)
    assert error[warped.valid].mean() < 6
    assert warped.valid.mean() > (0.4 if shift else 0.9)
    homography[0, 2] += 2
    moved = warp(reference, homography, np.zeros((*truth.shape[:2], 2), np.float32))
    assert np.abs(255 * moved.rgb - truth).mean(2)[warped.valid].mean() > 1.5 * error[warped.valid].mean()


def test_every_pair_gives_a_reference():
    for degrees, quality, shift, exposed in PAIRS.values():
        truth, reference, _ = simulate(scene(0, 200), degrees, quality, shift, exposed, np.random.default_rng(0))
        assert truth.dtype == reference.dtype == np.uint8 and truth.shape[0] <= reference.shape[0]


def test_strokes_have_the_colour_of_the_truth():
    truth = scene(0, 160)
    gray = np.repeat(truth.mean(2, keepdims=True).astype(np.uint8), 3, axis=2)
    hints = draw_strokes(truth, gray)
    strokes = hints[..., 3] == 255
    assert 10 < strokes.sum() < 0.05 * strokes.size
    assert np.abs(hints[strokes][:, :3].astype(float) - truth[strokes]).mean() < 40
    assert not draw_strokes(truth, truth).any()
