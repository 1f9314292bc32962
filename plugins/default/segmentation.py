"""Segmentation: a training step on the labels of damage, and a network with a map for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from .unet import InpaintingUNet

if TYPE_CHECKING:
    from toolbox.steps import Batch, StepContext

    from .steps import SegmentationParams


class SegmentationUNet(InpaintingUNet):
    """The published U-Net with a map of logits for each kind of damage, at the size of the picture."""

    def __init__(self, kinds: int, width: int = 32, levels: int = 5) -> None:
        """Make a U-Net of `levels` levels with `width`, 2 `width`, 4 `width`, … channels, and `kinds` maps."""
        super().__init__(width, levels)
        self.head = nn.Conv2d(width, kinds, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return logits (B, kinds, H, W) for `image` (B, 3, H, W) in [0, 1]; `mask` is not used."""
        logits: Tensor = self.head(self.features(image))
        return logits


class Segmentation:
    """The step: binary cross-entropy and Dice of each kind, weighted; F1 and IoU in validation."""

    def __init__(self, params: SegmentationParams) -> None:
        """Use the weights and the threshold of `params`."""
        self.params = params

    def __call__(self, context: StepContext, batch: Batch) -> None:
        """Leave the gradients of the weighted losses in the network, and record them."""
        for part in context.micro_batches(batch):
            with context.autocast():
                logits = call_network(context.generator, part)
            context.mark("forward pass")
            terms = {name: value.mean() for name, value in self.losses(logits, part).items()}
            for name, value in terms.items():
                context.record("g" if name == "loss" else f"loss.{name}", value, part)
            context.backward(terms["loss"], part)
            context.mark("losses and gradients")

    def losses(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return `bce`, `dice` and their weighted sum `loss` of each picture, (B,) each."""
        labels, weights = labels_of(batch), self.kind_weights(batch)
        positive = labels.new_tensor(self.params.positive_weight)
        cross_entropy = binary_cross_entropy_with_logits(logits, labels, pos_weight=positive, reduction="none")
        by_kind = {"bce": cross_entropy.mean((2, 3)), "dice": dice(logits, labels)}
        # Not a matrix product, which is computed in half precision where that is the recipe's.
        terms = {name: (value * weights).sum(1) for name, value in by_kind.items()}
        return terms | {"loss": self.params.bce * terms["bce"] + self.params.dice * terms["dice"]}

    def kind_weights(self, batch: Batch) -> Tensor:
        """Return the weight of each kind, (K,), of sum 1; ValueError for a weight of a kind that has no labels."""
        unknown = sorted(set(self.params.kind_weights) - set(batch.kinds))
        if unknown:
            raise ValueError(
                f"kind_weights names {', '.join(unknown)}, which no degradation labels; it labels "
                f"{', '.join(batch.kinds)}"
            )
        weights = labels_of(batch).new_tensor([self.params.kind_weights.get(kind, 1.0) for kind in batch.kinds])
        return weights / weights.sum()

    def validate(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of each picture, and of each kind the numbers of pixels found, labelled, and both."""
        logits = call_network(network, batch)
        found, labels = logits.sigmoid() >= self.params.threshold, labels_of(batch) > 0
        values = self.losses(logits, batch)
        for index, kind in enumerate(batch.kinds):
            f, t = found[:, index], labels[:, index]
            counts = {"found": f, "labelled": t, "both": f & t}
            values |= {f"{name}.{kind}": pixels.sum((1, 2)) for name, pixels in counts.items()}
        return values

    def figures(self, values: Mapping[str, np.ndarray]) -> dict[str, float | None]:
        """Return the mean loss, F1 and IoU of each kind over all pixels, and their means over the kinds that occur."""
        kinds = [name.removeprefix("both.") for name in values if name.startswith("both.")]
        f1, iou = {}, {}
        for kind in kinds:
            found, labelled, both = (float(values[f"{name}.{kind}"].sum()) for name in ("found", "labelled", "both"))
            f1[kind] = 2 * both / (found + labelled) if found + labelled else None
            iou[kind] = both / (found + labelled - both) if found + labelled else None
        figures = {name: float(values[name].mean()) for name in ("loss", "bce", "dice")}
        return figures | {"f1": mean(f1), "iou": mean(iou)} | {f"f1.{kind}": value for kind, value in f1.items()}


def call_network(network: nn.Module, batch: Batch) -> Tensor:
    """Return the logits of each kind, (B, K, H, W), in the dtype of the pictures. The network sees no mask."""
    logits: Tensor = network(batch.image, torch.zeros_like(batch.mask))
    labels = labels_of(batch)
    if not isinstance(logits, Tensor) or logits.shape != labels.shape:
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"the network returns {shape}, and the labels are {list(labels.shape)}: one map for each of "
            f"{', '.join(batch.kinds)}; set generator.kinds = {len(batch.kinds)}"
        )
    return logits.to(batch.image.dtype)


def labels_of(batch: Batch) -> Tensor:
    """Return the labels of a batch; ValueError if it has none."""
    if batch.labels is None:
        raise ValueError("a photograph has no labels of damage, as one that is damaged already")
    return batch.labels


def dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 - Dice of each picture and kind, (B, K); 0 where nothing is labelled and nothing found.

    Reference: Milletari et al., V-Net, 3DV 2016, with 1 added to both parts of the fraction.
    """
    found = logits.sigmoid()
    both, total = (found * labels).sum((2, 3)), (found + labels).sum((2, 3))
    return 1 - (2 * both + 1) / (total + 1)


def mean(figures: Mapping[str, float | None]) -> float | None:
    """Return the mean of the figures that are defined; None if there is none."""
    known = [value for value in figures.values() if value is not None]
    return sum(known) / len(known) if known else None
