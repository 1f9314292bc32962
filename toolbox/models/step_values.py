"""What the methods of a training step without pictures must return, see `toolbox.hooks.protocols.ValidatingStep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from toolbox.hooks.record_names import require_figure_names
from toolbox.models.component_calls import describe
from toolbox.utils.json_values import is_finite


def values_fault(values: Any, count: int) -> str:  # noqa: ANN401 - whatever the step returned
    """Return what is wrong with the result of `validate` for `count` pictures; empty if nothing is."""
    if not isinstance(values, Mapping) or not values:
        return f"returned {describe(values)} from validate, not a dict of tensors"
    for name, value in values.items():
        if not isinstance(value, Tensor) or value.shape != (count,):
            remedy = f"return a value for each of the {count} pictures, a tensor [{count}]"
            return f"returned {describe(value)} from validate as '{name}'; {remedy}"
    return ""


def figures_fault(figures: Any, expected: Sequence[str]) -> str:  # noqa: ANN401 - whatever the step returned
    """Return what is wrong with the result of `figures`; empty if nothing is.

    Args:
        figures: the result.
        expected: the names of the figures in the step's spec.
    """
    if not isinstance(figures, Mapping):
        return f"returned {describe(figures)} from figures, not a dict of floats"
    try:
        require_figure_names(figures)
    except ValueError as error:
        return f"returned from figures what can't be recorded: {error}"
    for name, value in figures.items():
        if value is not None and (not isinstance(value, Real) or not is_finite(value)):
            text = value if isinstance(value, float) else describe(value)
            return f"returned {text} from figures as '{name}'; return a finite float, or None"
    if figures.get("loss") is None:
        return "returned no 'loss' from figures; return a dict with it"
    missing = [name for name in expected if name not in figures]
    return f"returned no '{missing[0]}' from figures, which its spec names; return it, or None" if missing else ""


def not_finite(values: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Return that a value of `validate` for a photograph is not finite; empty if all of them are."""
    for name, column in values.items():
        wrong = len(column) - int(np.isfinite(column).sum())
        if wrong:
            return f"gives values from validate as '{name}' that are not finite, for {wrong} of {len(column)} pictures"
    return ""
