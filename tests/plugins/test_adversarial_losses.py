"""The adversarial bundle's losses and penalties against values computed by hand. Takes about 2 s."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from penalty_contexts import penalty_context
from toolbox_plugins.adversarial import plugin
from toolbox_plugins.adversarial.lecam import LeCam
from toolbox_plugins.adversarial.losses import (
    Hinge,
    NonSaturating,
    RelativisticAverage,
    RelativisticPaired,
    Wasserstein,
)
from toolbox_plugins.adversarial.penalties import dragan, r1, r2
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F

LOSSES = {
    "hinge": Hinge(),
    "non-saturating": NonSaturating(),
    "wasserstein": Wasserstein(),
    "average": RelativisticAverage(),
    "paired": RelativisticPaired(),
}
LN2, LN3, LN4, LN4_3 = (
    math.log(2),
    math.log(3),
    math.log(4),
    math.log(4 / 3),
)  # softplus(ln 3) = ln 4, softplus(-ln 3) = ln 4/3


def uniform(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def maps(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


# Losses


def test_hinge_by_hand():
    fake, real = maps([0.0, -2.0], [3.0]), maps([2.0, 0.5], [-1.0])
    # 1 + f is 1, -1 in the first map and 4 in the second; 1 - r is -1, 0.5 and 2; the means of f are -1 and 3.
    assert [term.item() for term in Hinge().discriminator(fake, real)] == [(0.5 + 4) / 2, (0.25 + 2) / 2]
    assert Hinge().generator(fake, None).item() == -1


def test_wasserstein_by_hand():
    fake, real = maps([0.0, -2.0], [3.0]), maps([2.0, 0.5], [-1.0])
    assert [term.item() for term in Wasserstein().discriminator(fake, real)] == [1, -(1.25 - 1) / 2]
    assert Wasserstein().generator(fake, None).item() == -1


def test_non_saturating_equals_torchs_cross_entropy():
    fake, real = [uniform(2, 1, 3, 3) * 8 - 4], [uniform(2, 1, 3, 3, seed=1) * 8 - 4]
    zeros, ones = torch.zeros_like(fake[0]), torch.ones_like(fake[0])
    entropy = F.binary_cross_entropy_with_logits
    fake_term, real_term = NonSaturating().discriminator(fake, real)
    torch.testing.assert_close(fake_term, entropy(fake[0], zeros))
    torch.testing.assert_close(real_term, entropy(real[0], ones))
    torch.testing.assert_close(NonSaturating().generator(fake, None), entropy(fake[0], ones))


def test_non_saturating_by_hand():
    fake, real = maps([0.0, LN3], [-LN3]), maps([LN3, -LN3], [0.0])
    fake_term, real_term = NonSaturating().discriminator(fake, real)
    assert fake_term.item() == pytest.approx(((LN2 + LN4) / 2 + LN4_3) / 2, rel=1e-12)
    assert real_term.item() == pytest.approx(((LN4_3 + LN4) / 2 + LN2) / 2, rel=1e-12)
    assert NonSaturating().generator(fake, None).item() == pytest.approx(((LN2 + LN4_3) / 2 + LN4) / 2, rel=1e-12)


def test_relativistic_by_hand():
    fake, real = maps([LN3, -LN3]), maps([0.0, 2 * LN3])
    # Average: mean f is 0 and mean r is ln 3, so f - mean r is 0 and -2 ln 3, and mean f - r is 0 and -2 ln 3.
    ln10_9, ln10 = math.log(10 / 9), math.log(10)  # softplus(-2 ln 3) and softplus(2 ln 3)
    terms = [term.item() for term in RelativisticAverage().discriminator(fake, real)]
    assert terms == pytest.approx([(LN2 + ln10_9) / 2] * 2, rel=1e-12)
    assert RelativisticAverage().generator(fake, real).item() == pytest.approx(LN2 + ln10, rel=1e-12)
    # Paired: f - r is ln 3 and -3 ln 3; softplus(-3 ln 3) is ln(28 / 27) and softplus(3 ln 3) is ln 28.
    terms = [term.item() for term in RelativisticPaired().discriminator(fake, real)]
    assert terms == pytest.approx([(LN4 + math.log(28 / 27)) / 4] * 2, rel=1e-12)
    expected = (LN4_3 + math.log(28)) / 2
    assert RelativisticPaired().generator(fake, real).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["average", "paired"])
def test_relativistic_averages_over_maps_and_needs_the_real_maps(form):
    loss = plugin.build_relativistic(plugin.RelativisticParams(form=form))
    fake, real = maps([LN3, -LN3], [0.0]), maps([0.0, 2 * LN3], [0.0])
    separate = loss.generator(fake[:1], real[:1]), loss.generator(fake[1:], real[1:])
    torch.testing.assert_close(loss.generator(fake, real), (separate[0] + separate[1]) / 2)
    with pytest.raises(ValueError, match="sees_real = True"):
        loss.generator(fake, None)


@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck_losses(name):
    loss = LOSSES[name]
    all_maps = [(4 * uniform(2, 1, 3, 3, seed=seed) - 2).requires_grad_() for seed in range(4)]
    assert gradcheck(lambda *maps: loss.generator(list(maps[:2]), list(maps[2:])), all_maps)
    assert gradcheck(lambda *maps: loss.discriminator(list(maps[:2]), list(maps[2:])), all_maps)


# Penalties


class Linear(nn.Module):
    """D(x) = 2 R - G + 0.5 B at every pixel, in two maps: one with these values and one of zeros."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64))

    def forward(self, x):
        return [torch.einsum("bchw,c->bhw", x, self.weight)[:, None], x[:, :1] * 0]


def half_square(x):
    """Return D(x) = |x|^2 / 2, whose gradient is x."""
    return [x.square().sum((1, 2, 3)) / 2]


@pytest.mark.parametrize("penalty", [r1, r2])
def test_squared_gradients_of_a_linear_discriminator(penalty):
    network = Linear()
    value = penalty(penalty_context(network, uniform(2, 3, 2, 2), uniform(2, 3, 2, 2, seed=1)))
    # Four pixels of 4 + 1 + 0.25 add up to 21. The gradient of half of it is four times the weights.
    assert value.item() == pytest.approx(10.5, rel=1e-12)
    value.backward()
    assert network.weight.grad.tolist() == pytest.approx([8, -4, 2], rel=1e-12)


def test_r1_uses_real_and_r2_restored_pictures():
    real, fake = torch.zeros(2, 3, 1, 1), torch.zeros(2, 3, 1, 1)
    real[0, :, 0, 0], fake[1, :, 0, 0] = torch.tensor([1.0, 2.0, 2.0]), torch.tensor([0.0, 3.0, 4.0])
    context = penalty_context(half_square, real, fake)
    assert (r1(context).item(), r2(context).item()) == (9 / 2 / 2, 25 / 2 / 2)
    assert not real.requires_grad and not fake.requires_grad


def test_dragan_of_a_linear_discriminator():
    network = Linear()
    value = dragan(spread=0.5, target=2.0)(penalty_context(network, uniform(2, 3, 2, 2), uniform(2, 3, 2, 2)))
    assert value.item() == pytest.approx((math.sqrt(21) - 2) ** 2, rel=1e-12)
    value.backward()
    # d(|g| - 2)^2 = 2 (1 - 2 / |g|) g dg, where g dg is four times the weights.
    factor = 2 * (1 - 2 / math.sqrt(21))
    assert network.weight.grad.tolist() == pytest.approx([8 * factor, -4 * factor, 2 * factor], rel=1e-12)


def test_dragan_evaluates_near_real_pictures():
    inputs = []

    def record(x):
        inputs.append(x.detach())
        return half_square(x)

    real = uniform(64, 3, 8, 8)
    context = penalty_context(half_square, real, real)
    context = replace(context, discriminate=record)
    dragan(spread=0.5, target=1.0)(context)
    noise = (inputs[0] - real) / (0.5 * np.std(real.numpy(), ddof=1))
    # The noise is a u, with a and u from U(0, 1) and one a for each picture; the mean of a picture is about a / 2.
    assert 0 <= noise.min() and noise.max() < 1
    assert noise.flatten(1).amax(1).min() < 0.2 and noise.flatten(1).amax(1).max() > 0.8
    assert noise.mean().item() == pytest.approx(1 / 4, abs=3 * math.sqrt(1 / 12 / 64) / 2)


def test_dragan_of_flat_pictures_has_no_noise():
    flat = torch.full((2, 3, 2, 2), 0.5, dtype=torch.float64)
    value = dragan(spread=0.5, target=1.0)(penalty_context(half_square, flat, flat))
    assert value.item() == pytest.approx((math.sqrt(12 * 0.25) - 1) ** 2, rel=1e-12)


def lecam_step(penalty, real, fake):
    real_map, fake_map = (torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in (real, fake))
    pictures = torch.zeros(1, 3, 1, 1)
    value = penalty(penalty_context(half_square, pictures, pictures, real_maps=[real_map], fake_maps=[fake_map]))
    value.backward()
    return value.item(), real_map.grad.tolist(), fake_map.grad.tolist()


def test_lecam_by_hand_for_two_steps():
    penalty = LeCam(decay=0.5).double()
    # R = 2, F = -1; r - F is 4 and 2, R - f is 2 and 4. Both terms are (16 + 4) / 2.
    assert lecam_step(penalty, [3.0, 1.0], [0.0, -2.0]) == (20, [4, 2], [-2, -4])
    # R = (2 + 4) / 2 = 3, F = (-1 + 2) / 2 = 0.5; r - F is 3.5, R - f is 2 and -1. The terms are 12.25 and 4 / 2.
    assert lecam_step(penalty, [4.0], [1.0, 4.0 - 1]) == (14.25, [7], [-2, 0])
    assert (penalty.real.item(), penalty.fake.item(), penalty.uses.item()) == (3, 0.5, 2)
    loaded = LeCam(decay=0.5).double()
    loaded.load_state_dict(penalty.state_dict())
    assert lecam_step(loaded, [1.0], [5.0]) == lecam_step(penalty, [1.0], [5.0])


def test_lecam_gives_all_maps_equal_weight():
    penalty = LeCam().double()
    pictures = torch.zeros(1, 3, 1, 1)
    value = penalty(
        penalty_context(
            half_square,
            pictures,
            pictures,
            real_maps=maps([1.0, 1.0, 1.0, 1.0], [3.0]),
            fake_maps=maps([0.0, 0.0, 0.0, 0.0], [-2.0]),
        )
    )
    # R = 2, F = -1; r - F is 2 and 4, R - f is 2 and 4.
    assert value.item() == (4 + 16) / 2 + (4 + 16) / 2
