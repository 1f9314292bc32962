"""Degradations and metrics with one promise broken."""

from __future__ import annotations

import time

import numpy as np

from rigged.sound import Rig, degradation, error, metric, paint
from toolbox import Sample


def changed_sample(**parts):
    """Return a degradation that paints and then changes parts of the result, each by a function of the result."""

    def degrade(sample, random):
        painted = paint(sample, random)
        arrays = {name: getattr(painted, name) for name in ("image", "mask", "truth")}
        return Sample(**arrays | {name: change(painted) for name, change in parts.items()})

    return degrade


def _in_place(sample, random):
    painted = paint(sample, random)
    sample.image[...] = painted.image
    return Sample(image=sample.image, mask=painted.mask, truth=sample.truth)


def _global_numbers(sample, random):
    return paint(sample, np.random.default_rng(np.random.randint(1000)))


def _contrast(sample, random):
    if np.ptp(sample.truth) == 0 and sample.truth.size > 300:
        raise ZeroDivisionError("no contrast")
    return paint(sample, random)


def _large_only(sample, random):
    if min(sample.mask.shape) < 8:
        raise ValueError("too small")
    return paint(sample, random)


class KeepsTheGenerator:
    """Leaves its random numbers where another thread's call puts its own."""

    def __call__(self, sample, random):
        self.random = random
        time.sleep(0.002)
        return paint(sample, self.random)


def _crop(sample, random):
    painted = paint(sample, random)
    if min(sample.mask.shape) < 2:
        return painted
    return Sample(image=painted.image[1:], mask=painted.mask[1:], truth=painted.truth[1:])


DEGRADATIONS = [
    Rig(
        what="labels a kind that its spec does not declare",
        spec=degradation(changed_sample(labels=lambda s: {"tear": s.mask})),
        check="labels",
        words="it labels tear; add that to the kinds of its spec",
    ),
    Rig(
        what="writes into the image",
        spec=degradation(_in_place),
        check="inputs unchanged",
        words="writes into the image",
    ),
    Rig(
        what="a mask of bytes",
        spec=degradation(changed_sample(mask=lambda s: s.mask.astype(np.uint8))),
        check="sample format",
        words="mask is uint8; it must be bool",
        also=("square size", "flat photographs", "known region"),
    ),
    Rig(
        what="a mask of another size",
        spec=degradation(changed_sample(mask=lambda s: s.mask[:-1] if len(s.mask) < 10 else s.mask)),
        check="sample format",
        words="for an image of",
    ),
    Rig(what="crops", spec=degradation(_crop), check="square size", words="64x64 became 63x64", also=("known region",)),
    Rig(
        what="global numbers",
        spec=degradation(_global_numbers),
        check="random numbers",
        words="only from `random`",
        also=("threads",),
    ),
    Rig(what="state in a call", spec=degradation(KeepsTheGenerator()), check="threads", words="four threads"),
    Rig(what="needs contrast", spec=degradation(_contrast), check="flat photographs", words="no contrast"),
    Rig(what="not for small ones", spec=degradation(_large_only), check="sample format", words="too small"),
    Rig(what="does nothing", spec=degradation(lambda sample, random: sample), check="effect", words="changed nothing"),
    Rig(
        what="changes the truth",
        spec=degradation(changed_sample(truth=lambda s: 255 - s.truth)),
        check="known region",
        words="changes the truth",
    ),
]


def _large_photographs_only(restored, truth, mask):
    if min(mask.shape) < 7:
        raise ValueError("wants 7 pixels")
    return error(restored, truth, mask)


def _writes(restored, truth, mask):
    value = error(restored, truth, mask)
    restored[...] = 0
    return value


def rigged_metric(call):
    return metric(call, "lower")


METRICS = [
    Rig(
        what="numpy's float32",
        spec=rigged_metric(lambda a, b, m: np.float32(error(a, b, m))),
        check="finite value",
        words="returned float32",
    ),
    Rig(
        what="NaN without a mask",
        spec=rigged_metric(lambda a, b, m: error(a, b, m) if m.any() else float("nan")),
        check="finite value",
        words="it is nan for an empty mask",
    ),
    Rig(
        what="wants 7 pixels",
        spec=rigged_metric(_large_photographs_only),
        check="finite value",
        words="raised ValueError: wants 7 pixels",
        also=("inputs unchanged",),
    ),
    Rig(what="better the wrong way", spec=metric(error), check="best at truth", words="better = 'higher'"),
    Rig(
        what="writes",
        spec=rigged_metric(_writes),
        check="inputs unchanged",
        words="writes into restored",
        also=("deterministic value",),
    ),
    Rig(
        what="chance",
        spec=rigged_metric(lambda a, b, m: error(a, b, m) * (1 + 1e-6 * np.random.random())),
        check="deterministic value",
        words="must not depend on chance",
    ),
]
