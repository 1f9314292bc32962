"""Validation after an epoch: the recipe's losses, the competition's score, the recipe's metrics, the baselines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from toolbox.data.batch import Batch
from toolbox.distributed import collectives
from toolbox.distributed.accelerator import Accelerator
from toolbox.evaluation import metrics as scores
from toolbox.evaluation.figures import call_metric
from toolbox.hooks.protocols import Metric, Sample
from toolbox.models.forward import run_generator, to_uint8
from toolbox.training.state import LossTerm, TrainState
from toolbox.training.step_context import reconstruction_loss
from toolbox.training.validate_step import validate_step
from toolbox.training.validation_result import Preview, Row, ValidationResult, gather_in_order, photo_numbers

TELEA_RADIUS = 3  # pixels


@torch.no_grad()
def validate(
    state: TrainState,
    batches: Iterable[Batch],
    accelerator: Accelerator,
    measures: Mapping[str, Metric],
    preview_count: int = 0,
) -> ValidationResult:
    """Restore every batch and measure the result. All processes call it, and all return the figures of all rows.

    If the generator does not restore pictures, the training step measures it: see `validate_step`.

    Args:
        state: the generator and the losses.
        batches: this process's rows of the validation photographs.
        accelerator: the device, the precision and the process group.
        measures: the recipe's metrics by label; see `toolbox.hooks.protocols.Metric`.
        preview_count: the number of photographs in the preview.
    """
    if not state.restores:
        return validate_step(state, batches, accelerator)
    network = state.eval_generator.eval()
    losses: list[tuple[float, float]] = []
    not_finite: set[str] = set()
    rows: list[Row] = []
    previews: list[Preview] = []
    failures: dict[str, str] = {}
    photos_before = 0
    for batch in batches:
        position = batch.position
        with accelerator.autocast():
            outputs = run_generator(network, state.keep, batch.image, batch.mask)
        with unchanged_losses(state.losses):
            values = _loss_values(state, outputs, batch)
        losses.append((sum(values.values()), position.weight * position.total))
        not_finite |= {label for label, value in values.items() if not math.isfinite(value)}
        pictures = zip(
            photo_numbers(batch, photos_before), _samples(batch), to_uint8(outputs["restored"]), strict=False
        )
        for number, sample, restored in pictures:
            score = scores.score(restored, sample.truth, sample.mask)
            figures = [
                call_metric(label, metric, restored, sample.truth, sample.mask, failures)
                for label, metric in measures.items()
            ]
            rows.append((number, astuple(score), figures))
            if len(previews) < preview_count:
                previews.append(Preview(image=sample.image, restored=restored, truth=sample.truth))
        photos_before += position.total
    all_losses = [pair for pairs in collectives.gather_objects(losses) for pair in pairs]
    rows = gather_in_order(rows)
    failures = {label: reason for part in collectives.gather_objects(failures) for label, reason in part.items()}
    columns = zip(measures, zip(*(values for *_, values in rows), strict=True), strict=True)
    defined = {
        label: [value for value in column if value is not None] for label, column in columns if label not in failures
    }
    return ValidationResult(
        loss=float(np.average([loss for loss, _ in all_losses], weights=[weight for _, weight in all_losses])),
        score=scores.mean([_score(values) for _, values, _ in rows]),
        metrics={label: scores.mean_figure(values) if values else None for label, values in defined.items()},
        previews=tuple(previews),
        failures=failures,
        not_finite=tuple(sorted({label for part in collectives.gather_objects(sorted(not_finite)) for label in part})),
    )


def baseline_scores(batches: Iterable[Batch]) -> dict[str, scores.Score]:
    """Return the scores of the unchanged input, and of OpenCV's inpainting in gray (Telea, radius 3 pixels)."""
    rows: list[Row] = []
    photos_before = 0
    for batch in batches:
        for number, sample in zip(photo_numbers(batch, photos_before), _samples(batch), strict=False):
            unchanged = scores.score(sample.image, sample.truth, sample.mask)
            inpainted = scores.score(inpaint_gray(sample), sample.truth, sample.mask)
            rows.append((number, astuple(unchanged), astuple(inpainted)))
        photos_before += batch.position.total
    columns = zip(*(figures for _, *figures in gather_in_order(rows)), strict=True)
    names = ("input as it is", "OpenCV Telea in gray")
    return {
        name: scores.mean([_score(values) for values in column]) for name, column in zip(names, columns, strict=True)
    }


def inpaint_gray(sample: Sample) -> np.ndarray:
    """Return the gray picture as RGB, (H, W, 3) uint8, with its lost region filled by OpenCV.

    Reference: Telea, "An Image Inpainting Technique Based on the Fast Marching Method", 2004.
    """
    gray = np.ascontiguousarray(sample.image[:, :, 0])
    filled = cv2.inpaint(gray, sample.mask.astype(np.uint8), TELEA_RADIUS, cv2.INPAINT_TELEA)
    return np.repeat(filled[:, :, None], 3, axis=2)


@torch.no_grad()
def pixel_loss(state: TrainState, batch: Batch) -> float:
    """Return the mean squared error of the generator in eval mode on one batch. All processes call it.

    If the generator does not restore pictures, it is the loss of `validate_step`.
    """
    if not state.restores:
        return validate_step(state, [batch]).loss
    restored = run_generator(state.eval_generator.eval(), state.keep, batch.image, batch.mask)["restored"]
    return collectives.all_reduce_scalar(batch.position.weight * float((restored - batch.truth).square().mean()))


@contextmanager
def unchanged_losses(losses: Iterable[LossTerm]) -> Iterator[None]:
    """Put losses that are modules into eval mode; after the context their mode and state are as before.

    State in attributes, such as a counter, is put back too; it belongs in buffers, because checkpoints do not have it.
    """
    calls = [loss.call for loss in losses]
    modules = [inner for call in calls if isinstance(call, nn.Module) for inner in call.modules()]
    others = [getattr(call, "__self__", call) for call in calls if not isinstance(call, nn.Module)]
    attributes = [(holder, _plain_attributes(holder)) for holder in (*modules, *others)]
    buffers = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers(recurse=False)]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for holder, before in attributes:
            if before:
                vars(holder).update(before)  # not by `setattr`, which a frozen dataclass refuses
        for buffer, value in buffers:
            buffer.copy_(value)


def _plain_attributes(holder: object) -> dict[str, Any]:
    """Return the attributes of an object that are numbers, texts, tensors or None; those of a module have its mode."""
    kinds = (int, float, str, torch.Tensor, type(None))
    own = getattr(holder, "__dict__", {})
    return {name: value for name, value in own.items() if isinstance(value, kinds)}


def _loss_values(state: TrainState, outputs: dict[str, torch.Tensor], batch: Batch) -> dict[str, float]:
    """Return the weighted value of each reconstruction loss, by its label."""
    network, losses = state.eval_generator, [loss for loss in state.losses if not loss.adversarial]
    return {
        loss.label: loss.weight * float(reconstruction_loss(network, loss, outputs, batch.truth, batch.mask))
        for loss in losses
    }


def _score(values: Iterable[Any]) -> scores.Score:
    return scores.Score(**dict(zip(("S", "M", "C", "score"), values, strict=True)))


def _samples(batch: Batch) -> Iterator[Sample]:
    images, truths = to_uint8(batch.image), to_uint8(batch.truth)
    masks = batch.mask[:, 0].bool().cpu().numpy()
    for image, mask, truth in zip(images, masks, truths, strict=True):
        yield Sample(image=image, mask=mask, truth=truth)
