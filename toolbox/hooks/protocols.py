"""What the components must do: calls, shapes, ranges, dtypes.

Letters, used in every docstring: B batch, C channels, H, W pixels. Pictures are float RGB in [0, 1],
(B, 3, H, W). Masks are float, (B, 1, H, W), 1 where the picture is lost and 0 elsewhere. Nothing here is
a base class: a component is any object with the call below. One with weights or other state that a
checkpoint must hold is a `torch.nn.Module`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    Maps = list[Tensor]


class Generator(Protocol):
    """Restores pictures; a `torch.nn.Module`."""

    def __call__(self, image: Tensor, mask: Tensor, /) -> Tensor | tuple[Tensor, Mapping[str, Tensor]]:
        """Restore `image` (B, 3, H, W) with `mask` (B, 1, H, W) into RGB of the same H, W.

        It may add named auxiliary outputs, as its spec declares. Losses reach one by ``on = "name"``: an
        output of one channel is compared with the truth's luma, any other with the truth itself, at the
        output's own size. A generator that has no use for the mask takes and ignores it.
        """


class Discriminator(Protocol):
    """Judges pictures; a `torch.nn.Module`."""

    def __call__(self, picture: Tensor, image: Tensor, mask: Tensor, /) -> Maps:
        """Judge `picture` (B, 3, H, W), real or restored, given the damaged `image` and the `mask`.

        Returns a list of maps (B, 1, h, w), one for a plain PatchGAN, without a final sigmoid. One that has
        no use for `image` and `mask` takes and ignores them.
        """


class ReconstructionLoss(Protocol):
    """Compares what was restored with the truth."""

    def __call__(self, restored: Tensor, truth: Tensor, mask: Tensor, /) -> Tensor:
        """Return a finite scalar, the less the better, that can be differentiated in `restored`.

        `restored` and `truth` are (B, C, H, W) in [0, 1], C 3 or 1; `mask` is (B, 1, H, W).
        """


class AdversarialLoss(Protocol):
    """The two sides of the game, each given the discriminator's maps of real and of restored pictures."""

    def generator(self, fake: Maps, real: Maps | None, /) -> Tensor:
        """Return the generator's scalar loss. `real` is None unless the spec says ``sees_real=True``."""

    def discriminator(self, fake: Maps, real: Maps, /) -> tuple[Tensor, Tensor]:
        """Return the discriminator's two scalar terms, on fake and on real; the loss is their sum."""


@dataclass(frozen=True, kw_only=True)
class PenaltyContext:
    """What a penalty on the discriminator may look at.

    Attributes:
        discriminate: the discriminator with the damaged image and the mask filled in: pictures
            (B, 3, H, W) to a list of maps.
        real: true pictures, (B, 3, H, W), detached.
        fake: restored pictures of the same shape, detached.
        real_maps: the discriminator's maps of `real`, with their graph.
        fake_maps: the discriminator's maps of `fake`, with their graph.
        random: where every random draw comes from, a generator on the CPU. It stands at the same point in every
            process and every part of a batch, so that what is drawn from it directly is the same for all pictures.
        first: the place of the first picture in the batch of the step, which may be shared out.
        whole: how many pictures the batch of the step has; None if they are all here.
    """

    discriminate: Callable[[Tensor], Maps]
    real: Tensor
    fake: Tensor
    real_maps: Maps
    fake_maps: Maps
    random: torch.Generator
    first: int = 0
    whole: int | None = None

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers in [0, 1) for each picture, (B, *shape), of `real`'s dtype and device.

        They are drawn in float32 for the whole batch of the step, in its order, and those of the pictures that are
        here are returned: a picture meets the same numbers however the batch is shared out, in whatever precision.
        """
        import torch

        drawn = torch.rand(self.whole or len(self.real), *shape, generator=self.random)
        return drawn[self.first : self.first + len(self.real)].to(self.real)


class Penalty(Protocol):
    """Holds the discriminator in check."""

    def __call__(self, judgement: PenaltyContext, /) -> Tensor:
        """Return a finite scalar that can be differentiated in the discriminator's weights."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One photograph on its way to a batch.

    Attributes:
        image: what the restorer is given, (H, W, 3) uint8 RGB.
        mask: True where the picture is lost, (H, W) bool.
        truth: the undamaged colour photograph, (H, W, 3) uint8 RGB.
    """

    image: np.ndarray
    mask: np.ndarray
    truth: np.ndarray


class Degradation(Protocol):
    """Changes a sample: damages an undamaged photograph, or varies one that is damaged already."""

    def __call__(self, sample: Sample, random: np.random.Generator, /) -> Sample:
        """Return a new sample; draw only from `random`, and leave the arrays of `sample` as they are.

        A spec with ``role="damage"`` is given undamaged photographs (image equal to truth, an empty mask);
        one with ``role="augment"`` is given training samples of every kind, after the damage.
        """


class Metric(Protocol):
    """A figure of one restored photograph, for the reports."""

    def __call__(self, restored: np.ndarray, truth: np.ndarray, mask: np.ndarray, /) -> float | None:
        """Compare two (H, W, 3) uint8 RGB photographs; `mask` is (H, W) bool. None where it can't be had."""
