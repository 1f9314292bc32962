"""What an observer of a run gets: frozen records without tensors, and the methods that get them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from toolbox.errors import did_you_mean


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """A run that starts or is continued.

    Attributes:
        folder: the run folder.
        name: the name of the recipe.
        recipe: the bound recipe, TOML with every value.
        device: the device, such as "cpu" or "cuda:0".
        step: the number of steps taken before; above 0 if the run is continued.
        steps: the number of steps of the whole run, if nothing ends it earlier.
        epochs: the number of epochs of the whole run.
    """

    folder: Path
    name: str
    recipe: str
    device: str
    step: int
    steps: int
    epochs: int


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """A training step.

    Attributes:
        step: its number in the run, from 0.
        epoch: its epoch, from 0.
        terms: its figures by name, computed before its update; docs/run-folder.md lists the names.
        names: the names of the photographs in this process's part of the batch.
    """

    step: int
    epoch: int
    terms: Mapping[str, float]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ValidationRecord:
    """A validation.

    Attributes:
        step: the number of the last step before it, from 0.
        epoch: its epoch, from 0.
        loss: the weighted sum of the reconstruction losses.
        scores: S, M, C and the score of the competition; None where one is not defined.
        metrics: the recipe's metrics by label; None where one is not defined.
        preview: the preview picture; None without previews.
    """

    step: int
    epoch: int
    loss: float
    scores: Mapping[str, float | None]
    metrics: Mapping[str, float | None]
    preview: Path | None


@dataclass(frozen=True, kw_only=True)
class WarningRecord:
    """A warning about the run, given once.

    Attributes:
        step: the number of the last step before it, from 0.
        epoch: its epoch, from 0.
        cause: a short name, such as "overfitting".
        line: the warning in one line.
    """

    step: int
    epoch: int
    cause: str
    line: str


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """An epoch that has ended, complete or not.

    Attributes:
        epoch: its number, from 0.
        step: the number of steps of the run so far.
        means: the mean of each term over its steps.
        seconds: the time spent on the run so far, over all sessions.
        learning_rates: the learning rate of each network in the epoch.
        images_per_second: the speed of the epoch in this session; 0 if it took no step.
        memory: the peak memory so far in bytes.
    """

    epoch: int
    step: int
    means: Mapping[str, float]
    seconds: float
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    images_per_second: float = 0.0
    memory: int = 0


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """The end of a run, or of one session of it.

    Attributes:
        status: "finished"; "stopped" if it was asked to stop and can be continued; "failed" after an error.
        step: the number of steps taken in total; None after an error.
        error: the error in one line; empty for none.
    """

    status: Literal["finished", "stopped", "failed"]
    step: int | None = None
    error: str = ""


class Observer:
    """Watches a run; its methods do nothing. Any object with some of these methods is an observer too.

    The main process calls them.
    """

    def on_start(self, record: RunStarted, /) -> None:
        """Note that the run starts or is continued."""

    def on_step(self, record: StepRecord, /) -> None:
        """Note a step. It is called while the next step is running."""

    def on_validation(self, record: ValidationRecord, /) -> None:
        """Note a validation."""

    def on_warning(self, record: WarningRecord, /) -> None:
        """Note a warning."""

    def on_epoch(self, record: EpochRecord, /) -> None:
        """Note the end of an epoch."""

    def on_end(self, record: RunEnded, /) -> None:
        """Note the end of the run, also after an error."""


# The methods of an observer, in the order in which they are first called.
METHODS = ("on_start", "on_step", "on_validation", "on_warning", "on_epoch", "on_end")


def observer_methods(observer: object) -> list[str]:
    """Return the methods of an observer that a run calls and that do something, in the order of `METHODS`.

    Raises:
        TypeError: it has none, or a method ``on_…`` that is never called.
    """
    named = [name for name in dir(observer) if name.startswith("on_") and callable(getattr(observer, name))]
    unknown = next((name for name in named if name not in METHODS), None)
    if unknown is not None:
        raise TypeError(f"{unknown} is never called.{did_you_mean(unknown, METHODS)} Methods: {', '.join(METHODS)}")
    # Not from `dir`: an object may make its methods when they are looked up.
    own = [
        name
        for name in METHODS
        if callable(getattr(observer, name, None)) and getattr(type(observer), name, None) is not _INHERITED[name]
    ]
    if not own:
        raise TypeError(f"it has none of the methods {', '.join(METHODS)}")
    return own


_INHERITED = {name: getattr(Observer, name) for name in METHODS}
