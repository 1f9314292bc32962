"""Scenes: crops and bursts of one photograph are grouped, unrelated photographs are not; the splits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from toolbox.data import near_duplicates, split
from toolbox.imaging import io

SIDE = 360  # pixels of a crop, so that two crops shifted by half fit into the 560 pixels of a photograph


@pytest.fixture(scope="module")
def photos(shared):
    """Every second photograph. The constants were chosen on the others."""
    return [io.read_rgb(path) for path in io.find_images(shared / "photos" / "train")[1::2]]


@pytest.fixture(scope="module")
def first_crops(photos):
    """The fingerprints of the top left crops of 512 and of `SIDE` pixels, which several tests compare others with."""
    return {side: [near_duplicates.fingerprint(crop(photo, 0, 0, side)) for photo in photos] for side in (512, SIDE)}


def crop(photo, x, y, side=SIDE):
    return photo[y : y + side, x : x + side]


def burst_shot(photo, random, side):
    """Return a second shot of a burst: shifted, brighter, with noise, and compressed as JPEG."""
    noisy = crop(photo, 7, 4, side) * 1.05 + 4 + random.normal(0, 4, (side, side, 3))
    encoded = cv2.imencode(".jpg", noisy.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


def group_pairs(first_prints, others):
    """Group pairs of a fingerprint and a photograph, all at once.

    Return the fraction of pairs in one scene, and of pairs joined to another pair.
    """
    pairs = zip(first_prints, map(near_duplicates.fingerprint, others), strict=True)
    labels = near_duplicates.group_scenes([each for pair in pairs for each in pair])
    first, second = np.array(labels[::2]), np.array(labels[1::2])
    return (first == second).mean(), 1 - len(np.unique(first)) / len(first)


@pytest.mark.parametrize(("x", "y"), [(180, 0), (0, 180), (180, 180), (96, 64)])
def test_crops_shifted_by_up_to_half_are_grouped_and_others_are_not(photos, first_crops, x, y):
    large = [i for i, p in enumerate(photos) if p.shape[0] >= SIDE + y and p.shape[1] >= SIDE + x]
    assert len(large) >= 200
    together, joined = group_pairs([first_crops[SIDE][i] for i in large], [crop(photos[i], x, y) for i in large])
    assert together >= 0.99
    assert joined < 0.01


def test_bursts_are_grouped_and_others_are_not(photos, first_crops):
    random = np.random.default_rng(0)
    large = [i for i, p in enumerate(photos) if p.shape[0] >= 516 and p.shape[1] >= 519]
    assert len(large) >= 200
    shots = [burst_shot(photos[i], random, 512) for i in large]
    together, joined = group_pairs([first_crops[512][i] for i in large], shots)
    assert together >= 0.99
    assert joined < 0.01


def test_a_long_burst_among_others_is_one_scene(photos):
    random = np.random.default_rng(0)
    burst = [crop(photos[0], 7, 4), *(burst_shot(photos[0], random, SIDE) for _ in range(30))]
    photos = [*burst, *(crop(p, 0, 0) for p in photos[1:100])]
    order = random.permutation(len(photos))
    labels = near_duplicates.group_scenes([near_duplicates.fingerprint(photos[index]) for index in order])
    assert len({label for label, index in zip(labels, order, strict=True) if index < len(burst)}) == 1
    assert len(set(labels)) == 100


def test_under_one_percent_of_unrelated_photographs_are_grouped(photos, first_crops):
    labels = near_duplicates.group_scenes(first_crops[512])
    merged = sum(labels.count(label) > 1 for label in labels)
    assert len(photos) >= 300
    assert merged / len(photos) < 0.01


def test_a_chain_of_overlapping_crops_is_one_scene(photos):
    chain = [photos[0][:300, x : x + 300] for x in (0, 100, 200)]
    labels = near_duplicates.group_scenes(
        [near_duplicates.fingerprint(photo) for photo in [photos[1], *chain, photos[2]]]
    )
    assert labels == [0, 1, 1, 1, 4]


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.75, 0.9, 1.6])
def test_a_copy_of_another_size_is_the_same_scene(photos, first_crops, scale):
    copies = []
    for number, photo in enumerate(photos[:100]):
        side = round(SIDE * scale)
        method = (cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[number % 3]
        small = cv2.resize(crop(photo, 0, 0), (side, side), interpolation=method)
        encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, (40, 75, 95)[number % 3]])[1]
        copies.append(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    found, joined = group_pairs(first_crops[SIDE][:100], copies)
    # In pictures of 108 pixels, a few corners are alike: up to 4 of the 100 pairs are joined to others.
    assert found >= 0.96 and joined < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (64, 64, 3), (40, 900)])
def test_flat_and_tiny_photographs_are_not_grouped(shape):
    flat = near_duplicates.fingerprint(np.full(shape, 200, np.uint8))
    assert near_duplicates.group_scenes([flat, flat]) == [0, 1]


def test_a_fingerprint_is_small(photos):
    features = near_duplicates.fingerprint(photos[0][:512, :512])
    assert (
        features.corners.nbytes + features.descriptors.nbytes + features.thumbnail.nbytes + features.overview.nbytes
        < 20_000
    )


@given(st.integers(2, 400), st.floats(0.05, 0.9), st.integers(0, 2**32 - 1))
def test_the_random_split_equals_scikit_learns(count, fraction, seed):
    if not 0 < np.ceil(fraction * count) < count:
        return
    expected = train_test_split(range(count), test_size=fraction, random_state=seed)
    assert split.random_split(count, fraction=fraction, seed=seed) == tuple(expected)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=80), st.integers(0, 99))
def test_the_scene_split_keeps_scenes_together_and_loses_nothing(labels, seed):
    train, validation = split.scene_split(labels, fraction=0.2, seed=seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert not {labels[i] for i in train} & {labels[i] for i in validation}
    assert train
    assert bool(validation) == (len(set(labels)) > 1)
    if validation:
        assert abs(len(validation) - np.ceil(0.2 * len(labels))) < max(labels.count(label) for label in labels)
    assert split.count_leaks(labels, train, validation) == 0


@pytest.mark.parametrize(
    ("sizes", "validation_count"),
    [([1] * 10, 2), ([3] * 10, 6), ([1, 6, 6, 6], 6), ([10, 10, 10], 10), ([5], 0), ([1], 0)],
)
def test_the_validation_fraction_is_met_as_closely_as_the_scenes_allow(sizes, validation_count):
    labels = np.repeat(np.arange(len(sizes)), sizes).tolist()
    assert len(split.scene_split(labels, fraction=0.2)[1]) == validation_count


def test_leaks_are_counted():
    assert split.count_leaks([0, 0, 1, 2, 2], train=[0, 3], validation=[1, 2, 4]) == 2
