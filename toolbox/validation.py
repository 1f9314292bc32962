"""What is measured after an epoch: the recipe's own losses, the competition's score, the recipe's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from accelerate import Accelerator

from toolbox import metrics
from toolbox.contracts import Sample
from toolbox.data import Batch
from toolbox.parts import Parts, restore
from toolbox.restore import to_uint8
from toolbox.training import reconstruction

TELEA_RADIUS = 3


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One photograph for the eye: (H, W, 3) uint8 RGB each."""

    image: np.ndarray
    restored: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The figures of a validation.

    Attributes:
        loss: the weighted sum of the recipe's reconstruction losses, as the published script validates.
        score: S, M, C and the score, means over the photographs.
        figures: the recipe's metrics by label, means over the photographs where each can be had.
        previews: the first photographs.
    """

    loss: float
    score: metrics.Score
    figures: dict[str, float | None] = field(default_factory=dict)
    previews: tuple[Preview, ...] = ()


@torch.inference_mode()
def validate(
    parts: Parts, batches: Iterable[Batch], engine: Accelerator, measures: dict[str, Any], previews: int = 0
) -> Outcome:
    """Restore every batch and measure it.

    Args:
        parts: the generator and the losses.
        batches: the validation photographs.
        engine: precision and processes.
        measures: the recipe's metrics by label; see `toolbox.contracts.Metric`.
        previews: how many photographs to keep for the preview.
    """
    parts.restorer.eval()
    losses, weights, scores = [], [], []
    shown: list[Preview] = []
    values: dict[str, list[float]] = {label: [] for label in measures}
    for batch in batches:
        with engine.autocast():
            outputs = restore(parts.restorer, parts.keep, batch.image, batch.mask)
        losses.append(_loss(parts, outputs, batch))
        weights.append(len(batch.names))
        for sample, restored in zip(_samples(batch), to_uint8(outputs["restored"]), strict=True):
            scores.append(metrics.score(restored, sample.truth, sample.mask))
            for label, measure in measures.items():
                value = measure(restored, sample.truth, sample.mask)
                if value is not None:
                    values[label].append(value)
            if len(shown) < previews:
                shown.append(Preview(image=sample.image, restored=restored, truth=sample.truth))
    return Outcome(
        loss=float(np.average(losses, weights=weights)),
        score=metrics.mean(scores),
        figures={label: float(np.mean(found)) if found else None for label, found in values.items()},
        previews=tuple(shown),
    )


def baselines(batches: Iterable[Batch]) -> dict[str, metrics.Score]:
    """Return the scores of doing nothing, and of OpenCV's inpainting in gray (Telea, radius 3)."""
    asis, telea = [], []
    for batch in batches:
        for sample in _samples(batch):
            asis.append(metrics.score(sample.image, sample.truth, sample.mask))
            telea.append(metrics.score(inpaint_gray(sample), sample.truth, sample.mask))
    return {"input as it is": metrics.mean(asis), "OpenCV Telea in gray": metrics.mean(telea)}


def inpaint_gray(sample: Sample) -> np.ndarray:
    """Fill the lost region by Telea's method (2004), as OpenCV has it, and leave the picture gray."""
    gray = np.ascontiguousarray(sample.image[:, :, 0])
    filled = cv2.inpaint(gray, sample.mask.astype(np.uint8), TELEA_RADIUS, cv2.INPAINT_TELEA)
    return np.repeat(filled[:, :, None], 3, axis=2)


@torch.inference_mode()
def pixel_loss(parts: Parts, batch: Batch) -> float:
    """Return the mean squared error of one batch, in eval mode: the figure that shows that a run trains."""
    parts.restorer.eval()
    restored = restore(parts.restorer, parts.keep, batch.image, batch.mask)["restored"]
    return float((restored - batch.truth).square().mean())


def _loss(parts: Parts, outputs: dict[str, torch.Tensor], batch: Batch) -> float:
    terms = [loss for loss in parts.losses if not loss.adversarial]
    return sum(t.weight * float(reconstruction(t, outputs, batch.truth, batch.mask)) for t in terms)


def _samples(batch: Batch) -> Iterator[Sample]:
    images, truths = to_uint8(batch.image), to_uint8(batch.truth)
    masks = batch.mask[:, 0].bool().cpu().numpy()
    for image, mask, truth in zip(images, masks, truths, strict=True):
        yield Sample(image=image, mask=mask, truth=truth)
