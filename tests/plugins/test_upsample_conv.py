"""`upsample_conv` against plain upsampling followed by a convolution."""

from __future__ import annotations

import pytest
import torch
from toolbox_plugins.default.upsample_conv import conv_after_upsampling, conv_before_upsampling
from torch.nn import functional as F

GENERATOR = torch.Generator().manual_seed(0)


def randn(*shape):
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 3), (4, 5)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_equal_those_of_the_plain_order(size, memory_format):
    x = randn(2, 5, (size[0] + 1) // 2, (size[1] + 1) // 2).contiguous(memory_format=memory_format).requires_grad_()
    weight = randn(3, 5, 3, 3).requires_grad_()
    upstream = randn(2, 3, *size)
    expected = F.conv2d(F.interpolate(x, size=size, mode="bilinear", align_corners=True), weight, padding=1)
    result = conv_before_upsampling(x, weight, size)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    expected_gradients = torch.autograd.grad((expected * upstream).sum(), [x, weight])
    gradients = torch.autograd.grad((result * upstream).sum(), [x, weight])
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-12, atol=1e-12)


def test_the_gradient_equals_finite_differences():
    x, weight = randn(1, 2, 3, 2).requires_grad_(), randn(2, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: conv_before_upsampling(a, b, (6, 4)), (x, weight))


@pytest.mark.parametrize("autocast", [False, True])
def test_the_upsampled_tensor_is_recomputed_and_not_saved(autocast):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn((2, 5, 4, 6), generator=generator, requires_grad=True)
    weight = torch.randn((3, 5, 3, 3), generator=generator, requires_grad=True)
    size, saved, results = (9, 12), [], {}
    for name in ("plain", "recomputed"):
        with (
            torch.autograd.graph.saved_tensors_hooks(
                lambda x, name=name: (saved.append((name, x.shape)), x)[1], lambda x: x
            ),
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
        ):
            x = start.relu()
            if name == "plain":
                large = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
                result = F.conv2d(large, weight, padding=1)
            else:
                result = conv_after_upsampling(x, weight, size)
        results[name] = result, *torch.autograd.grad(result.float().square().sum(), (start, weight))
    assert all(torch.equal(plain, recomputed) for plain, recomputed in zip(*results.values(), strict=True))
    assert ("plain", (2, 5, 9, 12)) in saved and ("recomputed", (2, 5, 9, 12)) not in saved
