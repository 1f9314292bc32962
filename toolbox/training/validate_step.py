"""Validation of a network that does not restore pictures: its training step measures it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from numbers import Real
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from toolbox.data.batch import Batch
from toolbox.distributed.accelerator import Accelerator
from toolbox.errors import PluginError
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.protocols import ValidatingStep
from toolbox.hooks.record_names import require_figure_names
from toolbox.models.component_calls import describe
from toolbox.training.state import TrainState
from toolbox.training.validation_result import NO_SCORE, Row, ValidationResult, gather_in_order, photo_numbers
from toolbox.utils.json_values import is_finite


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
        PluginError: the step returns something else than its protocol says. Its own errors are raised as they are.
    """
    network = state.eval_generator.eval()
    step = cast(ValidatingStep, state.step)
    rows: list[Row] = []
    photos_before = 0
    for batch in batches:
        with nullcontext() if accelerator is None else accelerator.autocast():
            values = call_isolated(state.step_watch.entry, step.validate, network, batch)
        columns = {name: value.double().tolist() for name, value in _require_rows(values, len(batch.image)).items()}
        for index, number in enumerate(photo_numbers(batch, photos_before)):
            rows.append((number, (), {name: column[index] for name, column in columns.items()}))
        photos_before += batch.position.total
    photos = [values for *_, values in gather_in_order(rows)]
    arrays = {name: np.array([values[name] for values in photos], np.float64) for name in photos[0]}
    figures = _require_figures(call_isolated(state.step_watch.entry, step.figures, arrays))
    loss = figures.pop("loss")
    assert loss is not None
    return ValidationResult(loss=loss, score=NO_SCORE, metrics=figures)


def _require_rows(values: Any, count: int) -> Mapping[str, Tensor]:  # noqa: ANN401 - whatever the step returned
    if not isinstance(values, Mapping) or not values:
        raise PluginError(f"The training step's validate returned {describe(values)}, not a dict of tensors.")
    for name, value in values.items():
        if not isinstance(value, Tensor) or value.shape != (count,):
            raise PluginError(
                f"The training step's validate returned {describe(value)} as '{name}'; return a value for each of the "
                f"{count} pictures, a tensor [{count}]."
            )
    return values


def _require_figures(figures: Any) -> dict[str, float | None]:  # noqa: ANN401 - whatever the step returned
    if not isinstance(figures, Mapping) or figures.get("loss") is None:
        raise PluginError("The training step's figures returned no dict with a 'loss'. See docs/hooks/steps.md.")
    try:
        require_figure_names(figures)
    except ValueError as error:
        raise PluginError(f"The result of figures can't be recorded: {error}. See docs/hooks/steps.md.") from error
    for name, value in figures.items():
        if value is not None and (not isinstance(value, Real) or not is_finite(value)):
            text = value if isinstance(value, float) else describe(value)
            raise PluginError(f"The training step's figures returned {text} as '{name}'; return a float, or None.")
    return {name: None if value is None else float(value) for name, value in figures.items()}
