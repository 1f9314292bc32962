"""What a metric must do."""

from __future__ import annotations

import math

import numpy as np

from toolbox.hooks.specs import MetricSpec
from toolbox.testing import examples
from toolbox.testing.checks import Check, Noted, demand, global_random, perform
from toolbox.testing.subject import Subject

Pair = tuple[np.ndarray, np.ndarray, np.ndarray]


def check(subject: Subject) -> list[Check]:
    """Return every check of a metric."""
    return perform(subject, [figures, best_at_the_truth, inputs_untouched, repeats])


def pairs() -> dict[str, Pair]:
    """Return (restored, truth, mask) of many kinds, down to one pixel."""
    truth, other = examples.photo(64, 64), examples.photo(64, 64, seed=1)
    lost = examples.sample(64, 64, damaged=True).mask
    black, white = np.zeros_like(truth), np.full_like(truth, 255)
    found: dict[str, Pair] = {
        "another photograph": (other, truth, lost),
        "black against white": (black, white, lost),
        "an empty mask": (other, truth, np.zeros_like(lost)),
        "a full mask": (other, truth, np.ones_like(lost)),
    }
    for height, width in ((1, 1), (1, 9), (5, 3), (47, 33)):
        small, tiny = examples.photo(height, width, seed=2), examples.photo(height, width, seed=3)
        found[f"{height}x{width}"] = (small, tiny, np.ones((height, width), bool))
    return found


def figures(subject: Subject) -> str:
    """It gives a finite float, or None where it can't be had."""
    without = []
    for name, pair in pairs().items():
        value = subject.built(*pair)
        if value is None:
            without.append(name)
            continue
        demand(isinstance(value, float), f"it returned {type(value).__name__} for {name}; return float(…) or None")
        demand(math.isfinite(value), f"it is {value} for {name}; return None where it can't be had")
    demand(len(without) < len(pairs()), "it is None for every pair of photographs")
    return Noted(f"None for {', '.join(without)}") if without else f"finite for {len(pairs())} kinds of photographs"


def best_at_the_truth(subject: Subject) -> str:
    """No photograph scores better than the truth itself, in the sense that the spec's `better` says."""
    spec = subject.bound.spec
    assert isinstance(spec, MetricSpec)
    truth, lost = examples.photo(64, 64), examples.sample(64, 64, damaged=True).mask
    best = subject.built(truth.copy(), truth, lost)
    sign = 1 if spec.better == "higher" else -1
    random = np.random.default_rng(0)
    grain = np.clip(truth + random.normal(0, 3, truth.shape), 0, 255).astype(np.uint8)
    more = np.clip(truth + random.normal(0, 40, truth.shape), 0, 255).astype(np.uint8)
    others = {"some grain": grain, "much grain": more, "another photograph": examples.photo(64, 64, seed=1)}
    others |= {"a flat photograph": np.full_like(truth, 128), "the truth upside down": truth[::-1].copy()}
    scores = {name: subject.built(other, truth, lost) for name, other in others.items()}
    if best is None:
        if scores["some grain"] is None or scores["much grain"] is None:
            return Noted("None for the truth itself and with grain, so there is nothing to compare")
        right = sign * (scores["some grain"] - scores["much grain"]) >= 0
        demand(right, f"better = '{spec.better}', but much grain scores better than some")
        return Noted("None for the truth itself; some grain scores better than much")
    for name, score in scores.items():
        right = score is None or sign * (best - score) >= 0
        demand(right, f"better = '{spec.better}', but {name} has {score} and the truth itself {best}")
    return f"{best:g} for the truth itself"


def inputs_untouched(subject: Subject) -> str:
    """The arrays are used again by the next metric."""
    for name, pair in pairs().items():
        same = pairs()[name]
        subject.built(*pair)
        for what, array, kept in zip(("restored", "truth", "mask"), pair, same, strict=True):
            demand(np.array_equal(array, kept), f"it writes into {what}; work on a copy")
    return "as they were"


def repeats(subject: Subject) -> str:
    """The same photographs give the same figure."""
    pair = pairs()["another photograph"]
    before = global_random()
    first = subject.built(*pair)
    subject.built(*pairs()["black against white"])
    demand(before == global_random(), "it draws random numbers; a figure must not depend on chance")
    demand(first == subject.built(*pair), "it gives another figure for the same photographs")
    return "same figure twice"
