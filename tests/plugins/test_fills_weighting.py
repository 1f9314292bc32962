"""The weights of the fill `average`: what they are chosen by, and what they do."""

from __future__ import annotations

import numpy as np
import pytest
from toolbox_plugins.fills import weighting
from toolbox_plugins.fills.average import WEIGHTS, average, extrapolations

from toolbox import weights_path

OUTPUTS = len(weighting.SIGMAS) + 7


def scene():
    random = np.random.default_rng(0)
    luma = random.uniform(0, 255, (60, 70)).astype(np.float32)
    lost = np.zeros(luma.shape, bool)
    lost[20:45, 25:50] = True
    luma[lost] = 0
    planes = np.where(lost, luma + random.uniform(0, 255, (7, 60, 70)), luma).astype(np.float32)
    return planes, luma, lost


def make_layers(scale):
    random = np.random.default_rng(1)
    sizes = (weighting.FEATURES, 9, OUTPUTS)
    pairs = zip(sizes, sizes[1:], strict=False)
    return tuple((random.normal(0, scale, pair).astype(np.float32), np.zeros(pair[1], np.float32)) for pair in pairs)


def test_weights_of_zero_give_the_plain_mean():
    planes, luma, lost = scene()
    filled = weighting.weighted_mean(planes, luma, lost, make_layers(0))
    assert np.array_equal(filled, np.where(lost, planes.mean(0), luma))


def test_known_pixels_stay_and_lost_ones_change():
    planes, luma, lost = scene()
    filled = weighting.weighted_mean(planes, luma, lost, make_layers(0.3))
    assert np.array_equal(filled[~lost], luma[~lost])
    assert np.abs(filled - planes.mean(0))[lost].mean() > 1


def test_bands_and_the_coarsest_scale_add_up_to_the_mean():
    import cv2

    planes, luma, lost = scene()
    details, features = weighting.describe(planes, luma, lost)
    mean = np.where(lost, planes.mean(0), luma)
    coarsest = cv2.GaussianBlur(mean, (0, 0), weighting.SIGMAS[-1])
    assert np.abs(details[..., :4].sum(2) + coarsest - mean).max() < 1e-3
    assert np.abs(details[..., 4:].sum(2)).max() < 1e-3
    assert features.shape == (60, 70, weighting.FEATURES) and np.isfinite(features).all()


def test_lost_values_do_not_matter():
    planes, luma, lost = scene()
    other = np.where(lost, np.float32(200), luma)
    for first, second in zip(
        weighting.describe(planes, luma, lost), weighting.describe(planes, other, lost), strict=True
    ):
        assert np.abs(first - second).max() < 1e-3


def test_the_contrast_is_the_standard_deviation_of_a_row_window():
    luma = scene()[1]
    assert weighting.row_contrast(luma)[10, 30] == pytest.approx(luma[10, 27:34].std(ddof=1), rel=1e-3)


def test_the_network_is_dense_layers_with_silu():
    features = np.random.default_rng(2).normal(size=(weighting.ROWS + 3, 4, weighting.FEATURES)).astype(np.float32)
    (first, _), (second, _) = make_layers(1.0)
    hidden = features.astype(np.float64) @ first
    expected = (hidden / (1 + np.exp(-hidden))) @ second
    assert np.abs(weighting.apply(make_layers(1.0), features) - expected).max() < 1e-3


def test_the_shipped_weights_change_the_mean_a_little():
    random = np.random.default_rng(3)
    image, mask = random.integers(0, 256, (80, 90), dtype=np.uint8), np.zeros((80, 90), bool)
    mask[30:60, 30:60] = True
    layers = weighting.load_layers(weights_path(WEIGHTS))
    assert len(layers[-1][1]) == OUTPUTS
    planes = list(extrapolations(np.where(mask, 0, image).astype(np.float32)[..., None], mask))
    plain = np.mean(planes, axis=0)[..., 0]
    difference = np.abs(average(image, mask) - plain)[mask].mean()
    assert 0.5 < difference < 20
