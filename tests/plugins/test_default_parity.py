"""The default bundle against reference values of the published functions and against scikit-image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from penalty_contexts import penalty_context
from skimage.metrics import structural_similarity
from toolbox_plugins.default import plugin, ssim
from toolbox_plugins.default.gradient_penalty import gradient_penalty
from toolbox_plugins.default.patchgan import LsganPatch
from toolbox_plugins.default.unet import InpaintingUNet

REFERENCE = Path(__file__).parents[1] / "reference" / "published_step.npz"

# Arguments of our function and of scikit-image's for the same value.
WINDOWS = {
    "uniform 3": ({"side": 3}, {"win_size": 3}),
    "uniform 7": ({"side": 7}, {"win_size": 7}),
    "gaussian 11": ({"side": 11, "kernel": "gaussian"}, {"gaussian_weights": True}),
    "gaussian 11, population": (
        {"side": 11, "kernel": "gaussian", "sample_covariance": False},
        {"gaussian_weights": True, "use_sample_covariance": False},
    ),
    "volume 3": ({"side": 3, "window": "volume"}, {"win_size": 3, "channel_axis": None}),
}


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays}


def fill(network):
    """Fill the network's weights by the rule of the reference file."""
    with torch.no_grad():
        for k, (name, tensor) in enumerate(network.named_parameters()):
            values = np.random.RandomState(1000 + k).standard_normal(tensor.numel())
            if tensor.ndim == 4:
                values *= np.sqrt(2 / tensor[0].numel())
            else:
                values = 1 + 0.1 * values if name.endswith("weight") else 0.01 * values
            tensor.copy_(torch.from_numpy(values).view(tensor.shape))
    return network


@pytest.fixture
def discriminator():
    return fill(LsganPatch())


def parameter_count(network):
    return sum(tensor.numel() for tensor in network.parameters())


def test_generator(reference):
    network = fill(InpaintingUNet())
    assert parameter_count(network) == 31_379_075
    with torch.no_grad():
        output = network(reference["x"], torch.zeros(2, 1, 32, 32))
    torch.testing.assert_close(output, reference["generator_output"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_discriminator(reference, discriminator, mode):
    assert parameter_count(discriminator) == 2_766_529
    discriminator.train(mode == "train")
    with torch.no_grad():
        (output,) = discriminator(reference["y"], reference["x"], torch.zeros(2, 1, 32, 32))
    torch.testing.assert_close(output, reference[f"discriminator_output_{mode}"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("window", ["volume", "per-channel"])
def test_ssim_loss(reference, window):
    loss = plugin.build_ssim(plugin.SsimParams(window=window))
    value = loss(reference["generator_output"], reference["y"], torch.zeros(2, 1, 32, 32))
    expected = reference["ssim_loss_" + window.replace("-", "_")]
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_gradient_penalty(reference, discriminator, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *size, generator: reference["gradient_penalty_alpha"].view(size))
    real, fake = reference["y"], reference["generator_output"]
    value = gradient_penalty(1.0)(
        penalty_context(
            lambda picture: discriminator(picture, real, real[:, :1]), real, fake, real_maps=[], fake_maps=[]
        )
    )
    assert value.item() == pytest.approx(reference["gradient_penalty"].item(), rel=1e-5)
    value.backward()
    # The penalty does not depend on the last bias, which has no gradient. The squares are summed in float64: over
    # 2.7 million values torch's float32 norm on the CPU has an error of 1e-4.
    squares = [tensor.grad.double().square().sum() for tensor in discriminator.parameters() if tensor.grad is not None]
    norm = torch.stack(squares).sum().sqrt()
    assert norm.item() == pytest.approx(reference["gradient_penalty_grad_norm"].item(), rel=1e-4)


def picture_pair(kind, seed=0):
    """Return two (32, 24, 3) pictures in float64."""
    rng = np.random.default_rng(seed)
    x = np.ones((32, 24, 3))
    if kind == "noise":
        return rng.random(x.shape), rng.random(x.shape)
    if kind == "near":
        noise = rng.random(x.shape)
        return noise, np.clip(noise + 0.02 * rng.standard_normal(x.shape), 0, 1)
    if kind == "white and black":
        return x, 0 * x
    if kind == "flat":
        return 0.3 * x, 0.7 * x
    x[:, 12:] = 0
    if kind == "halves":
        return x, 0.9 * x[:, ::-1]
    patch = np.ones((32, 24, 3))
    patch[10:14, 5:15] = 0.5
    return patch, np.clip(patch - 1e-3 * rng.random(x.shape), 0, 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["noise", "near", "white and black", "flat", "halves", "nearly white"])
@pytest.mark.parametrize("window", WINDOWS)
def test_ssim_equals_scikit_image(window, kind, dtype):
    ours, theirs = WINDOWS[window]
    x, y = (np.ascontiguousarray(array.astype(dtype)) for array in picture_pair(kind))
    expected = structural_similarity(
        x.astype(np.float64), y.astype(np.float64), data_range=1.0, **{"channel_axis": -1, **theirs}
    )
    value = ssim.ssim(*(torch.from_numpy(array).permute(2, 0, 1)[None] for array in (x, y)), **ours)
    assert value.shape == (1,) and value.dtype == torch.from_numpy(x).dtype
    assert value.item() == pytest.approx(expected, abs=1e-12 if dtype == np.float64 else 1e-5, rel=0)


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(11, 50),
    width=st.integers(11, 50),
    seed=st.integers(0, 2**32 - 1),
    window=st.sampled_from(["uniform 3", "uniform 7", "gaussian 11"]),
    data_range=st.sampled_from([1.0, 255.0]),
    block=st.sampled_from([1, 300, 1 << 16]),
)
def test_ssim_of_gray_pictures_of_any_size(height, width, seed, window, data_range, block):
    rng = np.random.default_rng(seed)
    x, y = data_range * rng.random((2, height, width))
    ours, theirs = WINDOWS[window]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssim, "CPU_BLOCK", block)
        value = ssim.ssim(
            torch.from_numpy(x)[None, None], torch.from_numpy(y)[None, None], data_range=data_range, **ours
        )
    expected = structural_similarity(x, y, data_range=data_range, **theirs)
    assert value.item() == pytest.approx(expected, abs=1e-12, rel=0)


def test_ssim_computes_each_picture_of_a_batch_separately():
    x, y = picture_pair("near")
    u, v = picture_pair("noise")
    together = ssim.ssim(*(torch.from_numpy(np.stack(pair)).permute(0, 3, 1, 2) for pair in ((x, u), (y, v))))
    expected = [structural_similarity(*pair, data_range=1.0, channel_axis=-1, win_size=3) for pair in ((x, y), (u, v))]
    assert together.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((1, 3, 8, 2), {}, "no larger than"),
        ((1, 3, 8, 8), {"side": 4}, "must be odd"),
        ((1, 1, 8, 8), {"window": "volume"}, "no larger than"),
        ((3, 8, 8), {}, "of one shape"),
    ],
)
def test_ssim_rejects_shapes_and_windows_that_do_not_fit(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        ssim.ssim(torch.zeros(shape), torch.zeros(shape), **arguments)
