"""Exact luma in integers, against Pillow and plain arithmetic. About 2 s."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from toolbox.color import LUMA_WEIGHTS, integer_luma, with_luma
from toolbox.imaging.color import exact_luma


def pillow(rgb):
    return np.array(Image.fromarray(rgb).convert("L"))


def candidates(target, spread, seed=0):
    """Return colours with about the luma of the target; the larger the spread, the more are out of range."""
    random = np.random.default_rng(seed)
    return target[..., None] + random.normal(0, spread, (*target.shape, 3))


@pytest.mark.parametrize("spread", [0, 1, 20, 120, 1000])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
def test_every_level_is_reached_on_every_pixel(spread, kind):
    target = np.repeat(np.arange(256, dtype=np.uint8), 400).reshape(256, 400)
    result = exact_luma(candidates(target, spread).astype(kind), target)
    assert result.dtype == np.uint8
    assert np.array_equal(pillow(result), target)


def test_every_level_is_reached_from_every_corner_of_the_cube():
    corners = np.array(np.meshgrid([0, 255], [0, 255], [0, 255])).reshape(3, 8).T
    target = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 8, axis=1)
    result = exact_luma(np.broadcast_to(corners, (256, 8, 3)), target)
    assert np.array_equal(pillow(result), target)


@given(st.integers(0, 255), st.tuples(*[st.integers(-400, 700)] * 3))
def test_any_level_is_reached_from_any_candidate(level, candidate):
    result = exact_luma(np.array([[candidate]]), np.array([[level]], np.uint8))
    assert pillow(result) == level


@pytest.mark.parametrize("spread", [0, 300, 5000, 200_000])
def test_every_level_of_16_bits_is_reached(spread):
    target = np.random.default_rng(1).integers(0, 65536, (300, 300)).astype(np.uint16)
    target[0, :4] = 0, 1, 65534, 65535
    result = exact_luma(candidates(target, spread).astype(np.float32), target)
    red, green, blue = np.moveaxis(result.astype(object), -1, 0)
    assert np.array_equal(((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint16), target)


def test_a_candidate_with_the_luma_is_not_changed():
    rgb = np.random.default_rng(2).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    assert np.array_equal(exact_luma(rgb, pillow(rgb)), rgb)


def test_all_channels_are_shifted_by_the_difference_of_luma():
    rgb = np.random.default_rng(3).integers(60, 180, (200, 200, 3)).astype(np.uint8)
    target = (pillow(rgb) + 17).astype(np.uint8)
    assert np.array_equal(exact_luma(rgb, target), rgb + 17)


def test_colours_out_of_range_are_those_of_the_float_formula_except_for_rounding():
    target = np.random.default_rng(4).integers(0, 256, (200, 200)).astype(np.uint8)
    wanted = candidates(target, 150)
    result = exact_luma(wanted, target)
    picture = torch.from_numpy(wanted / 255).permute(2, 0, 1)[None]
    floats = with_luma(picture, torch.from_numpy(target / 255)[None, None])[0].permute(1, 2, 0).numpy() * 255
    away = wanted - (wanted @ np.array(LUMA_WEIGHTS))[..., None] + target[..., None]
    far = (away.min(-1) < -2) | (away.max(-1) > 257)
    assert 0.3 < far.mean() < 0.9
    assert np.abs(result - floats)[far].max() < 1
    within = (away.min(-1) > 1) & (away.max(-1) < 254)
    assert np.abs(result - away)[within].max() < 1.6


def test_integer_luma_is_that_of_pillow():
    rgb = np.random.default_rng(5).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    assert np.array_equal(integer_luma(rgb), pillow(rgb))
    assert np.array_equal(integer_luma(np.full((1, 1, 3), 65535, np.uint16)), [[65535]])


def test_a_large_photograph_takes_seconds():
    target = np.random.default_rng(6).integers(0, 256, (64, 6000)).astype(np.uint8)
    wanted = candidates(target, 60).astype(np.float32)
    started = time.process_time()
    for _ in range(10):
        exact_luma(wanted, target)
    # 24 megapixels are 63 such strips.
    assert (time.process_time() - started) * 6.3 < 10
