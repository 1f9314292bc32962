"""Degradations and metrics as a run calls them: errors are blamed on them, and what they return is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.protocols import Sample

# The number of calls of each component whose inputs are compared before and after: some of them hold a write that
# happens by chance, and all calls would cost time.
COMPARED_CALLS = 16


@dataclass(kw_only=True)
class ArrayCall:
    """A component that takes arrays; call it as the component.

    Attributes:
        entry: its entry in the catalog.
        component: the component itself.
        calls: the number of calls so far. Several threads may count at once; then some more calls are compared.
    """

    entry: Entry
    component: Callable[..., Any]
    calls: int = 0

    def _call(self, inputs: Mapping[str, np.ndarray], *arguments: object) -> Any:  # noqa: ANN401
        self.calls += 1
        copies = {name: array.copy() for name, array in inputs.items()} if self.calls <= COMPARED_CALLS else {}
        result = blame.call(self.entry, self.component, *arguments)
        for name, copy in copies.items():
            if not np.array_equal(inputs[name], copy):
                raise self._wrong(f"writes into `{name}`, its input; work on a copy")
        return result

    def _wrong(self, fault: str) -> blame.WrongResultError:
        return blame.wrong_result(self.entry, self.component, fault)


class DegradationCall(ArrayCall):
    """A degradation; see `toolbox.hooks.protocols.Degradation`."""

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        """Return the new sample.

        Raises:
            WrongResultError: it is not a valid sample, or the degradation wrote into the old one. Its own errors are
                raised as they are.
        """
        inputs = {"sample.image": sample.image, "sample.mask": sample.mask, "sample.truth": sample.truth}
        result = self._call(inputs, sample, random)
        if not isinstance(result, Sample):
            raise self._wrong(f"returned {_describe(result)}, not a Sample")
        height, width = sample.mask.shape
        # A square must stay one of its size, so that samples fit into one batch; others may be turned.
        size = (height, width) if height == width else np.shape(result.mask)
        expected = {
            "image": ((*size, 3), np.uint8),
            "mask": (size, np.bool_),
            "truth": ((*size, 3), np.uint8),
        }
        for name, (shape, dtype) in expected.items():
            value = getattr(result, name)
            if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != shape:
                fault = f"returned a sample whose {name} is {_describe(value)}"
                raise self._wrong(f"{fault}; it must be {np.dtype(dtype)} {list(shape)}")
        return result


class MetricCall(ArrayCall):
    """A metric; see `toolbox.hooks.protocols.Metric`."""

    def __call__(self, restored: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float | None:
        """Return the figure, finite, or None where it is not defined.

        Raises:
            WrongResultError: it returned something else, or wrote into its inputs. Its own errors are raised as they
                are.
        """
        inputs = {"restored": restored, "truth": truth, "mask": mask}
        value = self._call(inputs, restored, truth, mask)
        if value is None:
            return None
        if not isinstance(value, Real | np.number) or isinstance(value, bool | complex):
            raise self._wrong(f"returned {_describe(value)}; return float(…) or None")
        if not math.isfinite(value):
            raise self._wrong(f"returned {value}; return None where the figure is not defined")
        return float(value)


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array {list(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"
