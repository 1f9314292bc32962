"""The fill `learned`, with a small network of random weights: what it must keep for any image, hole and size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toolbox_plugins.fills import learned
from toolbox_plugins.fills.learned import make_fill
from toolbox_plugins.fills.network import MULTIPLE, FillNet
from toolbox_plugins.fills.smooth import smooth


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = FillNet((32, 32, 32)).eval().requires_grad_(False)
    torch.nn.init.normal_(network.head.weight, std=0.02)
    return network


def scene(height=120, width=150):
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (height, width), dtype=np.uint8)
    mask = np.zeros(image.shape, bool)
    mask[30:90, 40:110] = True
    return image, mask


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([(), (3,)]),
    st.integers(0, 2**32 - 1),
)
def test_any_hole_is_filled_and_known_pixels_stay(network, height, width, depth, channels, seed):
    random = np.random.default_rng(seed)
    image = random.integers(0, np.iinfo(depth).max, (height, width, *channels), dtype=depth, endpoint=True)
    mask = np.zeros((height, width), bool)
    top, left = random.integers(0, height), random.integers(0, width)
    mask[top : top + 20, left : left + 20] = True
    fill = make_fill(network)
    filled = fill(image, mask)
    assert filled.shape == image.shape and filled.dtype == image.dtype
    assert np.array_equal(filled[~mask], image[~mask])
    image[mask] = np.iinfo(depth).max // 3
    assert np.array_equal(fill(image, mask), filled)


def test_the_network_changes_the_smooth_fill(network):
    image, mask = scene()
    difference = np.abs(make_fill(network)(image, mask).astype(int) - smooth(image, mask))
    assert difference[mask].mean() > 1


def test_a_new_network_returns_its_start():
    luma, lost = torch.rand(2, 1, MULTIPLE, 2 * MULTIPLE), torch.ones(2, 1, MULTIPLE, 2 * MULTIPLE)
    assert torch.equal(FillNet((32, 32, 32))(luma, lost, luma), luma)


def test_an_image_lost_whole_is_black(network):
    assert not make_fill(network)(np.full((40, 30, 3), 200, np.uint8), np.ones((40, 30), bool)).any()


def test_hairs_do_not_need_the_network(network):
    image, mask = np.full((120, 150), 90, np.uint8), np.zeros((120, 150), bool)
    mask[:, 70:73] = True
    assert (make_fill(network)(image, mask) == 90).all()


def test_a_deep_hole_is_filled_at_a_smaller_scale(network, monkeypatch):
    seen = []
    predict = learned.predict
    monkeypatch.setattr(
        learned, "predict", lambda net, luma, *rest: seen.append(luma.shape) or predict(net, luma, *rest)
    )
    monkeypatch.setattr(learned, "MAX_THICKNESS", 40)
    image, mask = np.full((192, 192), 90, np.uint8), np.zeros((192, 192), bool)
    mask[36:156, 36:156] = True
    filled = make_fill(network)(image, mask)
    assert seen == [(96, 96)]
    assert np.array_equal(filled[~mask], image[~mask])


def test_a_long_hole_is_filled_in_windows_without_a_seam(network, monkeypatch):
    random = np.random.default_rng(2)
    image, mask = random.integers(0, 256, (64, 300), dtype=np.uint8), np.zeros((64, 300), bool)
    mask[20:44, 20:280] = True
    whole = make_fill(network)(image, mask).astype(int)
    monkeypatch.setattr(learned, "WINDOW", 128)
    monkeypatch.setattr(learned, "STRIDE", 96)
    parts = make_fill(network)(image, mask).astype(int)
    steps = [np.abs(np.diff(filled, axis=1))[20:44, 20:279].mean(0) for filled in (whole, parts)]
    assert steps[1].max() <= 1.5 * steps[0].max()


@pytest.mark.parametrize("mask", [np.zeros((8, 9), bool), np.zeros((8, 8), np.uint8)])
def test_a_mask_of_another_kind_is_refused(network, mask):
    with pytest.raises(ValueError, match="mask must be bool"):
        make_fill(network)(np.zeros((8, 8), np.uint8), mask)
