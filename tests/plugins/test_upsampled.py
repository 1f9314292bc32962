"""The convolution of what was made larger, against the two steps one after the other."""

from __future__ import annotations

import pytest
import torch
from toolbox_plugins.default.upsampled import conv_of_upsampled
from torch.nn import functional as F

DRAW = torch.Generator().manual_seed(0)


def draw(*shape):
    return torch.randn(shape, generator=DRAW, dtype=torch.float64)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 3), (4, 5)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_upsampling_first(size, layout):
    x = draw(2, 5, (size[0] + 1) // 2, (size[1] + 1) // 2).contiguous(memory_format=layout).requires_grad_()
    weight = draw(3, 5, 3, 3).requires_grad_()
    pull = draw(2, 3, *size)
    expected = F.conv2d(F.interpolate(x, size=size, mode="bilinear", align_corners=True), weight, padding=1)
    found = conv_of_upsampled(x, weight, size)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    wanted = torch.autograd.grad((expected * pull).sum(), [x, weight])
    given = torch.autograd.grad((found * pull).sum(), [x, weight])
    torch.testing.assert_close(given, wanted, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_that_of_finite_differences():
    x, weight = draw(1, 2, 3, 2).requires_grad_(), draw(2, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: conv_of_upsampled(a, b, (6, 4)), (x, weight))
