"""The loss ms-ssim against torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tensors import to_tensor, uniform
from torchmetrics.functional.image import structural_similarity_index_measure

WANG = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def torchmetrics_ms_ssim(x, y, exponents):
    """Return MS-SSIM by torchmetrics' SSIM, from windows inside the picture only.

    The multi-scale function of torchmetrics excludes the other windows from the contrast terms, but not from the SSIM
    of the coarsest scale.
    """
    options = {"data_range": 1.0, "reduction": "none"}
    result = 1.0
    for exponent in exponents[:-1]:
        _, contrast = structural_similarity_index_measure(x, y, return_contrast_sensitivity=True, **options)
        result = result * contrast**exponent
        x, y = (torch.nn.functional.avg_pool2d(pictures, 2) for pictures in (x, y))
    _, image = structural_similarity_index_measure(x, y, return_full_image=True, **options)
    result = result * image[..., 5:-5, 5:-5].mean((1, 2, 3)) ** exponents[-1]
    return result.mean().item()


@pytest.mark.parametrize("size", [(176, 176), (177, 201)])
def test_ms_ssim_equals_torchmetrics(build_loss, real_photos, size):
    random = np.random.default_rng(0)
    truth = to_tensor(*real_photos[:2])[..., : size[0], : size[1]]
    noisy = (truth + torch.from_numpy(random.normal(0, 0.1, truth.shape))).clamp(0, 1)
    for restored in (noisy, torch.nn.functional.avg_pool2d(truth, 11, 1, 5)):
        value = build_loss("ms-ssim")(restored, truth, None).item()
        assert 0.02 < value < 0.7
        assert value == pytest.approx(1 - torchmetrics_ms_ssim(restored, truth, WANG), abs=1e-6)
        assert build_loss("ms-ssim")(restored.float(), truth.float(), None).item() == pytest.approx(value, abs=1e-5)


def test_a_small_picture_has_fewer_scales(build_loss, real_photos):
    loss = build_loss("ms-ssim")
    truth = to_tensor(real_photos[0])[..., :64, :48]
    restored = (truth + 0.05 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    # 48, 24 and 12 pixels: three scales, with exponents scaled by 1.0001 / 0.6305.
    expected = torchmetrics_ms_ssim(restored, truth, (0.0710613, 0.4530195, 0.4760191))
    assert loss(restored, truth, None).item() == pytest.approx(1 - expected, abs=1e-6)
    with pytest.raises(ValueError, match="sides of 11 pixels or more"):
        loss(truth[..., :10], truth[..., :10], None)


def test_pictures_of_opposite_structure_have_a_gradient(build_loss):
    texture = uniform(1, 3, 64, 48)
    opposite = (1 - texture).requires_grad_()
    value = build_loss("ms-ssim")(opposite, texture, None)
    value.backward()
    assert 0.9 < value.item() <= 1
    assert opposite.grad.isfinite().all() and opposite.grad.any()
