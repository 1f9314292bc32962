"""Scenes: crops and bursts of one photograph land together, unrelated photographs do not; and the splits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from toolbox.data import near_duplicates
from toolbox.imaging import io

SIDE = 360  # of the crops, so that shifts by half fit into the photographs' 560 pixels


@pytest.fixture(scope="module")
def photos(shared):
    """Every other photograph; the constants were chosen on the rest."""
    return [io.read_rgb(path) for path in io.find_images(shared / "photos" / "train")[1::2]]


def crop(photo, x, y, side=SIDE):
    return photo[y : y + side, x : x + side]


def shot(photo, random, side):
    """Return a second shot of a burst: moved, brighter, with noise, and saved as JPEG."""
    noisy = crop(photo, 7, 4, side) * 1.05 + 4 + random.normal(0, 4, (side, side, 3))
    encoded = cv2.imencode(".jpg", noisy.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


def grouped(pairs):
    """Group all pairs at once; return the shares of pairs that land together and of those joined to another pair."""
    labels = near_duplicates.group([near_duplicates.fingerprint(photo) for pair in pairs for photo in pair])
    first, second = np.array(labels[::2]), np.array(labels[1::2])
    together = first == second
    return together.mean(), 1 - len(np.unique(first)) / len(first)


@pytest.mark.parametrize(("x", "y"), [(180, 0), (0, 180), (180, 180), (96, 64)])
def test_crops_shifted_by_up_to_half_land_together_and_apart_from_others(photos, x, y):
    large = [p for p in photos if p.shape[0] >= SIDE + y and p.shape[1] >= SIDE + x]
    assert len(large) >= 200
    together, joined = grouped([(crop(p, 0, 0), crop(p, x, y)) for p in large])
    assert together >= 0.99
    assert joined < 0.01


def test_bursts_land_together_and_apart_from_others(photos):
    random = np.random.default_rng(0)
    large = [p for p in photos if p.shape[0] >= 516 and p.shape[1] >= 519]
    assert len(large) >= 200
    together, joined = grouped([(crop(p, 0, 0, 512), shot(p, random, 512)) for p in large])
    assert together >= 0.99
    assert joined < 0.01


def test_a_long_burst_among_others_is_one_scene(photos):
    random = np.random.default_rng(0)
    burst = [crop(photos[0], 7, 4), *(shot(photos[0], random, SIDE) for _ in range(30))]
    photos = [*burst, *(crop(p, 0, 0) for p in photos[1:100])]
    order = random.permutation(len(photos))
    labels = near_duplicates.group([near_duplicates.fingerprint(photos[index]) for index in order])
    assert len({label for label, index in zip(labels, order, strict=True) if index < len(burst)}) == 1
    assert len(set(labels)) == 100


def test_under_one_percent_of_unrelated_photographs_are_merged(photos):
    labels = near_duplicates.group([near_duplicates.fingerprint(crop(photo, 0, 0, 512)) for photo in photos])
    merged = sum(labels.count(label) > 1 for label in labels)
    assert len(photos) >= 300
    assert merged / len(photos) < 0.01


def test_a_chain_of_crops_is_one_scene_and_its_neighbour_is_not(photos):
    chain = [photos[0][:300, x : x + 300] for x in (0, 100, 200)]
    labels = near_duplicates.group([near_duplicates.fingerprint(one) for one in [photos[1], *chain, photos[2]]])
    assert labels == [0, 1, 1, 1, 4]


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (64, 64, 3), (40, 900)])
def test_flat_and_tiny_photographs_are_scenes_of_their_own(shape):
    flat = near_duplicates.fingerprint(np.full(shape, 200, np.uint8))
    assert near_duplicates.group([flat, flat]) == [0, 1]


def test_a_fingerprint_is_small(photos):
    one = near_duplicates.fingerprint(photos[0][:512, :512])
    assert one.corners.nbytes + one.descriptors.nbytes + one.thumbnail.nbytes < 20_000


@given(st.integers(2, 400), st.floats(0.05, 0.9), st.integers(0, 2**32 - 1))
def test_the_random_split_is_scikit_learns(count, share, seed):
    if not 0 < np.ceil(share * count) < count:
        return
    expected = train_test_split(range(count), test_size=share, random_state=seed)
    assert near_duplicates.random_split(count, share=share, seed=seed) == tuple(expected)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=80), st.integers(0, 99))
def test_the_scene_split_keeps_scenes_whole_and_leaves_nothing_out(labels, seed):
    train, validation = near_duplicates.scene_split(labels, share=0.2, seed=seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert not {labels[i] for i in train} & {labels[i] for i in validation}
    assert train
    assert bool(validation) == (len(set(labels)) > 1)
    if validation:
        assert abs(len(validation) - np.ceil(0.2 * len(labels))) < max(labels.count(label) for label in labels)
    assert near_duplicates.leaks(labels, train, validation) == 0


@pytest.mark.parametrize(
    ("sizes", "held_out"),
    [([1] * 10, 2), ([3] * 10, 6), ([1, 6, 6, 6], 6), ([10, 10, 10], 10), ([5], 0), ([1], 0)],
)
def test_the_validation_share_is_met_as_nearly_as_whole_scenes_allow(sizes, held_out):
    labels = np.repeat(np.arange(len(sizes)), sizes).tolist()
    assert len(near_duplicates.scene_split(labels, share=0.2)[1]) == held_out


def test_leaks_are_counted():
    assert near_duplicates.leaks([0, 0, 1, 2, 2], train=[0, 3], validation=[1, 2, 4]) == 2
