"""Strokes of colour fill what they are on, up to its edges. The edge has a contrast of 20 levels or more. About 3 s."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from toolbox.guidance.diffusion import solve
from toolbox.guidance.hints import check_hints, find_strokes, spread_strokes

RED = (200, 40, 40)
BLUE = (40, 60, 200)
OBJECT = np.zeros((160, 220), bool)
OBJECT[40:120, 50:130] = True


def gray_photo(contrast, noise=2.0):
    random = np.random.default_rng(0)
    luma = 110 + contrast * cv2.GaussianBlur(OBJECT.astype(np.float32), (0, 0), 0.7)
    return (luma + random.normal(0, noise, luma.shape)).clip(0, 255).astype(np.uint8)


def strokes(*boxes, size=OBJECT.shape, dtype=np.uint8):
    """Return hints with horizontal strokes: (colour, row, first column, last column)."""
    hints = np.zeros((*size, 4), np.uint8)
    for color, row, first, last in boxes:
        hints[row : row + 3, first:last] = (*color, 255)
    return hints.astype(dtype) * (257 if dtype == np.uint16 else 1)


def spread(luma, hints):
    """Return R - Y times weight, and the weight, (H, W) each."""
    differences, weight = spread_strokes(luma, find_strokes(hints)).rows(slice(0, len(luma)))
    return differences[..., 0], weight[..., 0]


@pytest.mark.parametrize(("contrast", "noise"), [(20, 2.0), (25, 5.0), (60, 2.0), (-40, 2.0)])
def test_a_stroke_fills_its_object_and_stops_at_its_edge(contrast, noise):
    red, _ = spread(gray_photo(contrast, noise), strokes((RED, 80, 80, 100)))
    inside = cv2.erode(OBJECT.astype(np.uint8), np.ones((9, 9))) > 0
    outside = cv2.dilate(OBJECT.astype(np.uint8), np.ones((9, 9))) == 0
    full = (200 - (0.299 * 200 + 0.587 * 40 + 0.114 * 40)) / 255
    assert red[inside].min() > 0.6 * full
    assert red[outside].mean() < 0.4 * red[inside].mean()


def test_two_strokes_meet_at_the_edge():
    red, weight = spread(gray_photo(40), strokes((RED, 80, 80, 100), (BLUE, 20, 150, 180)))
    assert red[60:100, 60:120].min() > 0.2
    assert red[130:150, 30:100].max() < 0.1
    assert weight[130:150, 30:100].mean() > 0.8


def test_16_bits_and_a_larger_photograph_give_the_same():
    small, _ = spread(gray_photo(40), strokes((RED, 80, 80, 100)))
    deep, _ = spread(gray_photo(40).astype(np.uint16) * 257, strokes((RED, 80, 80, 100), dtype=np.uint16))
    assert np.abs(small - deep).max() < 0.02
    large = cv2.resize(gray_photo(40), (880, 640), interpolation=cv2.INTER_CUBIC)
    hints = cv2.resize(strokes((RED, 80, 80, 100)), (880, 640), interpolation=cv2.INTER_NEAREST)
    red, _ = spread(large, hints)
    assert np.abs(cv2.resize(red, (220, 160), interpolation=cv2.INTER_AREA) - small)[45:115, 55:125].mean() < 0.05


def test_a_hint_of_one_pixel_and_a_photograph_of_one_row():
    luma = np.full((1, 9), 100, np.uint8)
    hints = np.zeros((1, 9, 4), np.uint8)
    hints[0, 4] = (*RED, 255)
    red, weight = spread(luma, hints)
    assert np.isfinite(red).all() and weight[0, 4] > 0.9


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        (np.zeros((4, 5, 4), np.uint8), "half opaque"),
        (np.zeros((4, 5, 3), np.uint8), "RGBA"),
        (np.zeros((5, 4, 4), np.uint8), "size"),
        (np.ones((4, 5, 4), np.float32), "RGBA"),
    ],
)
def test_arrays_that_are_no_hints_are_refused(hints, message):
    with pytest.raises(ValueError, match=message):
        check_hints(hints, (4, 5))


def test_the_solver_gives_the_solution_of_the_dense_system():
    random = np.random.default_rng(0)
    height, width = 13, 18
    right, down = random.uniform(0, 1, (height, width - 1)), random.uniform(0, 1, (height - 1, width))
    pull = random.uniform(1e-3, 1, (height, width))
    source = random.normal(size=(2, height, width)).astype(np.float32)
    matrix = np.diag(pull.ravel())
    index = np.arange(height * width).reshape(height, width)
    for links, first, second in ((right, index[:, :-1], index[:, 1:]), (down, index[:-1], index[1:])):
        for link, i, j in zip(links.ravel(), first.ravel(), second.ravel(), strict=True):
            matrix[[i, j], [i, j]] += link
            matrix[[i, j], [j, i]] -= link
    expected = np.linalg.solve(matrix, source.reshape(2, -1).T).T.reshape(source.shape)
    assert np.abs(solve(pull, right, down, source, rounds=60, tolerance=1e-6) - expected).max() < 1e-3
