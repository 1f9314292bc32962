"""The adversarial bundle's losses and penalties against numbers worked out by hand; some 2 seconds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toolbox_plugins.adversarial import plugin
from toolbox_plugins.adversarial.games import (
    Hinge,
    NonSaturating,
    RelativisticAverage,
    RelativisticPaired,
    Wasserstein,
)
from toolbox_plugins.adversarial.lecam import LeCam
from toolbox_plugins.adversarial.penalties import dragan, r1, r2
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from toolbox import PenaltyContext

GAMES = {
    "hinge": Hinge(),
    "non-saturating": NonSaturating(),
    "wasserstein": Wasserstein(),
    "average": RelativisticAverage(),
    "paired": RelativisticPaired(),
}
LN2, LN3, LN4, LN4_3 = math.log(2), math.log(3), math.log(4), math.log(4 / 3)  # softplus(ln 3) is ln 4, of -ln 3 ln 4/3


def double(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def maps(*values):
    return [torch.tensor(one, dtype=torch.float64) for one in values]


def judgement(discriminate, real, fake, seed=0):
    return PenaltyContext(
        discriminate=discriminate,
        real=real,
        fake=fake,
        real_maps=discriminate(real),
        fake_maps=discriminate(fake),
        random=torch.Generator().manual_seed(seed),
    )


# Games


def test_hinge_by_hand():
    fake, real = maps([0.0, -2.0], [3.0]), maps([2.0, 0.5], [-1.0])
    # 1 + f: 1 and -1, then 4; 1 - r: -1 and 0.5, then 2; means of f: -1 and 3.
    assert [term.item() for term in Hinge().discriminator(fake, real)] == [(0.5 + 4) / 2, (0.25 + 2) / 2]
    assert Hinge().generator(fake, None).item() == -1


def test_wasserstein_by_hand():
    fake, real = maps([0.0, -2.0], [3.0]), maps([2.0, 0.5], [-1.0])
    assert [term.item() for term in Wasserstein().discriminator(fake, real)] == [1, -(1.25 - 1) / 2]
    assert Wasserstein().generator(fake, None).item() == -1


def test_non_saturating_is_the_cross_entropy_of_torch():
    fake, real = [double(2, 1, 3, 3) * 8 - 4], [double(2, 1, 3, 3, seed=1) * 8 - 4]
    zeros, ones = torch.zeros_like(fake[0]), torch.ones_like(fake[0])
    entropy = F.binary_cross_entropy_with_logits
    on_fake, on_real = NonSaturating().discriminator(fake, real)
    torch.testing.assert_close(on_fake, entropy(fake[0], zeros))
    torch.testing.assert_close(on_real, entropy(real[0], ones))
    torch.testing.assert_close(NonSaturating().generator(fake, None), entropy(fake[0], ones))


def test_non_saturating_by_hand():
    fake, real = maps([0.0, LN3], [-LN3]), maps([LN3, -LN3], [0.0])
    on_fake, on_real = NonSaturating().discriminator(fake, real)
    assert on_fake.item() == pytest.approx(((LN2 + LN4) / 2 + LN4_3) / 2, rel=1e-12)
    assert on_real.item() == pytest.approx(((LN4_3 + LN4) / 2 + LN2) / 2, rel=1e-12)
    assert NonSaturating().generator(fake, None).item() == pytest.approx(((LN2 + LN4_3) / 2 + LN4) / 2, rel=1e-12)


def test_relativistic_by_hand():
    fake, real = maps([LN3, -LN3]), maps([0.0, 2 * LN3])
    # On average: the mean of fake is 0, of real ln 3, so f - mean r is 0 and -2 ln 3, mean f - r 0 and -2 ln 3.
    ln10_9, ln10 = math.log(10 / 9), math.log(10)  # softplus(-2 ln 3) and softplus(2 ln 3)
    terms = [term.item() for term in RelativisticAverage().discriminator(fake, real)]
    assert terms == pytest.approx([(LN2 + ln10_9) / 2] * 2, rel=1e-12)
    assert RelativisticAverage().generator(fake, real).item() == pytest.approx(LN2 + ln10, rel=1e-12)
    # Paired: f - r is ln 3 and -3 ln 3; softplus(-3 ln 3) is ln(28 / 27), softplus(3 ln 3) ln 28.
    terms = [term.item() for term in RelativisticPaired().discriminator(fake, real)]
    assert terms == pytest.approx([(LN4 + math.log(28 / 27)) / 4] * 2, rel=1e-12)
    expected = (LN4_3 + math.log(28)) / 2
    assert RelativisticPaired().generator(fake, real).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["average", "paired"])
def test_relativistic_averages_over_maps_and_needs_the_real_ones(form):
    game = plugin.build_relativistic(plugin.RelativisticParams(form=form))
    fake, real = maps([LN3, -LN3], [0.0]), maps([0.0, 2 * LN3], [0.0])
    alone = game.generator(fake[:1], real[:1]), game.generator(fake[1:], real[1:])
    torch.testing.assert_close(game.generator(fake, real), (alone[0] + alone[1]) / 2)
    with pytest.raises(ValueError, match="sees_real = True"):
        game.generator(fake, None)


@pytest.mark.parametrize("name", GAMES)
def test_gradients_of_games(name):
    game = GAMES[name]
    both = [(4 * double(2, 1, 3, 3, seed=seed) - 2).requires_grad_() for seed in range(4)]
    assert gradcheck(lambda *at: game.generator(list(at[:2]), list(at[2:])), both)
    assert gradcheck(lambda *at: game.discriminator(list(at[:2]), list(at[2:])), both)


# Penalties


class Linear(nn.Module):
    """D(x) = 2 R - G + 0.5 B at every pixel, in two maps: one of each pixel and one of nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64))

    def forward(self, x):
        return [torch.einsum("bchw,c->bhw", x, self.weight)[:, None], x[:, :1] * 0]


def square(x):
    """D(x) = |x|^2 / 2, whose gradient is x."""
    return [x.square().sum((1, 2, 3)) / 2]


@pytest.mark.parametrize("penalty", [r1, r2])
def test_squared_gradients_of_a_linear_discriminator(penalty):
    network = Linear()
    value = penalty(judgement(network, double(2, 3, 2, 2), double(2, 3, 2, 2, seed=1)))
    # Four pixels of 4 + 1 + 0.25 are 21; the half of it has four times the weights for a gradient.
    assert value.item() == pytest.approx(10.5, rel=1e-12)
    value.backward()
    assert network.weight.grad.tolist() == pytest.approx([8, -4, 2], rel=1e-12)


def test_r1_looks_at_real_and_r2_at_restored_pictures():
    real, fake = torch.zeros(2, 3, 1, 1), torch.zeros(2, 3, 1, 1)
    real[0, :, 0, 0], fake[1, :, 0, 0] = torch.tensor([1.0, 2.0, 2.0]), torch.tensor([0.0, 3.0, 4.0])
    both = judgement(square, real, fake)
    assert (r1(both).item(), r2(both).item()) == (9 / 2 / 2, 25 / 2 / 2)
    assert not real.requires_grad and not fake.requires_grad


def test_dragan_of_a_linear_discriminator():
    network = Linear()
    value = dragan(spread=0.5, target=2.0)(judgement(network, double(2, 3, 2, 2), double(2, 3, 2, 2)))
    assert value.item() == pytest.approx((math.sqrt(21) - 2) ** 2, rel=1e-12)
    value.backward()
    # d(|g| - 2)^2 = 2 (1 - 2 / |g|) g dg, where g dg is four times the weights.
    share = 2 * (1 - 2 / math.sqrt(21))
    assert network.weight.grad.tolist() == pytest.approx([8 * share, -4 * share, 2 * share], rel=1e-12)


def test_dragan_looks_near_real_pictures():
    seen = []

    def recorded(x):
        seen.append(x.detach())
        return square(x)

    real = double(64, 3, 8, 8)
    at = judgement(square, real, real)
    at = PenaltyContext(**{**vars(at), "discriminate": recorded})
    dragan(spread=0.5, target=1.0)(at)
    away = (seen[0] - real) / (0.5 * np.std(real.numpy(), ddof=1))
    # a u with a and u from U(0, 1): within [0, 1), and of a picture's own a, so that its mean is about a / 2.
    assert 0 <= away.min() and away.max() < 1
    assert away.flatten(1).amax(1).min() < 0.2 and away.flatten(1).amax(1).max() > 0.8
    assert away.mean().item() == pytest.approx(1 / 4, abs=3 * math.sqrt(1 / 12 / 64) / 2)


def test_dragan_of_flat_pictures_has_no_noise():
    flat = torch.full((2, 3, 2, 2), 0.5, dtype=torch.float64)
    value = dragan(spread=0.5, target=1.0)(judgement(square, flat, flat))
    assert value.item() == pytest.approx((math.sqrt(12 * 0.25) - 1) ** 2, rel=1e-12)


def lecam_step(penalty, real, fake):
    made = [torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in (real, fake)]
    pictures = torch.zeros(1, 3, 1, 1)
    value = penalty(
        PenaltyContext(
            discriminate=square,
            real=pictures,
            fake=pictures,
            real_maps=[made[0]],
            fake_maps=[made[1]],
            random=torch.Generator(),
        )
    )
    value.backward()
    return value.item(), made[0].grad.tolist(), made[1].grad.tolist()


def test_lecam_by_hand_for_two_steps():
    penalty = LeCam(decay=0.5).double()
    # R = 2, F = -1; r - F is 4, 2; R - f is 2, 4: (16 + 4) / 2 twice.
    assert lecam_step(penalty, [3.0, 1.0], [0.0, -2.0]) == (20, [4, 2], [-2, -4])
    # R = (2 + 4) / 2 = 3, F = (-1 + 2) / 2 = 0.5; r - F is 3.5; R - f is 2, -1: 12.25 + 4 / 2.
    assert lecam_step(penalty, [4.0], [1.0, 4.0 - 1]) == (14.25, [7], [-2, 0])
    assert (penalty.real.item(), penalty.fake.item(), penalty.uses.item()) == (3, 0.5, 2)
    other = LeCam(decay=0.5).double()
    other.load_state_dict(penalty.state_dict())
    assert lecam_step(other, [1.0], [5.0]) == lecam_step(penalty, [1.0], [5.0])


def test_lecam_weighs_maps_alike():
    penalty = LeCam().double()
    pictures = torch.zeros(1, 3, 1, 1)
    value = penalty(
        PenaltyContext(
            discriminate=square,
            real=pictures,
            fake=pictures,
            real_maps=maps([1.0, 1.0, 1.0, 1.0], [3.0]),
            fake_maps=maps([0.0, 0.0, 0.0, 0.0], [-2.0]),
            random=torch.Generator(),
        )
    )
    # R = 2, F = -1; r - F is 2 and 4, R - f is 2 and 4.
    assert value.item() == (4 + 16) / 2 + (4 + 16) / 2
