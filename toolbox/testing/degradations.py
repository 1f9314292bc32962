"""What a degradation must do."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from toolbox.color import integer_luma
from toolbox.hooks.protocols import Degradation, Sample
from toolbox.hooks.specs import DegradationSpec
from toolbox.testing import examples
from toolbox.testing.checks import Check, Noted, demand, global_random, perform
from toolbox.testing.subject import Subject

# One to sixteen pixels, odd, oblong, and the usual.
SIZES = ((1, 1), (1, 7), (2, 3), (5, 5), (8, 16), (16, 16), (33, 47), (64, 64))
DRAWS = 20


def check(subject: Subject) -> list[Check]:
    """Return every check of a degradation."""
    tests = [shapes, squares_stay, inputs_untouched, flat_photographs, random_numbers, threads, effect, keeps]
    return perform(subject, tests)


def _damage(subject: Subject) -> bool:
    assert isinstance(subject.bound.spec, DegradationSpec)
    return subject.bound.spec.role == "damage"


def _sample(subject: Subject, height: int, width: int, seed: int = 0) -> Sample:
    return examples.sample(height, width, damaged=not _damage(subject), seed=seed)


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _whole(result: object) -> Sample:
    """Return `result` if it is a sample of one size and of the right dtypes."""
    demand(isinstance(result, Sample), f"it returned {type(result).__name__}, not a Sample")
    assert isinstance(result, Sample)
    height, width = result.image.shape[:2]
    wanted = {"image": ((height, width, 3), np.uint8), "truth": ((height, width, 3), np.uint8)}
    for name, (shape, kind) in {**wanted, "mask": ((height, width), np.bool_)}.items():
        array = getattr(result, name)
        demand(isinstance(array, np.ndarray), f"{name} is {type(array).__name__}, not a numpy array")
        demand(array.dtype == kind, f"{name} is {array.dtype}; it must be {np.dtype(kind)}")
        demand(array.shape == shape, f"{name} is {list(array.shape)} beside an image of {height}x{width}")
    return result


def shapes(subject: Subject) -> str:
    """Photographs of any size, from one pixel, give whole samples."""
    degrade: Degradation = subject.built
    for height, width in SIZES:
        for seed in range(3):
            _whole(degrade(_sample(subject, height, width), _random(seed)))
    return "1x1 to 64x64, odd and oblong"


def squares_stay(subject: Subject) -> str:
    """Training pictures are squares of one size, or they could not be put in a batch."""
    for seed in range(DRAWS):
        found = _whole(subject.built(_sample(subject, 64, 64), _random(seed))).image.shape[:2]
        demand(found == (64, 64), f"64x64 became {found[0]}x{found[1]}; keep the size of a square")
    return "64x64 stays 64x64"


def inputs_untouched(subject: Subject) -> str:
    """The arrays of the sample are used again."""
    for seed in range(DRAWS):
        given, same = _sample(subject, 33, 47), _sample(subject, 33, 47)
        subject.built(given, _random(seed))
        for field in dataclasses.fields(Sample):
            kept = np.array_equal(getattr(given, field.name), getattr(same, field.name))
            demand(kept, f"it writes into the {field.name} that it is given; work on a copy")
    return "as they were"


def flat_photographs(subject: Subject) -> str:
    """Black and white photographs have no contrast to work with."""
    for level in (0, 255):
        flat = np.full((40, 40, 3), level, np.uint8)
        lost = _sample(subject, 40, 40).mask
        for seed in range(3):
            _whole(subject.built(Sample(image=flat.copy(), mask=lost, truth=flat), _random(seed)))
    return "black and white ones too"


def random_numbers(subject: Subject) -> str:
    """Every draw comes from the generator handed in, so that any sample can be made again."""
    before = global_random()
    results = []
    for attempt in range(2):
        results.append([subject.built(_sample(subject, 64, 64), _random(seed)) for seed in range(5)])
        demand(before == global_random(), "it draws from the global random numbers; draw from `random` alone")
        if attempt == 0:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(99)
                subject.built(_sample(subject, 64, 64, seed=1), _random(77))
    for first, again in zip(*results, strict=True):
        for field in dataclasses.fields(Sample):
            same = np.array_equal(getattr(first, field.name), getattr(again, field.name))
            demand(same, f"the {field.name} differs between two calls with the same `random`")
    return "from `random` alone"


def threads(subject: Subject) -> str:
    """One degradation serves all of the data workers, which are threads."""

    def one(seed: int) -> Sample:
        result: Sample = subject.built(_sample(subject, 64, 64), _random(seed))
        return result

    alone = [one(seed) for seed in range(DRAWS)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        together = list(pool.map(one, range(DRAWS)))
    for first, again in zip(alone, together, strict=True):
        for field in dataclasses.fields(Sample):
            same = np.array_equal(getattr(first, field.name), getattr(again, field.name))
            demand(same, f"the {field.name} differs when four threads call it; keep nothing between or during calls")
    return "same samples from four threads"


def effect(subject: Subject) -> str:
    """It changes something at least sometimes; a damage mostly leaves a lost region."""
    changed = lost = 0
    share = []
    for seed in range(DRAWS):
        given = _sample(subject, 64, 64)
        result = subject.built(given, _random(seed))
        changed += any(
            not np.array_equal(getattr(given, f.name), getattr(result, f.name)) for f in dataclasses.fields(Sample)
        )
        lost += bool(result.mask.any())
        share.append(float(result.mask.mean()))
    demand(changed, f"it changed nothing in {DRAWS} draws")
    if not _damage(subject):
        return f"changed {changed} of {DRAWS} samples"
    if not lost:
        return Noted(f"it changed {changed} of {DRAWS} photographs and marked nothing as lost")
    return f"a lost region in {lost} of {DRAWS}, {100 * sum(share) / DRAWS:.1f} % of the pixels on average"


def keeps(subject: Subject) -> str:
    """Outside the lost region the image is the truth, its luma, or neither: `keep` in recipes rests on it."""
    if not _damage(subject):
        return "an augmentation; the damage comes first"
    luma = rgb = truth = True
    for seed in range(DRAWS):
        given = _sample(subject, 64, 64)
        result = subject.built(given, _random(seed))
        known = ~result.mask
        gray = integer_luma(result.truth)[..., None].astype(int)
        luma &= bool((np.abs(result.image - gray)[known] <= 1).all())
        rgb &= np.array_equal(result.image[known], result.truth[known])
        truth &= np.array_equal(result.truth, given.truth)
    demand(truth, "it changes the truth, which is what a restoration is compared with; change the image alone")
    if rgb:
        return 'the truth outside the lost region: keep = "rgb" fits'
    if luma:
        return 'the luma of the truth outside the lost region: keep = "luma" fits'
    return Noted('neither the truth nor its luma outside the lost region: only keep = "none" fits')
