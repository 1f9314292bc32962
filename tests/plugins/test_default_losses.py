"""Gradients and edge cases of the default bundle's parts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from toolbox_plugins.default import plugin, ssim
from toolbox_plugins.default.gradient_penalty import gradient_penalty
from toolbox_plugins.default.losses import Lsgan, mse
from toolbox_plugins.default.patch import LsganPatch
from toolbox_plugins.default.unet import InpaintingUNet
from torch import nn
from torch.autograd import gradcheck

from toolbox import PenaltyContext, Sample

SSIM = {
    "per-channel": {},
    "volume": {"window": "volume"},
    "gaussian": {"kernel": "gaussian", "side": 5},
    "uniform 7": {"side": 7},
}


def double(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def judgement(discriminate, real, fake, seed=0):
    return PenaltyContext(
        discriminate=discriminate,
        real=real,
        fake=fake,
        real_maps=[],
        fake_maps=[],
        random=torch.Generator().manual_seed(seed),
    )


def test_lsgan_by_hand():
    fake, real = [torch.tensor([0.0, 2.0]), torch.tensor([3.0])], [torch.tensor([1.0, 0.0]), torch.tensor([4.0])]
    game = Lsgan()
    # To 1: (1 + 1) / 2 = 1 and 4; to 0: (0 + 4) / 2 = 2 and 9; real to 1: (0 + 1) / 2 = 0.5 and 9.
    assert game.generator(fake, None).item() == 2.5
    assert [term.item() for term in game.discriminator(fake, real)] == [5.5, 4.75]


def test_mse_by_hand():
    assert mse(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.0]]), torch.zeros(1)).item() == 0.625


def test_gradcheck_lsgan():
    maps = [double(2, 1, 3, 3).requires_grad_(), double(2, 1, 2, 2, seed=1).requires_grad_()]
    more = [double(2, 1, 3, 3, seed=2).requires_grad_()]
    assert gradcheck(lambda *fake: Lsgan().generator(list(fake), None), maps)
    assert gradcheck(lambda a, b, real: Lsgan().discriminator([a, b], [real]), (*maps, *more))


def test_gradcheck_mse():
    assert gradcheck(mse, (double(2, 3, 5, 4).requires_grad_(), double(2, 3, 5, 4, seed=1), double(2, 1, 5, 4)))


@pytest.mark.parametrize("params", SSIM)
def test_gradcheck_ssim(params):
    loss = plugin.build_ssim(plugin.SsimParams(**SSIM[params]))
    restored, truth = double(2, 3, 9, 8).requires_grad_(), double(2, 3, 9, 8, seed=1).requires_grad_()
    assert gradcheck(lambda a, b: loss(a, b, a[:, :1]), (restored, truth))


def test_gradcheck_ssim_across_strips(monkeypatch):
    monkeypatch.setattr(ssim, "STRIP", 1)
    pair = double(2, 2, 9, 6).requires_grad_(), double(2, 2, 9, 6, seed=1)
    assert gradcheck(ssim.ssim, pair)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_ssim_in_half_precision_is_computed_in_full(dtype):
    x, y = (double(2, 3, 16, 16, seed=seed).to(dtype) for seed in (0, 1))
    got = ssim.ssim(x.requires_grad_(), y)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, ssim.ssim(x.double(), y.double()).float().detach(), check_dtype=False)
    got.sum().backward()
    assert x.grad.dtype == dtype and x.grad.isfinite().all() and x.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["mse", "ssim"])
def test_each_loss_moves_the_generator(name):
    spec = next(one for one in plugin.toolbox_losses() if one.name == name)
    torch.manual_seed(0)
    generator = InpaintingUNet(width=4, levels=3)
    image, truth, mask = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    loss = spec.build(spec.params())
    before = loss(generator(image, mask), truth, mask)
    before.backward()
    assert all(tensor.grad.abs().sum() > 0 for tensor in generator.parameters())
    with torch.no_grad():
        for tensor in generator.parameters():
            tensor -= 0.01 * tensor.grad
    assert loss(generator(image, mask), truth, mask) < before


def test_a_detached_ssim_is_reported_and_moves_nothing():
    restored, truth = double(1, 3, 8, 8).requires_grad_(), double(1, 3, 8, 8, seed=1)
    still, moving = (plugin.build_ssim(plugin.SsimParams(detach=detach)) for detach in (True, False))
    assert not still(restored, truth, restored[:, :1]).requires_grad
    assert still(restored, truth, restored[:, :1]) == moving(restored, truth, restored[:, :1])
    assert "moves no weight" in plugin.warn_ssim(plugin.SsimParams(detach=True))
    assert plugin.warn_ssim(plugin.SsimParams()) is None


def test_penalty_of_a_linear_discriminator_by_hand():
    # D(p) = 3 p_0 + 4 p_1 has a gradient of norm 5 everywhere, spread over two maps that are summed.
    def discriminate(picture):
        return [3 * picture[:, :1, :1, :1], 4 * picture[:, 1:2, :1, :1]]

    at = judgement(discriminate, double(2, 3, 4, 4), double(2, 3, 4, 4, seed=1))
    assert gradient_penalty(1.0)(at).item() == pytest.approx(16, rel=1e-12)
    assert gradient_penalty(7.0)(at).item() == pytest.approx(4, rel=1e-12)


def test_penalty_draws_one_point_a_sample_between_real_and_fake():
    seen = []
    real, fake = torch.zeros(3, 3, 4, 4, dtype=torch.float64), torch.ones(3, 3, 4, 4, dtype=torch.float64)
    gradient_penalty(1.0)(judgement(lambda p: [seen.append(p.detach()) or p.square()], real, fake, seed=5))
    alpha = torch.rand(3, 1, 1, 1, generator=torch.Generator().manual_seed(5)).double()
    torch.testing.assert_close(seen[0], (1 - alpha).expand(3, 3, 4, 4), rtol=0, atol=0)


@pytest.mark.parametrize("smooth", [nn.Tanh, nn.Softplus])
def test_the_penaltys_gradient_in_the_discriminators_weights(smooth):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 3, 2), smooth(), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 2), smooth()).double()
    names = [name for name, _ in network.named_parameters()]
    weights = tuple(tensor.detach().clone().requires_grad_() for tensor in network.parameters())
    real, fake = double(2, 3, 8, 8), double(2, 3, 8, 8, seed=1)

    def penalty(*values):
        def discriminate(picture):
            return [torch.func.functional_call(network, dict(zip(names, values, strict=True)), (picture,))]

        return gradient_penalty(1.0)(judgement(discriminate, real, fake))

    assert gradcheck(penalty, weights)


@pytest.mark.parametrize("size", [(1, 1), (7, 16), (33, 50)])
def test_the_unet_takes_any_size(size):
    network = InpaintingUNet(width=4)
    with torch.no_grad():
        got = network(torch.rand(1, 3, *size), torch.zeros(1, 1, *size))
    assert got.shape == (1, 3, *size)
    assert 0 < got.min() and got.max() < 1


def test_the_patch_map_has_the_stated_size():
    network = LsganPatch(width=4)
    for height, width in ((24, 32), (61, 40)):
        (got,) = network(torch.rand(2, 3, height, width), None, None)
        assert got.shape == (2, 1, height // 8 - 2, width // 8 - 2)


def test_psnr_metric_by_hand():
    metric = plugin.build_psnr(plugin.Params())
    truth = np.zeros((4, 4, 3), np.uint8)
    # An error of 51 everywhere is a fifth of the range: 20 log10(5) dB.
    assert metric(truth + np.uint8(51), truth, truth[..., 0] > 0) == pytest.approx(13.979400086720377)
    assert metric(truth, truth, truth[..., 0] > 0) is None


def test_lost_region_makes_a_gray_sample():
    truth = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    given = Sample(image=truth, mask=np.zeros((40, 50), bool), truth=truth)
    degrade = plugin.build_lost_region(plugin.LostRegionParams(low=7, high=7, circle=0, polygon=0))
    got = degrade(given, np.random.default_rng(1))
    assert got.truth is truth and got.image.shape == (40, 50, 3) and got.mask.dtype == bool
    assert (np.ptp(got.image, axis=-1) == 0).all()
    assert got.mask.any() and (got.image[got.mask] == 7).all()


@pytest.mark.parametrize(
    ("params", "values", "says"),
    [
        (plugin.SsimParams, {"side": 4}, "no middle; take 3 or 5"),
        (plugin.SsimParams, {"side": 5, "window": "volume"}, "does not fit three colours"),
        (plugin.UNetParams, {"width": 3}, "greater than or equal to 4"),
        (plugin.LostRegionParams, {"low": 9, "high": 8}, "low = 9 is above high = 8"),
        (plugin.LostRegionParams, {"rectangle": 0, "circle": 0, "polygon": 0}, "one has to be above"),
    ],
)
def test_params_that_make_no_sense_are_refused(params, values, says):
    with pytest.raises(ValidationError, match=says):
        params(**values)


def test_the_plugin_imports_nothing_heavy():
    code = (
        "import sys, toolbox_plugins.default.plugin as p\n"
        "for hook in dir(p):\n"
        "    if hook.startswith('toolbox_'): assert getattr(p, hook)()\n"
        "print(sorted({'torch', 'numpy', 'cv2', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
