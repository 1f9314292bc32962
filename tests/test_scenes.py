"""Scenes: crops and bursts of one photograph land together, unrelated photographs do not; and the splits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from toolbox import images, scenes

SIDE = 360  # of the crops, so that shifts by half fit into the photographs' 560 pixels


@pytest.fixture(scope="module")
def photos(shared):
    """Every other photograph; the constants were chosen on the rest."""
    files = images.find(shared / "photos" / "train")[1::2][:160]
    return [images.read_rgb(path) for path in files]


def crop(photo, x, y):
    return photo[y : y + SIDE, x : x + SIDE]


def together(pairs):
    """Return the share of pairs that land in one scene, each pair looked at by itself."""
    labels = [scenes.group([scenes.fingerprint(one), scenes.fingerprint(other)]) for one, other in pairs]
    return sum(a == b for a, b in labels) / len(labels)


@pytest.mark.parametrize(("x", "y"), [(180, 0), (0, 180), (180, 180), (96, 64)])
def test_crops_shifted_by_up_to_half_land_together(photos, x, y):
    pairs = [(crop(p, 0, 0), crop(p, x, y)) for p in photos if p.shape[0] >= SIDE + y and p.shape[1] >= SIDE + x]
    assert len(pairs) >= 100
    assert together(pairs) >= 0.98


def test_bursts_land_together(photos):
    random = np.random.default_rng(0)

    def shot(photo):
        noisy = crop(photo, 7, 4) * 1.05 + 4 + random.normal(0, 4, (SIDE, SIDE, 3))
        encoded = cv2.imencode(".jpg", noisy.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR)

    assert together([(crop(photo, 0, 0), shot(photo)) for photo in photos]) >= 0.95


def test_under_one_percent_of_unrelated_photographs_are_merged(photos):
    labels = scenes.group([scenes.fingerprint(photo[:512, :512]) for photo in photos])
    merged = sum(labels.count(label) > 1 for label in labels)
    assert merged / len(photos) < 0.01


def test_a_chain_of_crops_is_one_scene_and_its_neighbour_is_not(photos):
    chain = [photos[0][:300, x : x + 300] for x in (0, 100, 200)]
    labels = scenes.group([scenes.fingerprint(one) for one in [photos[1], *chain, photos[2]]])
    assert labels == [0, 1, 1, 1, 4]


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (64, 64, 3), (40, 900)])
def test_flat_and_tiny_photographs_are_scenes_of_their_own(shape):
    flat = scenes.fingerprint(np.full(shape, 200, np.uint8))
    assert scenes.group([flat, flat]) == [0, 1]


def test_a_fingerprint_is_small(photos):
    one = scenes.fingerprint(photos[0][:512, :512])
    assert one.corners.nbytes + one.descriptors.nbytes + one.thumbnail.nbytes < 24_000


@given(st.integers(2, 400), st.floats(0.05, 0.9), st.integers(0, 2**32 - 1))
def test_the_random_split_is_scikit_learns(count, share, seed):
    if not 0 < np.ceil(share * count) < count:
        return
    expected = train_test_split(range(count), test_size=share, random_state=seed)
    assert scenes.random_split(count, share=share, seed=seed) == tuple(expected)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=80), st.integers(0, 99))
def test_the_scene_split_keeps_scenes_whole_and_leaves_nothing_out(labels, seed):
    train, validation = scenes.scene_split(labels, share=0.2, seed=seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert not {labels[i] for i in train} & {labels[i] for i in validation}
    assert train
    assert bool(validation) == (len(set(labels)) > 1)
    assert scenes.leaks(labels, train, validation) == 0


def test_leaks_are_counted():
    assert scenes.leaks([0, 0, 1, 2, 2], train=[0, 3], validation=[1, 2, 4]) == 2
