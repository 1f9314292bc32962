"""The checks of a post-processor."""

from __future__ import annotations

import numpy as np

from toolbox.color import integer_luma
from toolbox.hooks.specs import PostprocessorSpec
from toolbox.testing import examples
from toolbox.testing.checks import Check, global_random_state, require, run_checks, same_values
from toolbox.testing.subject import Subject

Inputs = tuple[np.ndarray, np.ndarray, np.ndarray]


def check_postprocessor(subject: Subject) -> list[Check]:
    """Run every check of a post-processor."""
    return run_checks(
        subject, [check_result_format, check_known_pixels, check_inputs_unchanged, check_repeatable_result]
    )


def make_restored() -> dict[str, Inputs]:
    """Return (restored, original, mask) of different kinds, down to one pixel."""
    cases: dict[str, Inputs] = {
        "a restored gray photograph": _restored(48, 40, gray=True),
        "a restored colour photograph": _restored(33, 47),
        "16 bits": _restored(24, 30, gray=True, depth=np.uint16),
        "1x1": _restored(1, 1),
        "1x9, gray": _restored(1, 9, gray=True),
        "5x3": _restored(5, 3),
    }
    restored, original, mask = _restored(20, 16)
    cases["nothing lost"] = restored, original, np.zeros_like(mask)
    cases["lost completely"] = restored, original, np.ones_like(mask)
    return cases


def _restored(height: int, width: int, *, gray: bool = False, depth: type[np.generic] = np.uint8) -> Inputs:
    restored = examples.photo(height, width)
    sample = examples.sample(height, width, damaged=True)
    original = integer_luma(sample.image) if gray else restored.copy()
    original[sample.mask] = 50
    if depth is np.uint16:
        restored, original = restored.astype(np.uint16) * 257, original.astype(np.uint16) * 257
    return restored, original, sample.mask


def check_result_format(subject: Subject) -> str:
    """The result has the shape and dtype of the restored photograph."""
    for name, inputs in make_restored().items():
        result = subject.component(*inputs)
        require(isinstance(result, np.ndarray), f"it returned {type(result).__name__} for {name}; return a numpy array")
        require(result.dtype == inputs[0].dtype, f"it returned {result.dtype} for {name}, which is {inputs[0].dtype}")
        require(result.shape == inputs[0].shape, f"it returned {result.shape} for {name}, which is {inputs[0].shape}")
    return f"right for {len(make_restored())} kinds of photographs"


def check_known_pixels(subject: Subject) -> str:
    """Known pixels stay the same, unless the spec says ``changes_known=True``."""
    spec = subject.spec
    assert isinstance(spec, PostprocessorSpec)
    if spec.changes_known:
        return "the spec says that known pixels may change"
    for name, inputs in make_restored().items():
        changed = int((subject.component(*inputs) != inputs[0])[~inputs[2]].sum())
        require(
            not changed, f"it changes {changed} known values of {name}; write only into the mask, or set changes_known"
        )
    return "unchanged, bit for bit"


def check_inputs_unchanged(subject: Subject) -> str:
    """The post-processor does not write into its inputs."""
    for name, inputs in make_restored().items():
        expected = [array.copy() for array in inputs]
        subject.component(*inputs)
        for field, array, unchanged in zip(("restored", "original", "mask"), inputs, expected, strict=True):
            require(np.array_equal(array, unchanged), f"it writes into {field} of {name}; work on a copy")
    return "unchanged"


def check_repeatable_result(subject: Subject) -> str:
    """The same photograph gives the same result, whatever was processed before."""
    before = global_random_state()
    first = {name: subject.component(*inputs) for name, inputs in make_restored().items()}
    require(
        before == global_random_state(), "it draws from the global random numbers; use a generator with a fixed seed"
    )
    for name, inputs in reversed(make_restored().items()):
        require(same_values(first[name], subject.component(*inputs)), f"{name} has another result the second time")
    return "the same result twice"
