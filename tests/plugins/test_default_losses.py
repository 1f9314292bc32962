"""Gradients and edge cases of the default bundle's components."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from penalty_contexts import penalty_context
from pydantic import ValidationError
from toolbox_plugins.default import damage, plugin, ssim
from toolbox_plugins.default.gradient_penalty import gradient_penalty
from toolbox_plugins.default.losses import Lsgan, mse
from toolbox_plugins.default.patchgan import LsganPatch
from toolbox_plugins.default.unet import InpaintingUNet
from torch import nn
from torch.autograd import gradcheck

from toolbox import Sample

SSIM = {
    "per-channel": {},
    "volume": {"window": "volume"},
    "gaussian": {"kernel": "gaussian", "side": 5},
    "uniform 7": {"side": 7},
}


def uniform(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_lsgan_by_hand():
    fake, real = [torch.tensor([0.0, 2.0]), torch.tensor([3.0])], [torch.tensor([1.0, 0.0]), torch.tensor([4.0])]
    loss = Lsgan()
    # Fake against 1: (1 + 1) / 2 = 1 and 4. Fake against 0: (0 + 4) / 2 = 2 and 9. Real against 1: 0.5 and 9.
    assert loss.generator(fake, None).item() == 2.5
    assert [term.item() for term in loss.discriminator(fake, real)] == [5.5, 4.75]


def test_mse_by_hand():
    assert mse(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.0]]), torch.zeros(1)).item() == 0.625


def test_gradcheck_lsgan():
    maps = [uniform(2, 1, 3, 3).requires_grad_(), uniform(2, 1, 2, 2, seed=1).requires_grad_()]
    real_map = [uniform(2, 1, 3, 3, seed=2).requires_grad_()]
    assert gradcheck(lambda *fake: Lsgan().generator(list(fake), None), maps)
    assert gradcheck(lambda a, b, real: Lsgan().discriminator([a, b], [real]), (*maps, *real_map))


def test_gradcheck_mse():
    assert gradcheck(mse, (uniform(2, 3, 5, 4).requires_grad_(), uniform(2, 3, 5, 4, seed=1), uniform(2, 1, 5, 4)))


@pytest.mark.parametrize("params", SSIM)
def test_gradcheck_ssim(params):
    loss = plugin.build_ssim(plugin.SsimParams(**SSIM[params]))
    restored, truth = uniform(2, 3, 9, 8).requires_grad_(), uniform(2, 3, 9, 8, seed=1).requires_grad_()
    assert gradcheck(lambda a, b: loss(a, b, a[:, :1]), (restored, truth))


def test_gradcheck_ssim_across_blocks(monkeypatch):
    monkeypatch.setattr(ssim, "CPU_BLOCK", 1)
    pair = uniform(2, 2, 9, 6).requires_grad_(), uniform(2, 2, 9, 6, seed=1)
    assert gradcheck(ssim.ssim, pair)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_ssim_of_half_precision_inputs_is_computed_in_full_precision(dtype):
    x, y = (uniform(2, 3, 16, 16, seed=seed).to(dtype) for seed in (0, 1))
    value = ssim.ssim(x.requires_grad_(), y)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, ssim.ssim(x.double(), y.double()).float().detach(), check_dtype=False)
    value.sum().backward()
    assert x.grad.dtype == dtype and x.grad.isfinite().all() and x.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["mse", "ssim"])
def test_each_loss_trains_the_generator(name):
    spec = next(spec for spec in plugin.toolbox_losses() if spec.name == name)
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


def test_a_detached_ssim_is_reported_but_trains_nothing():
    restored, truth = uniform(1, 3, 8, 8).requires_grad_(), uniform(1, 3, 8, 8, seed=1)
    detached, trained = (plugin.build_ssim(plugin.SsimParams(detach=detach)) for detach in (True, False))
    assert not detached(restored, truth, restored[:, :1]).requires_grad
    assert detached(restored, truth, restored[:, :1]) == trained(restored, truth, restored[:, :1])
    assert "trains nothing" in plugin.warn_ssim(plugin.SsimParams(detach=True))
    assert plugin.warn_ssim(plugin.SsimParams()) is None


def test_penalty_of_a_linear_discriminator_by_hand():
    # D(p) = 3 p_0 + 4 p_1 has a gradient of norm 5 everywhere, split over two maps that are summed.
    def discriminate(picture):
        return [3 * picture[:, :1, :1, :1], 4 * picture[:, 1:2, :1, :1]]

    context = penalty_context(discriminate, uniform(2, 3, 4, 4), uniform(2, 3, 4, 4, seed=1))
    assert gradient_penalty(1.0)(context).item() == pytest.approx(16, rel=1e-12)
    assert gradient_penalty(7.0)(context).item() == pytest.approx(4, rel=1e-12)


def test_penalty_draws_one_blend_of_real_and_fake_per_sample():
    blends = []
    real, fake = torch.zeros(3, 3, 4, 4, dtype=torch.float64), torch.ones(3, 3, 4, 4, dtype=torch.float64)
    gradient_penalty(1.0)(
        penalty_context(
            lambda p: [blends.append(p.detach()) or p.square()], real, fake, real_maps=[], fake_maps=[], seed=5
        )
    )
    alpha = torch.rand(3, 1, 1, 1, generator=torch.Generator().manual_seed(5)).double()
    torch.testing.assert_close(blends[0], (1 - alpha).expand(3, 3, 4, 4), rtol=0, atol=0)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Softplus])
def test_gradcheck_the_penalty_in_the_discriminators_weights(activation):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 2, 3, 2), activation(), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 2), activation()
    ).double()
    names = [name for name, _ in network.named_parameters()]
    weights = tuple(tensor.detach().clone().requires_grad_() for tensor in network.parameters())
    real, fake = uniform(2, 3, 8, 8), uniform(2, 3, 8, 8, seed=1)

    def penalty(*values):
        def discriminate(picture):
            return [torch.func.functional_call(network, dict(zip(names, values, strict=True)), (picture,))]

        return gradient_penalty(1.0)(penalty_context(discriminate, real, fake))

    assert gradcheck(penalty, weights)


@pytest.mark.parametrize("size", [(1, 1), (7, 16), (33, 50)])
def test_the_unet_takes_any_size(size):
    network = InpaintingUNet(width=4)
    with torch.no_grad():
        output = network(torch.rand(1, 3, *size), torch.zeros(1, 1, *size))
    assert output.shape == (1, 3, *size)
    assert 0 < output.min() and output.max() < 1


def test_the_patch_map_has_the_documented_size():
    network = LsganPatch(width=4)
    for height, width in ((24, 32), (61, 40)):
        (output,) = network(torch.rand(2, 3, height, width), None, None)
        assert output.shape == (2, 1, height // 8 - 2, width // 8 - 2)


def test_psnr_metric_by_hand():
    metric = plugin.build_psnr(plugin.Params())
    truth = np.zeros((4, 4, 3), np.uint8)
    # An error of 51 everywhere is a fifth of the range: 20 log10(5) dB.
    assert metric(truth + np.uint8(51), truth, truth[..., 0] > 0) == pytest.approx(13.979400086720377)
    assert metric(truth, truth, truth[..., 0] > 0) is None


def test_lost_region_returns_a_gray_sample():
    truth = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    sample = Sample(image=truth, mask=np.zeros((40, 50), bool), truth=truth)
    degrade = damage.build_lost_region(damage.LostRegionParams(low=7, high=7, circle=0, polygon=0))
    damaged = degrade(sample, np.random.default_rng(1))
    assert damaged.truth is truth and damaged.image.shape == (40, 50, 3) and damaged.mask.dtype == bool
    assert (np.ptp(damaged.image, axis=-1) == 0).all()
    assert damaged.mask.any() and (damaged.image[damaged.mask] == 7).all()


@pytest.mark.parametrize(
    ("params", "values", "message"),
    [
        (plugin.SsimParams, {"side": 4}, "is even; use 3 or 5"),
        (plugin.SsimParams, {"side": 5, "window": "volume"}, "does not fit three channels"),
        (plugin.UNetParams, {"width": 3}, "greater than or equal to 4"),
        (damage.LostRegionParams, {"low": 9, "high": 8}, "low = 9 is above high = 8"),
        (damage.LostRegionParams, {"rectangle": 0, "circle": 0, "polygon": 0}, "at least one above 0"),
    ],
)
def test_invalid_params_are_rejected(params, values, message):
    with pytest.raises(ValidationError, match=message):
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
