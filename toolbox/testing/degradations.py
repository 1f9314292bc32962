"""The checks of a degradation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from toolbox.color import integer_luma
from toolbox.hooks.protocols import Degradation, Sample
from toolbox.hooks.specs import DegradationSpec
from toolbox.testing import examples
from toolbox.testing.checks import Check, Note, global_random_state, require, run_checks, same_values
from toolbox.testing.subject import Subject

# From one pixel to the usual size, odd and oblong ones too.
SIZES = ((1, 1), (1, 7), (2, 3), (5, 5), (8, 16), (16, 16), (33, 47), (64, 64))
CALLS = 20
FIELDS = tuple(field.name for field in dataclasses.fields(Sample))
LABEL = "example"  # the kind of damage that the samples of an augmentation have labels of


def check_degradation(subject: Subject) -> list[Check]:
    """Run every check of a degradation."""
    return run_checks(
        subject,
        [
            check_sample_format,
            check_square_size,
            check_inputs_unchanged,
            check_flat_photographs,
            check_random_numbers,
            check_threads,
            check_effect,
            check_known_region,
            check_labels,
        ],
    )


def _is_damage(subject: Subject) -> bool:
    assert isinstance(subject.spec, DegradationSpec)
    return subject.spec.role == "damage"


def _make_sample(subject: Subject, height: int, width: int, seed: int = 0) -> Sample:
    sample = examples.sample(height, width, damaged=not _is_damage(subject), seed=seed)
    return sample if _is_damage(subject) else dataclasses.replace(sample, labels={LABEL: sample.mask.copy()})


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _are_equal(first: Sample, second: Sample, name: str) -> bool:
    one, other = getattr(first, name), getattr(second, name)
    if not isinstance(one, Mapping):
        return same_values(one, other)
    return one.keys() == other.keys() and all(same_values(label, other[kind]) for kind, label in one.items())


def _require_valid(result: object) -> Sample:
    """Return `result` if it is a sample whose arrays have one size and the right dtypes."""
    require(isinstance(result, Sample), f"it returned {type(result).__name__}, not a Sample")
    assert isinstance(result, Sample)
    height, width = result.image.shape[:2]
    formats = {
        "image": ((height, width, 3), np.uint8),
        "truth": ((height, width, 3), np.uint8),
        "mask": ((height, width), np.bool_),
    }
    for name, (shape, dtype) in formats.items():
        array = getattr(result, name)
        require(isinstance(array, np.ndarray), f"{name} is {type(array).__name__}, not a numpy array")
        require(array.dtype == dtype, f"{name} is {array.dtype}; it must be {np.dtype(dtype)}")
        require(array.shape == shape, f"{name} is {list(array.shape)} for an image of {height}x{width}")
    return result


def check_sample_format(subject: Subject) -> str:
    """Photographs of any size, from one pixel on, give valid samples."""
    degrade: Degradation = subject.component
    for height, width in SIZES:
        for seed in range(3):
            _require_valid(degrade(_make_sample(subject, height, width), _random(seed)))
    return "valid for 1x1 to 64x64, odd and oblong"


def check_square_size(subject: Subject) -> str:
    """A square keeps its size; otherwise training pictures could not be put into one batch."""
    for seed in range(CALLS):
        height, width = _require_valid(subject.component(_make_sample(subject, 64, 64), _random(seed))).image.shape[:2]
        require((height, width) == (64, 64), f"64x64 became {height}x{width}; keep the size of a square")
    return "64x64 stays 64x64"


def check_inputs_unchanged(subject: Subject) -> str:
    """The degradation does not write into the arrays of the sample, which are used again."""
    for seed in range(CALLS):
        sample, expected = _make_sample(subject, 33, 47), _make_sample(subject, 33, 47)
        subject.component(sample, _random(seed))
        for name in FIELDS:
            require(_are_equal(sample, expected, name), f"it writes into the {name} that it is given; work on a copy")
    return "unchanged"


def check_flat_photographs(subject: Subject) -> str:
    """Black and white photographs, which have no contrast, give valid samples."""
    for level in (0, 255):
        flat = np.full((40, 40, 3), level, np.uint8)
        mask = _make_sample(subject, 40, 40).mask
        for seed in range(3):
            _require_valid(subject.component(Sample(image=flat.copy(), mask=mask, truth=flat), _random(seed)))
    return "valid for black and for white"


def check_random_numbers(subject: Subject) -> str:
    """All random numbers come from `random`, so that every sample can be reproduced."""
    before = global_random_state()
    results = []
    for attempt in range(2):
        results.append([subject.component(_make_sample(subject, 64, 64), _random(seed)) for seed in range(5)])
        require(before == global_random_state(), "it draws from the global random numbers; draw only from `random`")
        if attempt == 0:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(99)
                subject.component(_make_sample(subject, 64, 64, seed=1), _random(77))
    for first, second in zip(*results, strict=True):
        for name in FIELDS:
            require(_are_equal(first, second, name), f"the {name} differs between two calls with the same `random`")
    return "only from `random`"


def check_threads(subject: Subject) -> str:
    """The degradation can be called from several threads at once, as data workers do."""

    def degrade(seed: int) -> Sample:
        result: Sample = subject.component(_make_sample(subject, 64, 64), _random(seed))
        return result

    sequential = [degrade(seed) for seed in range(CALLS)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        parallel = list(pool.map(degrade, range(CALLS)))
    for first, second in zip(sequential, parallel, strict=True):
        for name in FIELDS:
            require(
                _are_equal(first, second, name),
                f"the {name} differs when four threads call it; keep no state between or during calls",
            )
    return "the same samples from four threads"


def check_effect(subject: Subject) -> str:
    """The degradation changes something at least sometimes; a damage usually marks a lost region."""
    changed = lost = 0
    lost_fraction = 0.0
    for seed in range(CALLS):
        sample = _make_sample(subject, 64, 64)
        result = subject.component(sample, _random(seed))
        changed += any(not _are_equal(sample, result, name) for name in FIELDS)
        lost += bool(result.mask.any())
        lost_fraction += float(result.mask.mean()) / CALLS
    require(changed, f"it changed nothing in {CALLS} calls")
    if not _is_damage(subject):
        return f"changed {changed} of {CALLS} samples"
    if not lost:
        return Note(f"it changed {changed} of {CALLS} photographs and marked nothing as lost")
    return f"a lost region in {lost} of {CALLS}, {100 * lost_fraction:.1f} % of the pixels on average"


def check_known_region(subject: Subject) -> str:
    """Report which `keep` fits: whether the image outside the lost region is the truth, its luma, or neither."""
    if not _is_damage(subject):
        return "an augmentation, which follows the damage"
    keeps_luma = keeps_rgb = keeps_truth = True
    for seed in range(CALLS):
        sample = _make_sample(subject, 64, 64)
        result = subject.component(sample, _random(seed))
        known = ~result.mask
        luma = integer_luma(result.truth)[..., None].astype(int)
        keeps_luma &= bool((np.abs(result.image - luma)[known] <= 1).all())
        keeps_rgb &= np.array_equal(result.image[known], result.truth[known])
        keeps_truth &= _are_equal(result, sample, "truth")
    require(keeps_truth, "it changes the truth, which restored pictures are compared with; change only the image")
    if keeps_rgb:
        return 'the truth outside the lost region: keep = "rgb" fits'
    if keeps_luma:
        return 'the luma of the truth outside the lost region: keep = "luma" fits'
    return Note('neither the truth nor its luma outside the lost region: only keep = "none" fits')


def check_labels(subject: Subject) -> str:
    """A damage labels the kinds of its spec; an augmentation changes labels in the same way as the mask."""
    spec = subject.spec
    assert isinstance(spec, DegradationSpec)
    counts = dict.fromkeys(spec.kinds, 0)
    for seed in range(CALLS):
        result = subject.component(_make_sample(subject, 33, 47), _random(seed))
        expected = spec.kinds if _is_damage(subject) else (LABEL,)
        missing = [kind for kind in expected if kind not in result.labels]
        undeclared = [kind for kind in result.labels if kind not in expected]
        if missing and not _is_damage(subject):
            return Note("it drops the labels of damage, so it can't be used after a damage that has labels")
        require(not missing, f"it gives no labels of {', '.join(missing)}, which its spec declares as kinds")
        require(not undeclared, f"it labels {', '.join(undeclared)}; add that to the kinds of its spec")
        for kind, label in result.labels.items():
            is_label = isinstance(label, np.ndarray) and label.dtype == np.bool_ and label.shape == result.mask.shape
            require(is_label, f"the labels of {kind} are not a bool array of the size of the mask")
            if kind in counts:
                counts[kind] += bool(label.any())
        if not _is_damage(subject):
            is_moved = bool((result.labels[LABEL] <= result.mask).all())
            require(is_moved, "labels and mask do not change in the same way; move both")
    never = [kind for kind, count in counts.items() if not count]
    if never:
        return Note(f"{', '.join(never)}: never in {CALLS} calls")
    return ", ".join(f"{kind} in {count} of {CALLS}" for kind, count in counts.items()) or "none"
