"""The bundle that keeps the luma: its classes of colour, its network, its loss."""

from __future__ import annotations

import pytest
import torch
from toolbox_plugins.luma.classes import COUNT, cbcr, centres, shares
from toolbox_plugins.luma.losses import color_classes
from toolbox_plugins.luma.network import to_rgb
from toolbox_plugins.luma.plugin import LumaUNetParams, build_luma_unet, check_luma_unet

from toolbox.color import luma

DRAW = torch.Generator().manual_seed(0)


def pictures(*shape):
    return torch.rand(shape, generator=DRAW, dtype=torch.float64)


def test_a_centre_belongs_to_its_class_most_and_shares_sum_to_one():
    found = shares(centres().double().T[None, :, :, None])
    assert found.shape == (1, COUNT, COUNT, 1)
    assert torch.allclose(found.sum(1), torch.ones(1, COUNT, 1, dtype=torch.float64))
    assert torch.equal(found[0, :, :, 0].argmax(0), torch.arange(COUNT))


def test_the_mean_of_the_centres_is_near_the_colour():
    # Within the rings; photographs hardly ever go beyond the outermost.
    chroma = 0.5 * cbcr(pictures(1, 3, 16, 16))
    back = torch.einsum("bkhw,kc->bchw", shares(chroma), centres().double())
    assert float((back - chroma).abs().max()) < 0.06


def test_rgb_has_the_luma_and_the_colour_or_less_of_it():
    gray, chroma = pictures(2, 1, 32, 32), pictures(2, 2, 32, 32) - 0.5
    rgb = to_rgb(gray, chroma)
    assert 0 <= float(rgb.min()) and float(rgb.max()) <= 1
    torch.testing.assert_close(luma(rgb), gray, rtol=0, atol=1e-9)
    found = cbcr(rgb)
    # The same hue: the two coordinates keep their ratio, and never grow.
    assert float((found[:, 0] * chroma[:, 1] - found[:, 1] * chroma[:, 0]).abs().max()) < 1e-9
    assert bool((found.abs() <= chroma.abs() + 1e-9).all())


def test_the_known_luma_comes_out_whatever_the_weights():
    torch.manual_seed(0)
    network = build_luma_unet(LumaUNetParams(width=4)).double().eval()
    image = pictures(1, 1, 64, 96).expand(-1, 3, -1, -1)
    mask = torch.zeros(1, 1, 64, 96, dtype=torch.float64)
    mask[..., 10:30, 20:50] = 1
    with torch.inference_mode():
        restored, auxiliary = network(image, mask)
        changed = network(image * (1 - mask) + 0.9 * mask, mask)[0]
    kept = (luma(restored) - luma(image)).abs() * (1 - mask)
    assert float(kept.max()) < 1e-9
    assert auxiliary["classes"].shape == (1, COUNT, 16, 24)
    # What lies under the mask is not looked at.
    torch.testing.assert_close(restored, changed, rtol=0, atol=1e-12)


def test_sides_and_backbones_that_do_not_fit_are_refused():
    network = build_luma_unet(LumaUNetParams(width=4))
    with pytest.raises(ValueError, match="multiples of 32, not 40x64"):
        network(torch.rand(1, 3, 40, 64), torch.zeros(1, 1, 40, 64))
    with pytest.raises(ValueError, match="strides"):
        check_luma_unet(LumaUNetParams(backbone="vit_tiny_patch16_224"))


def test_the_loss_is_the_divergence_by_hand():
    truth = pictures(1, 3, 2, 2)
    logits = torch.randn(1, COUNT, 2, 2, generator=DRAW, dtype=torch.float64)
    wanted = shares(cbcr(truth))
    radius = cbcr(truth).square().sum(1).sqrt()
    weight = 1 + 2 * (radius / 0.1).clamp_max(1)
    apart = (wanted * (wanted.log() - logits.log_softmax(1))).sum(1)
    by_hand = (weight * apart).sum() / weight.sum()
    torch.testing.assert_close(color_classes(2)(logits, truth, truth[:, :1]), by_hand)
    perfect = color_classes(2)(wanted.log(), truth, truth[:, :1])
    # Shares below 1e-8 count as that.
    assert abs(float(perfect)) < 1e-6


def test_a_frozen_encoder_stays_as_it_is():
    torch.manual_seed(0)
    network = build_luma_unet(LumaUNetParams(width=4, frozen=True)).train()
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    network(torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 64, 64))[0].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())
    assert all(weight.grad is None for weight in network.encoder.parameters())
    assert all(weight.grad is not None for weight in network.levels.parameters())
    assert network.levels[0].training and not network.encoder.training
