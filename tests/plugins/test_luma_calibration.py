"""The bundle that keeps the luma: uncertainty and saturation, CIELAB, and the calibration of both."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from toolbox_plugins.luma import calibration
from toolbox_plugins.luma.classes import COUNT, centres, shares
from toolbox_plugins.luma.lab import ab
from toolbox_plugins.luma.network import to_rgb
from toolbox_plugins.luma.plugin import LumaUNetParams, build_luma_unet
from toolbox_plugins.luma.uncertainty import saturation_at, uncertainty

from toolbox.color import cbcr


def test_lab_is_opencvs():
    picture = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    picture[:4] *= 0.05
    wanted = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)[..., 1:]
    found = ab(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    assert np.abs(found.numpy() - wanted).max() < 0.3  # OpenCV's matrix has other last digits


def test_uncertainty_is_0_for_one_class_and_1_for_all_alike():
    logits = torch.zeros(1, COUNT, 1, 2)
    logits[:, 5, :, 1] = 100
    assert uncertainty(logits).flatten().tolist() == pytest.approx([1, 0], abs=1e-6)


def test_saturation_is_the_curve_at_its_knots_and_straight_between():
    curve = torch.tensor([2.0, 1.0, 0.0])
    places = torch.tensor([0, 0.25, 0.5, 1]).view(1, 1, 1, 4)
    assert saturation_at(places, curve).flatten().tolist() == [2, 1.5, 1, 0]
    assert saturation_at(places, torch.tensor([0.7])).flatten().tolist() == pytest.approx([0.7] * 4)


def test_the_network_paints_paler_where_it_is_unsure():
    network = build_luma_unet(LumaUNetParams(width=4, fills=False, saturation=[1.5, 0])).eval()
    sure, unsure = torch.full((1, COUNT, 1, 1), -20.0), torch.zeros(1, COUNT, 1, 1)
    sure[:, 40] = 20
    unsure[:, 40] = 1
    mean = torch.einsum("bkhw,kc->bchw", unsure.softmax(1), centres())
    assert torch.allclose(network.colors(sure).flatten(), 1.5 * centres()[40], atol=1e-4)
    assert float(network.colors(unsure).norm()) < 0.1 * float(mean.norm())


def test_one_number_is_a_curve_of_one_knot():
    assert LumaUNetParams(saturation=0.8).saturation == [0.8]
    for refused in ([], -1, "much", [0.5, "much"]):
        with pytest.raises(ValidationError):
            LumaUNetParams(saturation=refused)


def test_without_filling_the_hole_is_filled_smoothly_and_the_mask_is_not_seen():
    torch.manual_seed(0)
    network = build_luma_unet(LumaUNetParams(width=4, fills=False)).eval()
    assert network.fine is None
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    with torch.inference_mode():
        restored = network(image, mask)[0]
        again = network(restored.mean(1, keepdim=True).expand(-1, 3, -1, -1), torch.zeros_like(mask))[0]
    assert restored.shape == again.shape == image.shape
    inside = cbcr(restored).new_tensor([0.299, 0.587, 0.114]) @ restored[0, :, 25:35, 25:35].flatten(1)
    assert float(inside.std()) < 0.5 * float(image[0, 0, 25:35, 25:35].std())


def half_known_photographs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits, luma and truth. The left halves are predicted correctly, the right halves as the mean colour."""
    draw = torch.Generator().manual_seed(0)
    luma = 0.3 + 0.4 * torch.rand(8, 1, 8, 8, generator=draw)
    chroma = 0.08 * torch.randn(8, 2, 1, 1, generator=draw).expand(-1, -1, 8, 8).clone()
    chroma[..., 4:] = 0.08 * torch.randn(8, 2, 8, 4, generator=draw)
    truth = to_rgb(luma, chroma)
    known = shares(cbcr(truth)).clamp_min(1e-6).log()
    logits = known.clone()
    logits[..., 4:] = known[..., 4:].logsumexp((0, 2, 3), keepdim=True)
    return logits, luma, truth


def test_calibration_makes_uncertain_pixels_paler_and_comes_closer_to_the_truth():
    # The left halves are certain and correct. The right halves are gray, and predicted as gray or a colour.
    luma, chroma = torch.full((8, 1, 8, 8), 0.5), torch.zeros(8, 2, 8, 8)
    angle = 2 * torch.pi * torch.arange(8) / 8
    colour = 0.12 * torch.stack([angle.cos(), angle.sin()], 1)[:, :, None, None].expand(-1, -1, 8, 4)
    chroma[..., :4] = colour
    truth = to_rgb(luma, chroma)
    probabilities = shares(chroma)
    probabilities[..., 4:] = 0.5 * probabilities[..., 4:] + 0.5 * shares(colour)
    logits = probabilities.clamp_min(1e-6).log()
    fitted = calibration.fit(logits, luma, truth, colorfulness=0.3, steps=40)
    curve, slope = torch.tensor(fitted.saturation), torch.tensor(fitted.slope)
    before = calibration.render(logits, luma, torch.ones(()), torch.zeros(2), torch.ones(1))
    after = calibration.render(logits, luma, torch.tensor(fitted.temperature), slope, curve)
    distances = [calibration.distances(ab(picture), ab(truth)).mean() for picture in (before, after)]
    assert distances[1] < 0.8 * distances[0]
    scaled = logits / fitted.temperature + (centres() @ slope).view(1, -1, 1, 1)
    factors = saturation_at(uncertainty(scaled), curve)
    assert float(factors[..., 4:].mean()) < 0.8 * float(factors[..., :4].mean())


def test_calibration_keeps_the_colourfulness_that_is_asked_for():
    logits, luma, truth = half_known_photographs()
    for least in (0.4, 0.65):  # half of each photograph can have no colour at all
        found = calibration.fit(logits, luma, truth, colorfulness=least, penalty=100, steps=80)
        picture = calibration.render(
            logits,
            luma,
            torch.tensor(found.temperature),
            torch.tensor(found.slope),
            torch.tensor(found.saturation),
        )
        share = calibration.colorfulness_of(picture).mean() / calibration.colorfulness_of(truth).mean()
        assert float(share) > least - 0.05
