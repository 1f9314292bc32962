"""The checks of a metric."""

from __future__ import annotations

import math

import numpy as np

from toolbox.hooks.specs import MetricSpec
from toolbox.testing import examples
from toolbox.testing.checks import (
    Check,
    Note,
    global_random_state,
    require,
    require_comparable,
    run_checks,
    same_values,
)
from toolbox.testing.subject import Subject

Inputs = tuple[np.ndarray, np.ndarray, np.ndarray]


def check_metric(subject: Subject) -> list[Check]:
    """Run every check of a metric."""
    return run_checks(
        subject, [check_finite_value, check_best_at_truth, check_inputs_unchanged, check_deterministic_value]
    )


def make_inputs() -> dict[str, Inputs]:
    """Return (restored, truth, mask) of different kinds, down to one pixel."""
    truth, other = examples.photo(64, 64), examples.photo(64, 64, seed=1)
    mask = examples.sample(64, 64, damaged=True).mask
    black, white = np.zeros_like(truth), np.full_like(truth, 255)
    inputs: dict[str, Inputs] = {
        "another photograph": (other, truth, mask),
        "black against white": (black, white, mask),
        "an empty mask": (other, truth, np.zeros_like(mask)),
        "a full mask": (other, truth, np.ones_like(mask)),
    }
    for height, width in ((1, 1), (1, 9), (5, 3), (47, 33)):
        restored, truth = examples.photo(height, width, seed=2), examples.photo(height, width, seed=3)
        inputs[f"{height}x{width}"] = (restored, truth, np.ones((height, width), bool))
    return inputs


def check_finite_value(subject: Subject) -> str:
    """The value is a finite float, or None where the metric is not defined."""
    undefined = []
    for name, inputs in make_inputs().items():
        value = subject.component(*inputs)
        if value is None:
            undefined.append(name)
            continue
        require(isinstance(value, float), f"it returned {type(value).__name__} for {name}; return float(…) or None")
        require(math.isfinite(value), f"it is {value} for {name}; return None where it is not defined")
    require(len(undefined) < len(make_inputs()), "it is None for all photographs")
    if undefined:
        return Note(f"None for {', '.join(undefined)}")
    return f"finite for {len(make_inputs())} kinds of photographs"


def check_best_at_truth(subject: Subject) -> str:
    """No photograph has a better value than the truth itself, as the spec's `better` defines it."""
    spec = subject.spec
    assert isinstance(spec, MetricSpec)
    if not spec.needs_truth:
        return "not checked: the spec has needs_truth = False"
    truth, mask = examples.photo(64, 64), examples.sample(64, 64, damaged=True).mask
    at_truth = subject.component(truth.copy(), truth, mask)
    sign = 1 if spec.better == "higher" else -1
    random = np.random.default_rng(0)
    photographs = {
        "some grain": np.clip(truth + random.normal(0, 3, truth.shape), 0, 255).astype(np.uint8),
        "much grain": np.clip(truth + random.normal(0, 40, truth.shape), 0, 255).astype(np.uint8),
        "another photograph": examples.photo(64, 64, seed=1),
        "a flat photograph": np.full_like(truth, 128),
        "the truth upside down": truth[::-1].copy(),
    }
    values = {name: subject.component(photograph, truth, mask) for name, photograph in photographs.items()}
    if at_truth is None:
        some, much = values["some grain"], values["much grain"]
        if some is None or much is None:
            return Note("None for the truth itself and with grain, so nothing can be compared")
        require_comparable(some, much)
        require(sign * some >= sign * much, f"better = '{spec.better}', but much grain has a better value than some")
        return Note("None for the truth itself; some grain has a better value than much grain")
    require_comparable(at_truth, *values.values())
    for name, value in values.items():
        is_right = value is None or sign * at_truth >= sign * value
        require(is_right, f"better = '{spec.better}', but {name} has {value} and the truth itself {at_truth}")
    return f"{at_truth:g} for the truth itself"


def check_inputs_unchanged(subject: Subject) -> str:
    """The metric does not write into its inputs, which other metrics use afterwards."""
    for name, inputs in make_inputs().items():
        expected = make_inputs()[name]
        subject.component(*inputs)
        for field, array, unchanged in zip(("restored", "truth", "mask"), inputs, expected, strict=True):
            require(np.array_equal(array, unchanged), f"it writes into {field}; work on a copy")
    return "unchanged"


def check_deterministic_value(subject: Subject) -> str:
    """The same photographs give the same value."""
    inputs = make_inputs()["another photograph"]
    before = global_random_state()
    first = subject.component(*inputs)
    subject.component(*make_inputs()["black against white"])
    require(before == global_random_state(), "it draws random numbers; a value must not depend on chance")
    require(same_values(first, subject.component(*inputs)), "it returns another value for the same photographs")
    return "the same value twice"
