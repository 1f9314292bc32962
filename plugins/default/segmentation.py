"""Segmentation: a training step on the labels of damage, and a network with a map for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, binary_cross_entropy_with_logits, interpolate

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
    """The step: cross-entropy and Dice of each kind, weighted; F1 and IoU in validation."""

    def __init__(self, params: SegmentationParams) -> None:
        """Use the weights and the threshold of `params`."""
        self.params = params

    def __call__(self, context: StepContext, batch: Batch) -> None:
        """Leave the gradients of the weighted losses in the network, and record them."""
        for part in context.micro_batches(batch):
            with context.autocast():
                logits = self.call_network(context.generator, part)
            context.mark("forward pass")
            terms = {name: value.mean() for name, value in self.losses(logits, part).items()}
            for name, value in terms.items():
                context.record("g" if name == "loss" else f"loss.{name}", value, part)
            context.backward(terms["loss"], part)
            context.mark("losses and gradients")

    def call_network(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the logits (B, maps, h, w), in the dtype of the pictures. The network sees no mask."""
        logits: Tensor = network(batch.image, torch.zeros_like(batch.mask))
        maps = len(batch.kinds) + self.params.exclusive
        if not isinstance(logits, Tensor) or logits.dim() != 4 or logits.shape[:2] != (len(batch.image), maps):
            shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            first = "no damage and " if self.params.exclusive else ""
            raise ValueError(
                f"the network returns {shape}, and the pictures are {list(batch.image.shape)}: it needs {maps} maps, "
                f"one for {first}each of {', '.join(batch.kinds)}; set generator.kinds = {maps}"
            )
        return logits.to(batch.image.dtype)

    def losses(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return `cross_entropy`, `dice` and their weighted sum `loss` of each picture, (B,) each.

        If the maps are smaller than the pictures, a pixel of them is labelled if any pixel of the picture in it is.
        """
        labels, params = adaptive_max_pool2d(labels_of(batch), logits.shape[-2:]), self.params
        weights = self.kind_weights(batch)
        measure = softmax_cross_entropy if params.exclusive else sigmoid_cross_entropy
        # Not a matrix product, which is computed in half precision where that is the recipe's.
        fractions = dice(self.probabilities(logits), labels, params.dice_smoothing)
        terms = {
            "cross_entropy": measure(logits, labels, weights, params.positive_weight, params.focal),
            "dice": (fractions * weights).sum(1),
        }
        return terms | {"loss": params.cross_entropy * terms["cross_entropy"] + params.dice * terms["dice"]}

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of each kind, (B, K, h, w)."""
        return logits.softmax(1)[:, 1:] if self.params.exclusive else logits.sigmoid()

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
        logits = self.call_network(network, batch)
        probabilities, labels = self.probabilities(logits), labels_of(batch) > 0
        if probabilities.shape[-2:] != labels.shape[-2:]:
            probabilities = interpolate(probabilities, labels.shape[-2:], mode="bilinear")
        predicted = probabilities >= self.params.threshold
        values = self.losses(logits, batch)
        for index, kind in enumerate(batch.kinds):
            f, t = predicted[:, index], labels[:, index]
            counts = {"found": f, "labelled": t, "both": f & t}
            values |= {f"{name}.{kind}": pixels.sum((1, 2)) for name, pixels in counts.items()}
        return values

    def figures(self, values: Mapping[str, np.ndarray]) -> dict[str, float | None]:
        """Return the mean loss, F1 and IoU of each kind over all pixels, and their means over the kinds that occur."""
        kinds = [name.removeprefix("both.") for name in values if name.startswith("both.")]
        f1, iou = {}, {}
        for kind in kinds:
            predicted, labelled, both = (
                float(values[f"{name}.{kind}"].sum()) for name in ("found", "labelled", "both")
            )
            f1[kind] = 2 * both / (predicted + labelled) if predicted + labelled else None
            iou[kind] = both / (predicted + labelled - both) if predicted + labelled else None
        figures = {name: float(values[name].mean()) for name in ("loss", "cross_entropy", "dice")}
        return figures | {"f1": mean(f1), "iou": mean(iou)} | {f"f1.{kind}": value for kind, value in f1.items()}


def labels_of(batch: Batch) -> Tensor:
    """Return the labels of a batch; ValueError if it has none."""
    if batch.labels is None:
        raise ValueError("a photograph has no labels of damage; one that is damaged already has none")
    return batch.labels


def sigmoid_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, positive: float, focal: float) -> Tensor:
    """Return the binary cross-entropy of each picture, (B,): the mean over the pixels, weighted by the kinds.

    Args:
        logits: (B, K, h, w).
        labels: 1 where there is damage of a kind, as `logits`.
        weights: the weight of each kind, (K,).
        positive: the weight of labelled pixels.
        focal: the exponent of the focal loss; Lin et al., ICCV 2017.
    """
    weight = labels.new_tensor(positive)
    values = binary_cross_entropy_with_logits(logits, labels, pos_weight=weight, reduction="none")
    if focal:
        certainty = torch.where(labels > 0, logits, -logits).sigmoid()
        values = values * (1 - certainty) ** focal
    return (values.mean((2, 3)) * weights).sum(1)


def softmax_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, positive: float, focal: float) -> Tensor:
    """Return the cross-entropy over no damage and the kinds of each picture, (B,): a weighted mean over the pixels.

    A pixel with several kinds counts as each of them in part. Arguments as of `sigmoid_cross_entropy`, but `logits`
    have one map more, the first.
    """
    kinds = labels / labels.sum(1, keepdim=True).clamp(min=1)
    target = torch.cat([1 - labels.amax(1, keepdim=True), kinds], 1)
    by_class = torch.cat([weights.new_ones(1), positive * len(weights) * weights])[:, None, None]
    log = logits.log_softmax(1)
    loss = -log * (1 - log.exp()) ** focal if focal else -log
    share = target * by_class
    return (share * loss).sum((1, 2, 3)) / share.sum((1, 2, 3))


def dice(probabilities: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return 1 - Dice of each picture and kind, (B, K); 0 where nothing is labelled and nothing found.

    Args:
        probabilities: (B, K, h, w).
        labels: 1 where there is damage of a kind, as `probabilities`.
        smoothing: added to both parts of the fraction.

    Reference: Milletari et al., V-Net, 3DV 2016.
    """
    both = (probabilities * labels).sum((2, 3))
    total = (probabilities + labels).sum((2, 3))
    return 1 - (2 * both + smoothing) / (total + smoothing)


def mean(figures: Mapping[str, float | None]) -> float | None:
    """Return the mean of the figures that are defined; None if there is none."""
    known = [value for value in figures.values() if value is not None]
    return sum(known) / len(known) if known else None
