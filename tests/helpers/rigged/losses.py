"""Losses with one promise broken."""

from __future__ import annotations

import torch
from torch import nn

from rigged.sound import Game, Rig, game, loss, lsgan_discriminator, lsgan_generator, mse, to_label


class Doubled(torch.autograd.Function):
    """The identity, with twice its gradient."""

    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, upstream):
        return 2 * upstream


class Remembers:
    """Adds the mean of the truth of the call before."""

    def __init__(self):
        self.seen = 0.0

    def __call__(self, restored, truth, mask):
        value = mse(restored, truth, mask) + self.seen
        self.seen = truth.mean().detach()
        return value


class RemembersBesideState(nn.Module):
    """The same as a Module with a buffer, which does not hold what it remembers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("other", torch.zeros(1))
        self.call = Remembers()

    def forward(self, restored, truth, mask):
        return self.call(restored, truth, mask)


def _square_only(restored, truth, mask):
    if restored.shape[-1] != restored.shape[-2]:
        raise ValueError("squares only")
    return mse(restored, truth, mask)


def _on_the_cpu():
    weights = torch.ones(1, 3, 1, 1)
    return lambda a, b, m: (weights * (a - b)).square().mean()


def rigged_loss(call):
    return loss(lambda: call)


LOSSES = [
    Rig(
        what="detached",
        spec=rigged_loss(lambda a, b, m: mse(a.detach(), b, m)),
        check="gradient flow",
        words="remove detach()",
        also=("correct gradient",),
    ),
    Rig(
        what="half of it detached",
        spec=rigged_loss(lambda a, b, m: mse(a, b, m) + 50 * mse(a.detach(), b, m)),
        check="correct gradient",
        words="detached on purpose",
    ),
    Rig(
        what="the first picture alone",
        spec=rigged_loss(lambda a, b, m: mse(a[:1], b[:1], m)),
        check="gradient flow",
        words="no gradient reaches picture 1 of the batch",
    ),
    Rig(
        what="twice the gradient",
        spec=rigged_loss(lambda a, b, m: mse(Doubled.apply(a), b, m)),
        check="correct gradient",
        words="from central differences",
    ),
    Rig(
        what="the more the better",
        spec=rigged_loss(lambda a, b, m: -mse(a, b, m)),
        check="minimum at truth",
        words="lower must be better",
    ),
    Rig(
        what="a root at 0",
        spec=rigged_loss(lambda a, b, m: mse(a, b, m).sqrt()),
        check="finite values",
        words="check sqrt",
    ),
    Rig(
        what="no scalar",
        spec=rigged_loss(lambda a, b, m: (a - b).square().mean((1, 2, 3))),
        check="input size",
        words="take the mean",
    ),
    Rig(
        what="NaN for an empty mask",
        spec=rigged_loss(lambda a, b, m: (m * (a - b).square()).sum() / m.sum()),
        check="finite values",
        words="an empty mask",
    ),
    Rig(
        what="writes into the truth",
        spec=rigged_loss(lambda a, b, m: mse(a, b.clamp_(0.1, 0.9), m)),
        check="inputs unchanged",
        words="writes into `truth`",
    ),
    Rig(what="weights left on the CPU", spec=loss(_on_the_cpu), check="device", words="device=x.device"),
    Rig(
        what="memory in an attribute",
        spec=loss(Remembers),
        check="saved state",
        words="keep what it remembers in buffers",
    ),
    Rig(
        what="memory beside the buffers",
        spec=loss(RemembersBesideState),
        check="saved state",
        words="keep all that it remembers in buffers",
    ),
    Rig(what="squares only", spec=rigged_loss(_square_only), check="oblong pictures", words="squares only"),
]


class RemembersGame(Game):
    """Adds the mean of fake of the call before."""

    def __init__(self):
        super().__init__(lsgan_generator, self.judged)
        self.seen = 0.0

    def judged(self, fake, real):
        on_fake, on_real = lsgan_discriminator(fake, real)
        on_fake, self.seen = on_fake + self.seen, fake[0].mean().detach()
        return on_fake, on_real


def _reversing(fake, real):
    value = lsgan_generator(fake, real)
    fake.reverse()
    return value


def _naive(fake, real):
    return torch.stack([-(1 - torch.sigmoid(-one)).log().mean() for one in fake]).mean()


def _label_on_the_cpu():
    label = torch.ones(1, 1, 1, 1)
    return Game(lsgan_generator, lambda fake, real: (to_label(fake, 0.0), to_label(real, label)))


ADVERSARIAL = [
    Rig(
        what="one scalar for two",
        spec=game(discriminator_side=lambda fake, real: sum(lsgan_discriminator(fake, real))),
        check="scalar terms",
        words="must return two scalars",
        also=(
            "own weights",
            "finite values",
            "inputs unchanged",
            "discriminator gradient",
            "opposite gradients",
            "deterministic value",
            "correct gradient",
            "device",
            "saved state",
        ),
    ),
    Rig(
        what="detached generator side",
        spec=game(lambda fake, real: to_label([one.detach() for one in fake], 1.0)),
        check="generator gradient",
        words="remove detach()",
        also=("opposite gradients", "correct gradient"),
    ),
    Rig(
        what="one map of two",
        spec=game(lambda fake, real: to_label(fake[:1], 1.0)),
        check="generator gradient",
        words="a map of fake without gradient",
        also=("opposite gradients",),
    ),
    Rig(
        what="real not judged",
        spec=game(discriminator_side=lambda fake, real: (to_label(fake, 0.0), 0 * to_label(real, 1.0))),
        check="discriminator gradient",
        words="a map of real without gradient",
        also=("opposite gradients",),
    ),
    Rig(
        what="both one way",
        spec=game(lambda fake, real: to_label(fake, 0.0)),
        check="opposite gradients",
        words="the same way",
    ),
    Rig(
        what="real and fake alike",
        spec=game(discriminator_side=lambda fake, real: (to_label(fake, 0.0), to_label(real, 0.0))),
        check="opposite gradients",
        words="fake and real the same way",
    ),
    Rig(what="a logarithm of 0", spec=game(_naive), check="finite values", words="it is inf"),
    Rig(
        what="reorders the maps",
        spec=game(_reversing),
        check="inputs unchanged",
        words="changes the list `fake`, its input",
    ),
    Rig(
        what="a label left on the CPU",
        spec=loss(_label_on_the_cpu, role="adversarial"),
        check="device",
        words="device=x.device",
    ),
    Rig(
        what="memory in an attribute",
        spec=loss(RemembersGame, role="adversarial"),
        check="saved state",
        words="keep what it remembers in buffers",
    ),
]
