"""Call degradations and metrics in a run: check what they return, and name them in their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, cast

import numpy as np

from toolbox.hooks import blame
from toolbox.hooks.catalog import Entry
from toolbox.hooks.isolated_call import call_isolated
from toolbox.hooks.protocols import Sample
from toolbox.hooks.specs import DegradationSpec
from toolbox.utils.json_values import is_finite

# The number of calls of each component that are watched for writing into their inputs.
# Several calls, because some faults happen only by chance; watching all calls would cost time.
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
        result = call_isolated(self.entry, self.component, *arguments)
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
        inputs |= {f"sample.labels[{kind!r}]": label for kind, label in sample.labels.items()}
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
        if self._is_damage and self.calls <= COMPARED_CALLS and not np.array_equal(result.truth, sample.truth):
            raise self._wrong("changes the truth, which a damage must leave as it is; use role='augment' to vary it")
        if not result.labels and not sample.labels and not self._kinds:
            return result
        return replace(result, labels=self._labels(sample, result, size))

    @property
    def _kinds(self) -> tuple[str, ...]:
        return cast(DegradationSpec, self.entry.spec).kinds

    @property
    def _is_damage(self) -> bool:
        return cast(DegradationSpec, self.entry.spec).role == "damage"

    def _labels(self, before: Sample, result: Sample, size: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Return the labels of the new sample; those of earlier damages are added to those of a damage."""
        is_damage = self._is_damage
        if not isinstance(result.labels, Mapping):
            raise self._wrong(f"returned a sample whose labels are {_describe(result.labels)}, not a dict")
        missing = [kind for kind in (self._kinds if is_damage else before.labels) if kind not in result.labels]
        if missing and is_damage:
            raise self._wrong(f"returned a sample without labels of '{missing[0]}', a kind that its spec declares")
        if missing:
            raise self._wrong("returned a sample without the labels of the given one; change them as the mask")
        for kind, label in result.labels.items():
            if kind not in before.labels and kind not in self._kinds:
                raise self._wrong(f"returned labels of '{kind}', which is not among the kinds of its spec")
            if not isinstance(label, np.ndarray) or label.dtype != np.bool_ or label.shape != size:
                raise self._wrong(
                    f"returned labels of '{kind}' that are {_describe(label)}; they must be bool {list(size)}"
                )
        if not is_damage:
            return dict(result.labels)
        merged = {**before.labels, **result.labels}
        return {kind: label | before.labels.get(kind, label) for kind, label in merged.items()}


class MetricCall(ArrayCall):
    """A metric; see `toolbox.hooks.protocols.Metric`."""

    def __call__(self, restored: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float | None:
        """Return the figure, finite, or None where it is not defined.

        Raises:
            WrongResultError: it returned something else, or wrote into its inputs. Its own errors are raised as they
                are.
        """
        # Copies: what a metric writes into them must not reach the metrics after it.
        inputs = {"restored": restored.copy(), "truth": truth.copy(), "mask": mask.copy()}
        value = self._call(inputs, *inputs.values())
        if value is None:
            return None
        if not isinstance(value, Real | np.number) or isinstance(value, bool | complex):
            raise self._wrong(f"returned {_describe(value)}; return float(…) or None")
        if not is_finite(value):
            text = value if isinstance(value, float | np.floating) else f"{_describe(value)} too large for a float"
            raise self._wrong(f"returned {text}; return None where the figure is not defined")
        return float(value)


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array {list(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"
