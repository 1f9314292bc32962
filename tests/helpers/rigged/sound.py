"""Components that keep every promise, and how to make specs of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from toolbox import DegradationSpec, DiscriminatorSpec, GeneratorSpec, LossSpec, MetricSpec, PenaltySpec, Sample
from toolbox.hooks.specs import ComponentSpec

COMMON = {"name": "rigged", "summary": "A rigged component", "reference": "by hand"}


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A component with one promise broken.

    `check` must fail with `words` in its detail; `also` are the other checks that can't but fail with it.
    """

    what: str
    spec: ComponentSpec
    check: str
    words: str
    also: tuple[str, ...] = ()


def generator(make, **facts):
    return GeneratorSpec(**COMMON | facts, build=lambda params: make())


def judge(make):
    return DiscriminatorSpec(**COMMON, build=lambda params: make())


def loss(make, **facts):
    return LossSpec(**COMMON | facts, build=lambda params: make())


def penalty(make):
    return PenaltySpec(**COMMON, build=lambda params: make())


def degradation(call, role="damage"):
    return DegradationSpec(**COMMON, role=role, build=lambda params: call)


def metric(call, better="higher"):
    return MetricSpec(**COMMON, better=better, build=lambda params: call)


class Generator(nn.Module):
    """One convolution and a sigmoid."""

    def __init__(self, mask=False):
        super().__init__()
        self.layer = nn.Conv2d(4 if mask else 3, 3, 3, padding=1)

    def forward(self, image, mask):
        given = torch.cat([image, mask], 1) if self.layer.in_channels == 4 else image
        return torch.sigmoid(self.layer(given))


class Judge(nn.Module):
    """Two convolutions."""

    def __init__(self, end=None):
        super().__init__()
        layers = [nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 4, 2, 1), end or nn.Identity()]
        self.layers = nn.Sequential(*layers)

    def forward(self, picture, image, mask):
        return [self.layers(picture)]


def mse(restored, truth, mask):
    return (restored - truth).square().mean()


def to_label(maps, label):
    return torch.stack([(one - label).square().mean() for one in maps]).mean()


def lsgan_generator(fake, real):
    return to_label(fake, 1.0)


def lsgan_discriminator(fake, real):
    return to_label(fake, 0.0), to_label(real, 1.0)


class Game:
    """The least-squares game, or another with one side changed."""

    def __init__(self, generator_side, discriminator_side):
        self.generator, self.discriminator = generator_side, discriminator_side


def game(generator_side=lsgan_generator, discriminator_side=lsgan_discriminator, **facts):
    return loss(lambda: Game(generator_side, discriminator_side), role="adversarial", **facts)


def slope(context, pictures, graph=True):
    verdict = torch.stack([one.sum() for one in context.discriminate(pictures)]).sum()
    return torch.autograd.grad(verdict, pictures, create_graph=graph)[0]


def r1(context):
    return slope(context, context.real.detach().requires_grad_()).square().flatten(1).sum(1).mean()


def paint(sample, random):
    """Paint a rectangle over the photograph."""
    height, width = sample.mask.shape
    lost = np.zeros((height, width), bool)
    top, left = int(random.integers(height)), int(random.integers(width))
    lost[top : top + height // 3 + 1, left : left + width // 3 + 1] = True
    image = sample.image.copy()
    image[lost] = random.integers(100)
    return Sample(image=image, mask=lost, truth=sample.truth)


def error(restored, truth, mask):
    return float(np.square(restored.astype(float) - truth).mean())


def changed(base, forward, init=None):
    """Return a subclass with `forward(self, base's own forward, *inputs)`, after `init(self)`."""

    class Changed(base):
        def __init__(self):
            super().__init__()
            if init is not None:
                init(self)

        def forward(self, *inputs):
            return forward(self, super().forward, *inputs)

    return Changed


def attributes(**values):
    """Return an init that sets attributes, each made anew for every module."""

    def init(module):
        for name, make in values.items():
            setattr(module, name, make())

    return init
