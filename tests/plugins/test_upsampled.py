"""The convolution of what was made larger, against the two steps one after the other."""

from __future__ import annotations

import pytest
import torch
from toolbox_plugins.default.upsampled import conv_at_the_large_size, conv_of_upsampled
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


@pytest.mark.parametrize("autocast", [False, True])
def test_what_is_made_larger_is_made_again_and_not_kept(autocast):
    draw = torch.Generator().manual_seed(0)
    start = torch.randn((2, 5, 4, 6), generator=draw, requires_grad=True)
    weight = torch.randn((3, 5, 3, 3), generator=draw, requires_grad=True)
    size, kept, found = (9, 12), [], {}
    for name in ("plain", "again"):
        with (
            torch.autograd.graph.saved_tensors_hooks(
                lambda x, name=name: (kept.append((name, x.shape)), x)[1], lambda x: x
            ),
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
        ):
            x = start.relu()
            if name == "plain":
                large = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
                result = F.conv2d(large, weight, padding=1)
            else:
                result = conv_at_the_large_size(x, weight, size)
        found[name] = result, *torch.autograd.grad(result.float().square().sum(), (start, weight))
    assert all(torch.equal(one, other) for one, other in zip(*found.values(), strict=True))
    assert ("plain", (2, 5, 9, 12)) in kept and ("again", (2, 5, 9, 12)) not in kept
