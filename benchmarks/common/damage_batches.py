"""Samples in the memory of the accelerator, from which `train-damage` draws batches; and the objective."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.common.batch_tracer import trace_batch

# Weights of no damage and of each kind: lines and specks are thin, few pixels each.
CLASS_WEIGHTS = (2.5, 4.0, 3.0, 5.0, 1.5, 1.5)
# A sound sample in which damage was found is drawn this many times as often.
HARD = 4.0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A batch: pictures (B, 1, H, W) in [0, 1], traced lines, labels (B, H / 2, W / 2), and indices in the pool."""

    gray: Tensor
    traced: Tensor
    labels: Tensor
    indices: Tensor


class Pool:
    """The newest samples of one size; a full pool overwrites the oldest ones."""

    def __init__(self, size: int, capacity: int, device: torch.device) -> None:
        """Reserve the memory: 1.25 bytes a pixel."""
        self._images = torch.zeros((capacity, size, size), dtype=torch.uint8, device=device)
        self._labels = torch.zeros((capacity, size // 2, size // 2), dtype=torch.uint8, device=device)
        self._weights = torch.zeros(capacity, device=device)
        self._next = 0
        self.received = 0
        self.drawn = 0

    def add(self, samples: Tensor) -> None:
        """Store samples (n, 2, size, size) uint8; n divides the capacity."""
        samples = samples.to(self._images.device, non_blocking=True)
        place = slice(self._next, self._next + len(samples))
        self._images[place] = samples[:, 0]
        self._labels[place] = halve_labels(samples[:, 1])
        self._weights[place] = 1.0
        self._next = place.stop % len(self._images)
        self.received += len(samples)

    def choose(self, count: int, random: torch.Generator) -> Tensor:
        """Return the indices of random samples."""
        return torch.multinomial(self._weights, count, replacement=True, generator=random)

    def draw(self, count: int, random: torch.Generator) -> Drawn:
        """Return a random batch, augmented and traced."""
        indices = self.choose(count, random)
        levels, labels = augment(self._images[indices], self._labels[indices], random)
        self.drawn += count
        return prepare(levels, labels, indices)

    def reweight(self, drawn: Drawn, logits: Tensor) -> None:
        """Let sound samples be drawn more often in which more than half of a pixel's probability is damage."""
        alarm = (logits.detach().float().softmax(1)[:, 0] < 0.5).flatten(1).any(1)
        is_sound = ~(drawn.labels > 0).flatten(1).any(1)
        self._weights[drawn.indices] = torch.where(alarm & is_sound, HARD, 1.0)


def halve_labels(labels: Tensor) -> Tensor:
    """Return labels (n, H, W) uint8 at half the size, the greatest of each four."""
    count, height, width = labels.shape
    return labels.view(count, height // 2, 2, width // 2, 2).amax((2, 4))


def augment(images: Tensor, labels: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return pictures (B, H, H) uint8 as levels float32, and labels: each turned, some inverted or with other tones."""
    device = images.device

    def chance(probability: float) -> Tensor:
        return torch.rand((len(images), 1, 1), generator=random, device=device) < probability

    for change in (lambda each: each.flip(1), lambda each: each.flip(2), lambda each: each.transpose(1, 2)):
        is_changed = chance(0.5)
        images, labels = (torch.where(is_changed, change(each), each) for each in (images, labels))
    levels = images.float()
    levels = torch.where(chance(0.1), 255 - levels, levels)
    gain, offset = (torch.rand((len(images), 1, 1), generator=random, device=device) for _ in range(2))
    toned = (levels - 128) * (0.75 + 0.35 * gain) + 128 + 30 * (offset - 0.5)
    levels = torch.where(chance(0.5), toned, levels).round().clamp(0, 255)
    return levels, labels


def prepare(levels: Tensor, labels: Tensor, indices: Tensor) -> Drawn:
    """Return the batch of pictures (B, H, H) float32 with levels of 0 to 255, and labels at half the size."""
    layout = torch.channels_last
    return Drawn(
        gray=(levels[:, None] / 255).contiguous(memory_format=layout),
        traced=trace_batch(levels).contiguous(memory_format=layout),
        labels=labels.long(),
        indices=indices,
    )


def objective(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss: weighted focal cross entropy, Dice of each kind over the batch, and Dice of each picture.

    Args:
        logits: (B, classes, h, w).
        labels: (B, h, w) int64.

    Source: focal loss, Lin et al., ICCV 2017, with exponent 1; Dice loss, Milletari et al., 3DV 2016.
    """
    log_chances = logits.float().log_softmax(1)
    chances = log_chances.exp()
    right = log_chances.gather(1, labels[:, None])[:, 0]
    weights = torch.tensor(CLASS_WEIGHTS, device=logits.device)[labels]
    focal = (weights * (1 - right.exp()) * -right).sum() / weights.sum()
    truth = functional.one_hot(labels, len(CLASS_WEIGHTS)).permute(0, 3, 1, 2)[:, 1:].float()
    found = chances[:, 1:]
    # Smoothing for a batch of this many pixels at half the size; the least common kinds have about as many.
    both, total = (found * truth).sum((0, 2, 3)), (found + truth).sum((0, 2, 3))
    by_kind = 1 - (2 * both + 20) / (total + 20)
    damaged, is_damaged = 1 - chances[:, 0], (labels > 0).float()
    both, total = (damaged * is_damaged).sum((1, 2)), (damaged + is_damaged).sum((1, 2))
    by_picture = 1 - (2 * both + 50) / (total + 50)
    return 2 * focal + 0.3 * by_kind.mean() + 0.3 * by_picture.mean()
