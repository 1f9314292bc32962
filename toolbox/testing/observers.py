"""The checks of an observer."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolbox.hooks.observing import (
    EpochRecord,
    RunEnded,
    RunStarted,
    StepRecord,
    ValidationRecord,
    WarningRecord,
    observer_methods,
)
from toolbox.testing.checks import Check, ContractError, global_random_state, require, run_checks
from toolbox.testing.subject import Subject

STEPS = 4


def check_observer(subject: Subject) -> list[Check]:
    """Run every check of an observer."""
    return run_checks(subject, [check_methods, check_whole_run, check_continued_run, check_random_numbers])


def make_records(folder: Path, first: int = 0) -> Iterator[tuple[str, object]]:
    """Yield the calls of a short run from step `first` on: the method and its record."""
    start = RunStarted(
        folder=folder, name="default", recipe="seed = 42\n", device="cpu", step=first, steps=STEPS, epochs=2
    )
    yield "on_start", start
    for step in range(first, STEPS):
        epoch = step // 2
        terms = {"g": 0.5, "loss.mse": 0.1, "d": 0.2}
        yield "on_step", StepRecord(step=step, epoch=epoch, terms=terms, names=("a.png", "b.png"))
        if step % 2:
            scores: dict[str, float | None] = {"S": 0.5, "M": 0.6, "C": None, "score": 0.55}
            metrics: dict[str, float | None] = {"psnr": None}
            yield (
                "on_validation",
                ValidationRecord(
                    step=step,
                    epoch=epoch,
                    loss=0.1,
                    scores=scores,
                    metrics=metrics,
                    preview=None,
                ),
            )
            yield "on_warning", WarningRecord(step=step, epoch=epoch, cause="overfitting", line="It is overfitting.")
            yield "on_epoch", EpochRecord(epoch=epoch, step=step + 1, means=terms, seconds=1.5)
    yield "on_end", RunEnded(status="finished", step=STEPS)


def check_methods(subject: Subject) -> str:
    """The observer has a method that a run calls, and none with a misspelt name."""
    try:
        return ", ".join(observer_methods(subject.component))
    except TypeError as error:
        raise ContractError(str(error)) from error


def check_whole_run(subject: Subject) -> str:
    """It takes the records of a run in their order, and doesn't change them."""
    _run(subject.build(), 0)
    return f"takes the records of {STEPS} steps"


def check_continued_run(subject: Subject) -> str:
    """A new observer takes the records of a run that is continued in the same folder."""
    with tempfile.TemporaryDirectory() as name:
        for first in (0, 2):
            _notify(subject.build(), make_records(Path(name), first))
    return "takes the records of a continued run"


def check_random_numbers(subject: Subject) -> str:
    """It leaves the global random numbers as they are."""
    before = global_random_state()
    _run(subject.build(), 0)
    require(before == global_random_state(), "it draws global random numbers; use a generator of its own")
    return "draws none"


def _run(observer: Any, first: int) -> None:  # noqa: ANN401 - any object
    with tempfile.TemporaryDirectory() as name:
        _notify(observer, make_records(Path(name), first))


def _notify(observer: Any, records: Iterator[tuple[str, object]]) -> None:  # noqa: ANN401 - any object
    for method, record in records:
        before = repr(record)
        function = getattr(observer, method, None)
        if function is not None:
            function(record)
        assert dataclasses.is_dataclass(record)
        require(repr(record) == before, f"{method} changes its record")
