"""The luma bundle: colour classes, network, loss, smooth fill, white balance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toolbox_plugins.luma.classes import COUNT, centres, shares
from toolbox_plugins.luma.losses import color_classes
from toolbox_plugins.luma.network import to_rgb
from toolbox_plugins.luma.plugin import LumaUNetParams, build_luma_unet, check_luma_unet
from toolbox_plugins.luma.white_balance import balanced, white_balance

from toolbox import Sample
from toolbox.color import cbcr, integer_luma, luma
from toolbox.smooth_fill import fill_tensor

GENERATOR = torch.Generator().manual_seed(0)


def uniform(*shape):
    return torch.rand(shape, generator=GENERATOR, dtype=torch.float64)


def test_a_centre_is_assigned_to_its_own_class_and_assignments_sum_to_one():
    assignment = shares(centres().double().T[None, :, :, None])
    assert assignment.shape == (1, COUNT, COUNT, 1)
    assert torch.allclose(assignment.sum(1), torch.ones(1, COUNT, 1, dtype=torch.float64))
    assert torch.equal(assignment[0, :, :, 0].argmax(0), torch.arange(COUNT))


def test_the_mean_of_the_centres_is_near_the_colour():
    # Colours inside the outermost ring, which photographs rarely exceed.
    chroma = 0.5 * cbcr(uniform(1, 3, 16, 16))
    mean = torch.einsum("bkhw,kc->bchw", shares(chroma), centres().double())
    assert float((mean - chroma).abs().max()) < 0.06


def test_rgb_has_the_luma_and_the_hue_and_no_more_saturation():
    gray, chroma = uniform(2, 1, 32, 32), uniform(2, 2, 32, 32) - 0.5
    rgb = to_rgb(gray, chroma)
    assert 0 <= float(rgb.min()) and float(rgb.max()) <= 1
    torch.testing.assert_close(luma(rgb), gray, rtol=0, atol=1e-9)
    result = cbcr(rgb)
    # The same hue: the ratio of the two coordinates stays the same, and neither grows.
    assert float((result[:, 0] * chroma[:, 1] - result[:, 1] * chroma[:, 0]).abs().max()) < 1e-9
    assert bool((result.abs() <= chroma.abs() + 1e-9).all())


def test_the_known_luma_is_exact_for_any_weights():
    torch.manual_seed(0)
    network = build_luma_unet(LumaUNetParams(width=4)).double().eval()
    image = uniform(1, 1, 64, 96).expand(-1, 3, -1, -1)
    mask = torch.zeros(1, 1, 64, 96, dtype=torch.float64)
    mask[..., 10:30, 20:50] = 1
    with torch.inference_mode():
        restored, auxiliary = network(image, mask)
        from_other_hole = network(image * (1 - mask) + 0.9 * mask, mask)[0]
    known_error = (luma(restored) - luma(image)).abs() * (1 - mask)
    assert float(known_error.max()) < 1e-9
    assert auxiliary["classes"].shape == (1, COUNT, 16, 24)
    # The values under the mask are not used.
    torch.testing.assert_close(restored, from_other_hole, rtol=0, atol=1e-12)


def test_unsuitable_sides_and_backbones_are_rejected():
    network = build_luma_unet(LumaUNetParams(width=4))
    with pytest.raises(ValueError, match="multiples of 32, not 40x64"):
        network(torch.rand(1, 3, 40, 64), torch.zeros(1, 1, 40, 64))
    with pytest.raises(ValueError, match="strides"):
        check_luma_unet(LumaUNetParams(backbone="vit_tiny_patch16_224"))


def test_the_loss_equals_the_divergence_by_hand():
    truth = uniform(1, 3, 2, 2)
    logits = torch.randn(1, COUNT, 2, 2, generator=GENERATOR, dtype=torch.float64)
    target = shares(cbcr(truth))
    radius = cbcr(truth).square().sum(1).sqrt()
    weight = 1 + 2 * (radius / 0.1).clamp_max(1)
    divergence = (target * (target.log() - logits.log_softmax(1))).sum(1)
    by_hand = (weight * divergence).sum() / weight.sum()
    torch.testing.assert_close(color_classes(2)(logits, truth, truth[:, :1]), by_hand)
    perfect = color_classes(2)(target.log(), truth, truth[:, :1])
    # Not exactly 0: probabilities below 1e-8 are raised to 1e-8.
    assert abs(float(perfect)) < 1e-6


def test_a_frozen_encoder_does_not_change():
    torch.manual_seed(0)
    network = build_luma_unet(LumaUNetParams(width=4, frozen=True)).train()
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    network(torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 64, 64))[0].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())
    assert all(weight.grad is None for weight in network.encoder.parameters())
    assert all(weight.grad is not None for weight in network.levels.parameters())
    assert network.levels[0].training and not network.encoder.training


def hole(height, width):
    mask = torch.zeros(1, 1, height, width, dtype=torch.float64)
    mask[..., height // 4 : height // 2, width // 3 : 2 * width // 3] = 1
    return mask


@pytest.mark.parametrize("size", [(64, 96), (37, 61), (3, 5), (1, 1), (2, 300)])
def test_a_smooth_fill_keeps_known_pixels_and_their_range(size):
    picture, mask = uniform(2, 1, *size), hole(*size).expand(2, -1, -1, -1)
    filled = fill_tensor(picture, mask)
    torch.testing.assert_close(filled * (1 - mask), picture * (1 - mask), rtol=0, atol=0)
    known = picture[mask == 0]
    assert float(known.min()) - 1e-9 <= float(filled.min()) and float(filled.max()) <= float(known.max()) + 1e-9
    # The values under the mask are not used.
    assert torch.equal(fill_tensor(picture + mask, mask), filled)


def test_a_smooth_fill_continues_a_slope():
    """A plane solves Laplace's equation, so the fill of a hole in a plane is that plane."""
    plane = torch.linspace(0, 1, 96, dtype=torch.float64).expand(1, 1, 64, 96)
    mask = hole(64, 96)
    inside = mask == 1
    error = (fill_tensor(plane, mask) - plane)[inside].abs()
    error_of_mean = (plane[mask == 0].mean() - plane)[inside].abs()
    assert float(error.mean()) < 0.1 * float(error_of_mean.mean())


def test_a_smooth_fill_without_known_pixels_is_black():
    assert not fill_tensor(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8)).any()


def test_a_hole_of_the_full_height_of_a_wide_picture_is_filled():
    picture, mask = torch.full((1, 1, 64, 1024), 0.8), torch.zeros(1, 1, 64, 1024)
    mask[..., 256:768] = 1
    torch.testing.assert_close(fill_tensor(picture * (1 - mask), mask), picture)


def test_an_untrained_network_fills_smoothly():
    torch.manual_seed(0)
    network = build_luma_unet(LumaUNetParams(width=4)).double().eval()
    image, mask = uniform(1, 1, 64, 96), hole(64, 96)
    with torch.inference_mode():
        restored = network(image.expand(-1, 3, -1, -1), mask)[0]
    torch.testing.assert_close(luma(restored), fill_tensor(image, mask), rtol=0, atol=1e-9)


def test_white_balance_keeps_the_luma_and_changes_colours_in_the_right_direction():
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    warm = balanced(photo, np.array([1.2, 1, 0.8], np.float32))
    difference = integer_luma(warm).astype(int) - integer_luma(photo)
    assert abs(difference).max() <= 1
    before, after = (picture.astype(float).mean((0, 1)) for picture in (photo, warm))
    assert after[0] > before[0] and after[2] < before[2]
    assert np.array_equal(balanced(photo, np.ones(3, np.float32)), photo)
    gray = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    ends = balanced(gray, np.array([1.2, 1, 0.8], np.float32))[0, [0, 255]]
    assert np.array_equal(ends, [[0, 0, 0], [255, 255, 255]])


def test_white_balance_factors_are_drawn_around_the_given_ones():
    gray = np.full((4, 4, 3), 128, np.uint8)
    sample = Sample(image=gray, mask=np.zeros((4, 4), bool), truth=gray)
    degrade, random = white_balance(1.05, 0.92, 0.05), np.random.default_rng(0)
    samples = [degrade(sample, random) for _ in range(300)]
    assert all(drawn.image is gray for drawn in samples)
    ratios = np.array([drawn.truth[0, 0].astype(float) for drawn in samples])
    assert np.allclose((ratios[:, [0, 2]] / ratios[:, 1:2]).mean(0), (1.05, 0.92), atol=0.02)
    assert 0.03 < np.log(ratios[:, 0] / ratios[:, 1]).std() < 0.07
    constant = white_balance(1.05, 0.92, 0.0)
    assert np.array_equal(constant(sample, random).truth, constant(sample, random).truth)
