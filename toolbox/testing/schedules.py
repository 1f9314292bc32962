"""The checks of a schedule of the learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from toolbox.distributed.torch_patches import step_schedule
from toolbox.errors import one_line
from toolbox.hooks.protocols import Horizon
from toolbox.hooks.specs import ScheduleSpec
from toolbox.models.build import build_component
from toolbox.models.optimizers import schedule_fault
from toolbox.testing.checks import Check, Note, require, run_checks, same_values
from toolbox.testing.subject import Subject

HORIZON = Horizon(epochs=4, steps_per_epoch=3, steps=12)
RATE = 0.1


def check_schedule(subject: Subject) -> list[Check]:
    """Run every check of a schedule."""
    return run_checks(subject, [check_rates, check_saved_position, check_longer_run])


def make_optimizer() -> Optimizer:
    """Return an optimizer with a learning rate of 0.1."""
    return SGD([nn.Parameter(torch.zeros(1))], lr=RATE, momentum=0.9)


def schedule_inputs() -> tuple[Optimizer, Horizon]:
    """Return what `build` of a schedule gets besides the params, new at every call."""
    return (make_optimizer(), HORIZON)


def _build(subject: Subject) -> LRScheduler:
    optimizer, horizon = schedule_inputs()
    schedule = build_component(subject.bound, optimizer, horizon)
    name = type(schedule).__name__
    require(isinstance(schedule, LRScheduler), f"build returned {name}, not a torch.optim.lr_scheduler.LRScheduler")
    assert isinstance(schedule, LRScheduler)
    fault = schedule_fault(optimizer, schedule)
    require(not fault, f"it {fault}")
    return schedule


def _cadence(subject: Subject) -> tuple[str, int]:
    """Return the word for a period of the schedule, and the number of periods of the run."""
    spec = subject.spec
    assert isinstance(spec, ScheduleSpec)
    return spec.cadence, HORIZON.steps if spec.cadence == "step" else HORIZON.epochs


def _rate(schedule: LRScheduler) -> float:
    return float(schedule.optimizer.param_groups[0]["lr"])


def _rates(schedule: LRScheduler, count: int) -> list[float]:
    """Return the learning rate of each of `count` periods, and the one after them."""
    rates = [_rate(schedule)]
    for _ in range(count):
        step_schedule(schedule)
        rates.append(_rate(schedule))
    return rates


def check_rates(subject: Subject) -> str:
    """Every learning rate of a run is finite and not negative, and one of them is above 0."""
    word, count = _cadence(subject)
    rates = _rates(_build(subject), count)
    wrong = [rate for rate in rates if not (math.isfinite(rate) and rate >= 0)]
    require(not wrong, f"a learning rate is {wrong[0] if wrong else ''}; it must be finite and not negative")
    require(any(rates[:-1]), "the learning rate is 0 throughout the run")
    return f"from {rates[0]:g} to {rates[-1]:g} over {count} {word}s, for an optimizer with {RATE:g}"


def check_saved_position(subject: Subject) -> str:
    """A new schedule that is brought to the position of a checkpoint continues with the same rates."""
    _, count = _cadence(subject)
    done = count // 2
    schedule = _build(subject)
    rates = _rates(schedule, count)
    resumed = _build(subject)
    step_schedule(resumed, done)
    same = same_values(_rates(resumed, count - done), rates[done:])
    require(same, "brought to the middle of a run, it continues with other rates; keep no state outside the scheduler")
    return "continues with the same rates"


def check_longer_run(subject: Subject) -> str:
    """Report whether the schedule can continue after the end of the run, as when a run is resumed with fewer epochs."""
    word, count = _cadence(subject)
    try:
        _rates(_build(subject), 2 * count)
    except ValueError as error:
        reason = one_line(error)
        return Note(f"it ends after {count} {word}s, so a run can't be resumed with a shorter length: {reason}")
    return "continues after the end of the run"
