"""Validation of a network that does not restore pictures: its training step measures it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import cast

import numpy as np
import torch

from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import Accelerator
from toolbox.hooks import blame
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.protocols import ValidatingStep
from toolbox.hooks.specs import StepSpec
from toolbox.models.step_values import figures_fault, not_finite, values_fault
from toolbox.training.state import TrainState
from toolbox.training.validation_result import NO_SCORE, Row, ValidationResult, gather_in_order, photo_numbers


@torch.no_grad()
def validate_step(
    state: TrainState, batches: Iterable[Batch], accelerator: Accelerator | None = None
) -> ValidationResult:
    """Return the figures of the training step for the network in eval mode.

    All processes call it. The values of the photographs are gathered in their order, so the figures do not depend on
    the number of processes.

    Args:
        state: the network and the training step, a `toolbox.hooks.protocols.ValidatingStep`.
        batches: this process's rows of the validation photographs.
        accelerator: the precision; None for that of the weights.

    Raises:
        WrongResultError: the step returns something else than its protocol says. Its own errors are raised as they are.
    """
    network = state.eval_generator.eval()
    step, entry = cast(ValidatingStep, state.step), state.step_watch.entry
    rows: list[Row] = []
    photos_before = 0
    for batch in batches:
        with nullcontext() if accelerator is None else accelerator.autocast():
            values = call_isolated(entry, step.validate, network, batch)
        if fault := values_fault(values, len(batch.image)):
            raise blame.wrong_result(entry, step.validate, fault)
        columns = {name: value.double().tolist() for name, value in values.items()}
        for index, number in enumerate(photo_numbers(batch, photos_before)):
            rows.append((number, (), {name: column[index] for name, column in columns.items()}))
        photos_before += batch.position.total
    photos = [values for *_, values in gather_in_order(rows)]
    arrays = {name: np.array([values[name] for values in photos], np.float64) for name in photos[0]}
    figures = call_isolated(entry, step.figures, arrays)
    if fault := figures_fault(figures, entry.spec.figures if entry and isinstance(entry.spec, StepSpec) else ()):
        if cause := not_finite(arrays):  # then a mean over them is not finite either
            raise blame.wrong_result(entry, step.validate, cause)
        raise blame.wrong_result(entry, step.figures, fault)
    metrics = {name: None if value is None else float(value) for name, value in figures.items()}
    loss = metrics.pop("loss")
    assert loss is not None
    return ValidationResult(loss=loss, score=NO_SCORE, metrics=metrics)
