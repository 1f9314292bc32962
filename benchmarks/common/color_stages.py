"""The options and the stages of the training of the colour network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.common.scan_batch import Shares

# Frozen stages of the encoder, drop path and dropout of the teachers, in turn.
TEACHERS = ((0, 0.15, 0.1), (4, 0.1, 0.1), (2, 0.2, 0.2), (0, 0.2, 0.1), (3, 0.15, 0.2))
STAGE_SHARES = {"teachers": 0.47, "student": 0.41, "score": 0.12}
SCORE_SHARES = Shares(fill=0.4, aged=0.1, film=0.05)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a training. A continued training may change only the device."""

    backbone: str
    width: int
    size: int
    side: int
    batch: int
    zoom: float
    rate: float
    encoder_rate: float
    weight_decay: float
    average: float
    vivid: float
    chroma: float
    fill: float
    aged: float
    film: float
    teachers: int
    truth: float
    mixing: float
    minutes: float
    steps: int
    seed: int
    device: str

    def fixed(self) -> dict[str, Any]:
        """Return the options that a continued training can't change."""
        return {name: value for name, value in asdict(self).items() if name != "device"}

    @property
    def shares(self) -> Shares:
        """The shares of the augmentations."""
        return Shares(fill=self.fill, aged=self.aged, film=self.film)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the training: its length in seconds or steps, and its network's regularisation."""

    name: str
    number: int
    length: float
    frozen: int = 0
    drop_path: float = 0.0
    dropout: float = 0.0
    rates: float = 1.0


def plan(settings: Settings, *, only_score: bool = False) -> list[Stage]:
    """Return the stages, or only the last; together they have the steps of the settings or take their minutes."""
    total = settings.steps or 60 * settings.minutes
    lengths = {name: total * share for name, share in STAGE_SHARES.items()}
    stages = [
        Stage(
            name=f"teacher-{number}",
            number=number,
            length=lengths["teachers"] / settings.teachers,
            frozen=frozen,
            drop_path=drop_path,
            dropout=dropout,
        )
        for number in range(settings.teachers)
        for frozen, drop_path, dropout in [TEACHERS[number % len(TEACHERS)]]
    ]
    count, halves = settings.teachers, {"drop_path": 0.075, "dropout": 0.05, "rates": 0.7}
    stages.append(Stage(name="student", number=count, length=lengths["student"], **halves))
    # The stem and all seven stages of the encoder are frozen.
    score = Stage(name="score", number=count + 1, length=lengths["score"], frozen=8, rates=0.5)
    return [replace(score, length=total)] if only_score else [*stages, score]
