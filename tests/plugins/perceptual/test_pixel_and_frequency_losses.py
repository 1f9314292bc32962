"""l1, charbonnier, focal-frequency and chroma against values computed by hand and other libraries."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from tensors import no_mask, to_tensor, uniform


def test_l1_and_charbonnier_by_hand(build_loss):
    truth = torch.zeros(1, 1, 1, 2)
    restored = torch.tensor([0.3, -0.9]).view(1, 1, 1, 2)
    assert build_loss("l1")(restored, truth, no_mask(truth)).item() == pytest.approx(0.6)
    # sqrt(0.3^2 + 0.4^2) is 0.5; sqrt(0.9^2 + 0.4^2) is sqrt(0.97).
    charbonnier = build_loss("charbonnier", epsilon=0.4)
    assert charbonnier(restored[..., :1], truth[..., :1], no_mask(truth)).item() == pytest.approx(0.5)
    assert charbonnier(restored, truth, no_mask(truth)).item() == pytest.approx((0.5 + 0.98488578) / 2)


def test_focal_frequency_by_hand(build_loss):
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(16.0), indexing="ij")
    first, second = torch.cos(2 * torch.pi * 3 * x / 16), torch.cos(2 * torch.pi * (2 * y / 8 + x / 16))
    truth = torch.zeros(1, 1, 8, 16)

    def loss(alpha, picture):
        return build_loss("focal-frequency", alpha=alpha)(picture.view(1, 1, 8, 16), truth, no_mask(truth)).item()

    # A constant d has one frequency: d^2. A cosine of amplitude a has two of equal power: a^2 / 2.
    assert loss(1.0, torch.full((8, 16), 0.3)) == pytest.approx(0.09, rel=1e-5)
    assert loss(1.0, 0.4 * first) == pytest.approx(0.08, rel=1e-5)
    # Half the amplitude has half the weight with alpha 1, a quarter with alpha 2, the same with alpha 0.
    both = 0.4 * first + 0.2 * second
    for alpha, expected in ((1.0, 0.08 + 0.5 * 0.02), (2.0, 0.08 + 0.25 * 0.02), (0.0, 0.08 + 0.02)):
        assert loss(alpha, both) == pytest.approx(expected, rel=1e-4)
    # By Parseval's theorem, the loss without weights is the mean squared error.
    noise = uniform(8, 16)
    assert loss(0.0, noise) == pytest.approx(noise.square().mean().item(), rel=1e-6)


def test_chroma_equals_opencvs_and_scikit_images_coordinates(build_loss, real_photos):
    """OpenCV's float YCrCb has (Cr + 0.5, Cb + 0.5) of BT.601, with factors rounded to three digits."""
    photos = real_photos[:2]
    x, y = to_tensor(photos[0]), to_tensor(photos[1])
    a, b = (cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)[..., 1:] for photo in photos)
    assert build_loss("chroma")(x, y, None).item() == pytest.approx(np.abs(a - b).mean(), rel=2e-3)
    assert build_loss("chroma", distance="mse")(x, y, None).item() == pytest.approx(np.square(a - b).mean(), rel=2e-3)
    a, b = (rgb2lab(photo)[..., 1:] / 100 for photo in photos)
    assert build_loss("chroma", space="lab")(x, y, None).item() == pytest.approx(np.abs(a - b).mean(), rel=1e-3)
    assert build_loss("chroma", space="lab", distance="mse")(x, y, None).item() == pytest.approx(
        np.square(a - b).mean(), rel=1e-3
    )


@pytest.mark.parametrize("space", ["ycbcr", "lab"])
def test_chroma_ignores_brightness(build_loss, space):
    loss = build_loss("chroma", space=space)
    black, bright = (torch.full((1, 3, 4, 4), value, dtype=torch.float64) for value in (0.0, 0.8))
    assert loss(black, bright, None).item() < 1e-6
    assert loss(bright * torch.tensor([1, 0.9, 0.8]).view(1, 3, 1, 1), bright, None).item() > 0.01
