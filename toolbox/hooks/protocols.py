"""The protocols of components: calls, shapes, ranges, dtypes.

Letters in every docstring: B batch size, C channels, H, W height and width in pixels. Pictures are float RGB in [0, 1],
(B, 3, H, W). Masks are float, (B, 1, H, W), 1 where the picture is lost and 0 elsewhere. These are not base classes: a
component is any object with the call below. A component with weights, or with other state that a checkpoint must
contain, is a `torch.nn.Module`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from toolbox.steps import Batch, StepContext

    Maps = list[Tensor]


class Generator(Protocol):
    """Restores pictures; a `torch.nn.Module`."""

    def __call__(self, image: Tensor, mask: Tensor, /) -> Tensor | tuple[Tensor, Mapping[str, Tensor]]:
        """Restore damaged pictures.

        Args:
            image: the damaged pictures, (B, 3, H, W) in [0, 1].
            mask: (B, 1, H, W), 1 where the picture is lost. A generator may ignore it.

        Returns:
            The restored pictures (B, 3, H, W) in [0, 1], or a pair of them and auxiliary outputs by name, which the
            spec declares. A loss uses an auxiliary output with ``on = "name"``: an output with one channel is
            compared with the luma of the truth, one with three channels with the truth itself, at the size of the
            output. ``classes`` may have any number of channels.
        """


class Discriminator(Protocol):
    """Scores pictures as real or restored; a `torch.nn.Module`."""

    def __call__(self, picture: Tensor, image: Tensor, mask: Tensor, /) -> Maps:
        """Score pictures.

        Args:
            picture: real or restored pictures, (B, 3, H, W) in [0, 1].
            image: the damaged pictures, (B, 3, H, W). A discriminator may ignore them.
            mask: (B, 1, H, W), 1 where the picture is lost. A discriminator may ignore it.

        Returns:
            A list of score maps (B, 1, h, w), without a final sigmoid; a plain PatchGAN returns one map.
        """


class ReconstructionLoss(Protocol):
    """Compares restored pictures with the truth."""

    def __call__(self, restored: Tensor, truth: Tensor, mask: Tensor, /) -> Tensor:
        """Return a finite scalar, lower is better, differentiable in `restored`.

        Args:
            restored: (B, C, H, W) in [0, 1], C is 3 or 1.
            truth: as `restored`.
            mask: (B, 1, H, W), 1 where the picture is lost.
        """


class AdversarialLoss(Protocol):
    """The losses of generator and discriminator, computed from the discriminator's maps."""

    def generator(self, fake: Maps, real: Maps | None, /) -> Tensor:
        """Return the generator's loss, a scalar.

        Args:
            fake: the maps of restored pictures.
            real: the maps of real pictures; None unless the spec has ``sees_real=True``.
        """

    def discriminator(self, fake: Maps, real: Maps, /) -> tuple[Tensor, Tensor]:
        """Return two scalars, the discriminator's losses on `fake` and on `real`; the total loss is their sum."""


@dataclass(frozen=True, kw_only=True)
class PenaltyContext:
    """The inputs of a penalty on the discriminator.

    Attributes:
        discriminate: the discriminator with the damaged image and the mask already given: pictures (B, 3, H, W) to a
            list of maps.
        real: real pictures, (B, 3, H, W), detached.
        fake: restored pictures of the same shape, detached.
        real_maps: the discriminator's maps of `real`, with their graph.
        fake_maps: the discriminator's maps of `fake`, with their graph.
        random: the source of all random numbers, a generator on the CPU. It has the same state in every process and
            for every micro-batch, so numbers drawn from it directly are the same for all pictures.
        batch_start: the index of the first picture in the batch of the training step. This batch may be split into
            micro-batches or over processes.
        batch_total: the number of pictures in the batch of the training step; None if they are all here.
    """

    discriminate: Callable[[Tensor], Maps]
    real: Tensor
    fake: Tensor
    real_maps: Maps
    fake_maps: Maps
    random: torch.Generator
    batch_start: int = 0
    batch_total: int | None = None

    def uniform(self, *shape: int) -> Tensor:
        """Return random numbers in [0, 1) for each picture, (B, *shape), in the dtype and on the device of `real`.

        They are drawn in float32 for the whole batch of the training step; those of the pictures that are here are
        returned. So a picture gets the same numbers however the batch is split, and in every precision.
        """
        import torch

        numbers = torch.rand(self.batch_total or len(self.real), *shape, generator=self.random)
        return numbers[self.batch_start : self.batch_start + len(self.real)].to(self.real)


class Penalty(Protocol):
    """Regularises the discriminator."""

    def __call__(self, context: PenaltyContext, /) -> Tensor:
        """Return a finite scalar that is differentiable in the discriminator's weights."""


class TrainingStep(Protocol):
    """Computes the gradients of one training step."""

    def __call__(self, context: StepContext, batch: Batch, /) -> None:
        """Leave gradients in the networks and record terms; change no weights.

        Args:
            context: what the step works with.
            batch: this process's pictures.
        """


class ValidatingStep(TrainingStep, Protocol):
    """A training step of a network that does not restore pictures: it also says how the network is validated."""

    def validate(self, network: nn.Module, batch: Batch, /) -> Mapping[str, Tensor]:
        """Return values of each picture by name, each a tensor (B,).

        Args:
            network: the network in eval mode, without gradients and in the recipe's precision.
            batch: this process's pictures.
        """

    def figures(self, values: Mapping[str, np.ndarray], /) -> Mapping[str, float | None]:
        """Return the figures of a validation by name, None for one that is not defined; ``loss`` is required.

        Args:
            values: by the names of `validate`, (N,) float64 each: the values of all validation photographs.
        """


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """The length of a training run, for a schedule of the learning rate.

    A time limit, or a validation without improvement, may end the run earlier.

    Attributes:
        epochs: the number of epochs.
        steps_per_epoch: the number of training steps in a complete epoch.
        steps: the number of training steps of the run; less than ``epochs * steps_per_epoch`` if the recipe limits it.
    """

    epochs: int
    steps_per_epoch: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One photograph before it becomes part of a batch.

    Attributes:
        image: the input of the restorer, (H, W, 3) uint8 RGB.
        mask: True where the photograph is lost, (H, W) bool.
        truth: the undamaged colour photograph, (H, W, 3) uint8 RGB.
        labels: by kind of damage, True where there is such damage, (H, W) bool; empty without labels.
    """

    image: np.ndarray
    mask: np.ndarray
    truth: np.ndarray
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)


class Degradation(Protocol):
    """Changes a sample: damages an undamaged photograph, or augments a training sample."""

    def __call__(self, sample: Sample, random: np.random.Generator, /) -> Sample:
        """Return a new sample; do not write into the arrays of the given one.

        Args:
            sample: with ``role="damage"`` an undamaged photograph (image equal to truth, an empty mask); with
                ``role="augment"`` a training sample of any kind, after the damage.
            random: the only source of random numbers.

        Returns:
            With ``role="damage"``, `labels` has the kinds that the spec declares; those of earlier damages are added.
            With ``role="augment"``, it has the labels of the given sample, changed as the mask is.
        """


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What a detector found in an image.

    Attributes:
        mask: (H, W) bool, True where the image is lost.
        probabilities: by kind of damage, (H, W) float32 in [0, 1]; empty if the detector gives none.
    """

    mask: np.ndarray
    probabilities: Mapping[str, np.ndarray] = field(default_factory=dict)


class Detector(Protocol):
    """Finds the lost region of a photograph."""

    def __call__(self, image: np.ndarray, /) -> Detection:
        """Return what is lost; do not write into the given array.

        Args:
            image: (H, W) gray or (H, W, 3) RGB, uint8, of any size from 1x1.
        """


class Filler(Protocol):
    """Fills the lost region of a photograph from its known pixels, before it is coloured."""

    def __call__(self, image: np.ndarray, mask: np.ndarray, /, *, seed: int = 0) -> np.ndarray:
        """Return a new image without holes; do not write into the given arrays.

        Args:
            image: (H, W) gray or (H, W, 3) RGB, uint8 or uint16, of any size from 1x1. The values of lost pixels must
                not matter.
            mask: (H, W) bool, True where the image is lost. It may be empty, or True everywhere.
            seed: of all random numbers: the same seed gives the same result.

        Returns:
            An array of the same shape and dtype. Known pixels are those of `image`, bit for bit.
        """


class Postprocessor(Protocol):
    """Changes a restored photograph, after it was filled and coloured."""

    def __call__(self, restored: np.ndarray, original: np.ndarray, mask: np.ndarray, /) -> np.ndarray:
        """Return the new picture; do not write into the given arrays.

        Args:
            restored: (H, W, 3) RGB, uint8 or uint16, of any size from 1x1.
            original: the damaged photograph, (H, W) gray or (H, W, 3) RGB, of the same dtype.
            mask: (H, W) bool, True where it was lost.

        Returns:
            An array of the shape and dtype of `restored`. Unless the spec has ``changes_known=True``, known pixels are
            those of `restored`.
        """


class Metric(Protocol):
    """Measures one restored photograph, for reports."""

    def __call__(self, restored: np.ndarray, truth: np.ndarray, mask: np.ndarray, /) -> float | None:
        """Return a figure, or None where it is not defined.

        Args:
            restored: (H, W, 3) uint8 RGB.
            truth: as `restored`.
            mask: (H, W) bool, True where the photograph was lost.
        """
