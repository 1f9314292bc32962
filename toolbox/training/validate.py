"""What is measured after an epoch: the recipe's own losses, the competition's score, the recipe's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from accelerate import Accelerator

from toolbox.data.batch import Batch
from toolbox.distributed import collectives
from toolbox.evaluation import metrics
from toolbox.hooks.protocols import Sample
from toolbox.models.forward import run_generator, to_uint8
from toolbox.training.state import TrainState
from toolbox.training.step import reconstruction_loss

TELEA_RADIUS = 3


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One photograph for the eye: (H, W, 3) uint8 RGB each."""

    image: np.ndarray
    restored: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """The figures of a validation.

    Attributes:
        loss: the weighted sum of the recipe's reconstruction losses, as the published script validates.
        score: S, M, C and the score, means over the photographs.
        figures: the recipe's metrics by label, means over the photographs where each can be had.
        previews: the first photographs, of those that this process has restored.
    """

    loss: float
    score: metrics.Score
    figures: dict[str, float | None] = field(default_factory=dict)
    previews: tuple[Preview, ...] = ()


@torch.no_grad()
def validate(
    parts: TrainState, batches: Iterable[Batch], accelerator: Accelerator, measures: dict[str, Any], previews: int = 0
) -> ValidationResult:
    """Restore every batch and measure it; each process its rows, and all have the figures of all.

    Args:
        parts: the generator and the losses.
        batches: the validation photographs.
        accelerator: precision and processes.
        measures: the recipe's metrics by label; see `toolbox.hooks.protocols.Metric`.
        previews: how many photographs to keep for the preview.
    """
    parts.restorer.eval()
    losses: list[tuple[float, float]] = []
    rows: list[tuple[int, tuple[Any, ...], list[float | None]]] = []
    shown: list[Preview] = []
    seen = 0
    for batch in batches:
        place = batch.position
        with accelerator.autocast():
            outputs = run_generator(parts.restorer, parts.keep, batch.image, batch.mask)
        losses.append((_loss(parts, outputs, batch), place.weight * place.total))
        pictures = zip(_numbers(batch, seen), _samples(batch), to_uint8(outputs["restored"]), strict=False)
        for number, sample, restored in pictures:
            score = metrics.score(restored, sample.truth, sample.mask)
            figures = [measure(restored, sample.truth, sample.mask) for measure in measures.values()]
            rows.append((number, astuple(score), figures))
            if len(shown) < previews:
                shown.append(Preview(image=sample.image, restored=restored, truth=sample.truth))
        seen += place.total
    every = [one for part in collectives.gather_objects(losses) for one in part]
    rows = _in_order(rows)
    columns = zip(measures, zip(*(figures for *_, figures in rows), strict=True), strict=True)
    found = {label: [value for value in column if value is not None] for label, column in columns}
    return ValidationResult(
        loss=float(np.average([loss for loss, _ in every], weights=[weight for _, weight in every])),
        score=metrics.mean([_score(values) for _, values, _ in rows]),
        figures={label: float(np.mean(values)) if values else None for label, values in found.items()},
        previews=tuple(shown),
    )


def baseline_scores(batches: Iterable[Batch]) -> dict[str, metrics.Score]:
    """Return the scores of doing nothing, and of OpenCV's inpainting in gray (Telea, radius 3)."""
    rows: list[tuple[int, tuple[Any, ...], tuple[Any, ...]]] = []
    seen = 0
    for batch in batches:
        for number, sample in zip(_numbers(batch, seen), _samples(batch), strict=False):
            asis = metrics.score(sample.image, sample.truth, sample.mask)
            telea = metrics.score(inpaint_gray(sample), sample.truth, sample.mask)
            rows.append((number, astuple(asis), astuple(telea)))
        seen += batch.position.total
    columns = zip(*(scores for _, *scores in _in_order(rows)), strict=True)
    names = ("input as it is", "OpenCV Telea in gray")
    return {name: metrics.mean([_score(v) for v in column]) for name, column in zip(names, columns, strict=True)}


def inpaint_gray(sample: Sample) -> np.ndarray:
    """Fill the lost region by Telea's method (2004), as OpenCV has it, and leave the picture gray."""
    gray = np.ascontiguousarray(sample.image[:, :, 0])
    filled = cv2.inpaint(gray, sample.mask.astype(np.uint8), TELEA_RADIUS, cv2.INPAINT_TELEA)
    return np.repeat(filled[:, :, None], 3, axis=2)


@torch.no_grad()
def pixel_loss(parts: TrainState, batch: Batch) -> float:
    """Return the mean squared error of one batch, of all processes, in eval mode: it shows that a run trains."""
    parts.restorer.eval()
    restored = run_generator(parts.restorer, parts.keep, batch.image, batch.mask)["restored"]
    return collectives.all_reduce_scalar(batch.position.weight * float((restored - batch.truth).square().mean()))


def _loss(parts: TrainState, outputs: dict[str, torch.Tensor], batch: Batch) -> float:
    terms = [loss for loss in parts.losses if not loss.adversarial]
    return sum(t.weight * float(reconstruction_loss(t, outputs, batch.truth, batch.mask)) for t in terms)


def _numbers(batch: Batch, seen: int) -> range:
    """Return the numbers of a batch's photographs that count, with `seen` before it; all of them or none do."""
    start = seen + batch.position.start
    return range(start, start + len(batch.image) * (batch.position.weight > 0))


def _in_order(rows: list[Any]) -> list[Any]:
    """Return the rows of all processes in the order of the numbers that they begin with."""
    return sorted((row for part in collectives.gather_objects(rows) for row in part), key=lambda row: row[0])


def _score(values: Iterable[Any]) -> metrics.Score:
    return metrics.Score(**dict(zip(("S", "M", "C", "score"), values, strict=True)))


def _samples(batch: Batch) -> Iterator[Sample]:
    images, truths = to_uint8(batch.image), to_uint8(batch.truth)
    masks = batch.mask[:, 0].bool().cpu().numpy()
    for image, mask, truth in zip(images, masks, truths, strict=True):
        yield Sample(image=image, mask=mask, truth=truth)
