"""A watch on the game of generator and discriminator, and on what a run learns by heart.

It reads the run's own log, record by record, so that a run that goes on rebuilds it from there. The thresholds are
those of `python -m benchmarks balance`; what they were fixed on and judged by is in docs/reliability.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolbox.training.state import LossTerm

# A discriminator has won if in MOST of the last WINDOW steps it was right in SURE of all places, and on average in
# RIGHT (where few places are judged it is sometimes right in all of them by chance), while the generator's other losses
# stayed above STILL of what they were in the window's first half: many a sound run begins with such a discriminator.
WINDOW = 120
HALF = WINDOW // 2
MOST = 2 / 3
SURE = 0.99
RIGHT = 0.95
STILL = 0.95
# It has won from the beginning if, after a window, it was right in AHEAD of all places in the last HALF steps and those
# losses are above NEVER of what they were in the first HALF steps of all. A run that starts from trained weights may
# well be so.
AHEAD = 0.62
NEVER = 0.97
# Validations in a row that are worse than the best by this factor while training has become better by the other.
ROW = 3
WORSE = 1.1
BETTER = 0.9


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something that is said once a run: its cause as a short name, and the line."""

    cause: str
    line: str


class GanMonitor:
    """What was seen of a run so far. Nothing in it depends on the scale of an adversarial loss."""

    def __init__(self, weights: Mapping[str, float], *, trained: bool = False) -> None:
        """Watch a run whose reconstruction losses have these `weights`, by the terms' names in its records.

        With `trained` its generator starts from trained weights, so that it need not get better.
        """
        self.weights = weights
        self.trained = trained
        self.first: list[float] = []
        self.told: deque[float] = deque(maxlen=WINDOW)
        self.pictures: deque[float] = deque(maxlen=WINDOW)
        self.losses: list[float] = []
        self.best: tuple[float, float, int] | None = None
        self.worse = 0
        self.said: set[str] = set()

    def see(self, record: Mapping[str, Any]) -> list[Alarm]:
        """Take in the next record of metrics.jsonl and return what is to be said for the first time."""
        if "warning" in record:
            self.said.add(record["warning"]["cause"])
            return []
        found = self._validated(record) if "validation" in record else self._stepped(record)
        new = [alarm for alarm in found if alarm.cause not in self.said]
        self.said |= {alarm.cause for alarm in new}
        return new

    def _stepped(self, record: Mapping[str, Any]) -> list[Alarm]:
        self.losses.append(sum(weight * record.get(name, 0.0) for name, weight in self.weights.items()))
        if "d_accuracy" not in record:
            return []
        self.told.append(record["d_accuracy"])
        self.pictures.append(self.losses[-1])
        self.first += [self.losses[-1]] * (len(self.first) < HALF)
        if len(self.told) < WINDOW:
            return []
        right, lately, recent = mean(self.told), mean(list(self.told)[HALF:]), list(self.pictures)[HALF:]
        if one_sided(self.told) and not fell(list(self.pictures)[:HALF], recent, STILL):
            return [_won(right, WINDOW, "meanwhile")]
        if not self.trained and any(self.first) and lately >= AHEAD and not fell(self.first, recent, NEVER):
            return [_won(lately, HALF, "since the run began")]
        if one_sided(1 - share for share in self.told):
            return [_reversed(1 - right)]
        return []

    def _validated(self, record: Mapping[str, Any]) -> list[Alarm]:
        if not self.losses:
            return []
        training, validation = mean(self.losses), record["validation"]["loss"]
        self.losses = []
        if self.best is None or validation < self.best[1]:
            self.best, self.worse = (training, validation, record["step"] + 1), 0
            return []
        before, least, step = self.best
        apart = training < BETTER * before and validation > WORSE * least
        self.worse = self.worse + 1 if apart else 0
        if self.worse < ROW:
            return []
        return [_by_heart(1 - training / before, validation / least - 1, step)]


def one_sided(told: Iterable[float]) -> bool:
    """Return whether a window of `told` is that of a discriminator that has won."""
    shares = list(told)
    sure = sum(share >= SURE for share in shares)
    return sure >= MOST * len(shares) and sum(shares) >= RIGHT * len(shares)


def fell(before: Iterable[float], after: Iterable[float], to: float) -> bool:
    """Return whether losses fell, on average, to below the share `to` of what they were."""
    return mean(before) - mean(after) > (1 - to) * abs(mean(before))


def mean(values: Iterable[float]) -> float:
    """Return the mean of some values."""
    found = list(values)
    return sum(found) / len(found)


def make_monitor(losses: Iterable[LossTerm], *, trained: bool) -> GanMonitor:
    """Return a watch on a run with these losses; `trained` as `Watch` has it."""
    weights = {f"loss.{loss.label}": loss.weight for loss in losses if not loss.adversarial}
    return GanMonitor(weights, trained=trained)


def _won(share: float, steps: int, since: str) -> Alarm:
    line = (
        f"The discriminator has won: for {steps} steps it has told true pictures from restored ones in {share:.1%} of "
        f"all places, and the generator got no better {since}. What helps: a lower discriminator.optimizer.lr, a "
        "penalty or more weight of one, a higher generator.optimizer.lr. See docs/trouble.md."
    )
    return Alarm(cause="discriminator-won", line=line)


def _reversed(share: float) -> Alarm:
    line = (
        f"The discriminator has it the wrong way round: for {WINDOW} steps it has taken the restored picture for the "
        f"truer one in {share:.1%} of all places. An adversarial loss with a sign or the sides exchanged does "
        "this. See docs/trouble.md."
    )
    return Alarm(cause="discriminator-reversed", line=line)


def _by_heart(fallen: float, risen: float, step: int) -> Alarm:
    line = (
        f"The generator learns its photographs by heart: since step {step}, when validation was best, its loss in "
        f"training has fallen by {fallen:.0%} and that in validation has risen by {risen:.0%}. What helps: more "
        "photographs, data.zoom, [degradations.flip], fewer epochs (validation.patience). The best weights are kept. "
        "See docs/trouble.md."
    )
    return Alarm(cause="overfitting", line=line)
