"""Warnings about a run: no gradient, a discriminator that wins or is reversed, and overfitting.

The monitor reads the run's own log record by record, so a resumed run rebuilds it from there. `python -m benchmarks
balance` measures how well the thresholds work; docs/reliability.md says on which runs they were chosen and judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolbox.training.state import LossTerm

# The discriminator has won if, over a window, its accuracy was at least SURE_ACCURACY in SURE_FRACTION of the steps and
# MEAN_ACCURACY on average (a map of few positions is sometimes completely right by chance), while the generator's
# other losses in the second half stayed above STALLED_LOSS of the first half: many sound runs start with such a
# discriminator.
WINDOW = 120  # steps
HALF_WINDOW = WINDOW // 2
SURE_FRACTION = 2 / 3
SURE_ACCURACY = 0.99
MEAN_ACCURACY = 0.95
STALLED_LOSS = 0.95
# It has won from the start if, after a window, its mean accuracy over half a window is at least EARLY_ACCURACY and
# those losses are above EARLY_STALLED_LOSS of their values in the first half window of the run. A run that starts from
# trained weights may be like that.
EARLY_ACCURACY = 0.62
EARLY_STALLED_LOSS = 0.97
# Nothing trains the generator: its gradient was exactly 0 in this many steps, the first ones of the run.
ZERO_STEPS = 3
# Overfitting: this many validations in a row are worse than the best one by VALIDATION_RISE while the training loss is
# better by TRAINING_FALL.
WORSE_VALIDATIONS = 3
VALIDATION_RISE = 1.1
TRAINING_FALL = 0.9


@dataclass(frozen=True, kw_only=True)
class MonitorWarning:
    """A warning that a run gives once: the short name of its cause, and the line to print."""

    cause: str
    line: str


class GanMonitor:
    """The history of a run as far as its warnings need it. The scale of an adversarial loss does not matter."""

    def __init__(self, weights: Mapping[str, float], *, pretrained: bool = False, is_scaled: bool = False) -> None:
        """Monitor a run.

        Args:
            weights: the weights of its reconstruction losses, by the names of the terms in its records.
            pretrained: whether its generator starts from trained weights, and so need not improve.
            is_scaled: whether gradients are scaled (fp16): they are recorded as 0 while the scale is too large.
        """
        self.weights = weights
        self.pretrained = pretrained
        self.first_losses: list[float] = []
        self.accuracies: deque[float] = deque(maxlen=WINDOW)
        self.window_losses: deque[float] = deque(maxlen=WINDOW)
        self.epoch_losses: list[float] = []
        # In how many steps the gradient of the generator was 0; None: it is not, or that says nothing.
        self.zero_steps: int | None = None if is_scaled else 0
        self.best_validation: tuple[float, float, int] | None = None  # training loss, validation loss, step
        self.worse_validations = 0
        self.reported: set[str] = set()

    def update(self, record: Mapping[str, Any]) -> list[MonitorWarning]:
        """Add the next record of metrics.jsonl and return the warnings that are new."""
        if "warning" in record:
            self.reported.add(record["warning"]["cause"])
            return []
        if "epoch_end" in record:
            return []
        warnings = self._add_validation(record) if "validation" in record else self._add_step(record)
        new = [warning for warning in warnings if warning.cause not in self.reported]
        self.reported |= {warning.cause for warning in new}
        return new

    def _add_step(self, record: Mapping[str, Any]) -> list[MonitorWarning]:
        return [*self._add_gradient(record), *self._add_accuracy(record)]

    def _add_gradient(self, record: Mapping[str, Any]) -> list[MonitorWarning]:
        if self.zero_steps is not None:
            self.zero_steps = self.zero_steps + 1 if record.get("gradient.g") == 0 else None
        return [_no_gradient()] if self.zero_steps == ZERO_STEPS else []

    def _add_accuracy(self, record: Mapping[str, Any]) -> list[MonitorWarning]:
        self.epoch_losses.append(sum(weight * record.get(name, 0.0) for name, weight in self.weights.items()))
        if "d_accuracy" not in record:
            return []
        self.accuracies.append(record["d_accuracy"])
        self.window_losses.append(self.epoch_losses[-1])
        self.first_losses += [self.epoch_losses[-1]] * (len(self.first_losses) < HALF_WINDOW)
        if len(self.accuracies) < WINDOW:
            return []
        accuracy, recent_accuracy = mean(self.accuracies), mean(list(self.accuracies)[HALF_WINDOW:])
        earlier_losses, recent_losses = list(self.window_losses)[:HALF_WINDOW], list(self.window_losses)[HALF_WINDOW:]
        if is_one_sided(self.accuracies) and not has_fallen(earlier_losses, recent_losses, STALLED_LOSS):
            return [_discriminator_won(accuracy, WINDOW, "meanwhile")]
        has_stalled = any(self.first_losses) and not has_fallen(self.first_losses, recent_losses, EARLY_STALLED_LOSS)
        if not self.pretrained and recent_accuracy >= EARLY_ACCURACY and has_stalled:
            return [_discriminator_won(recent_accuracy, HALF_WINDOW, "since the run started")]
        if is_one_sided(1 - accuracy for accuracy in self.accuracies):
            return [_discriminator_reversed(1 - accuracy)]
        return []

    def _add_validation(self, record: Mapping[str, Any]) -> list[MonitorWarning]:
        if not self.epoch_losses:
            return []
        training, validation = mean(self.epoch_losses), record["validation"]["loss"]
        if validation is None:  # it was not finite
            return []
        self.epoch_losses = []
        if self.best_validation is None or validation < self.best_validation[1]:
            self.best_validation, self.worse_validations = (training, validation, record["step"] + 1), 0
            return []
        best_training, best_validation, step = self.best_validation
        is_worse = training < TRAINING_FALL * best_training and validation > VALIDATION_RISE * best_validation
        self.worse_validations = self.worse_validations + 1 if is_worse else 0
        if self.worse_validations < WORSE_VALIDATIONS:
            return []
        return [_overfitting(1 - training / best_training, validation / best_validation - 1, step)]


def is_one_sided(accuracies: Iterable[float]) -> bool:
    """Return whether these accuracies are those of a discriminator that has won."""
    values = list(accuracies)
    sure = sum(value >= SURE_ACCURACY for value in values)
    return sure >= SURE_FRACTION * len(values) and sum(values) >= MEAN_ACCURACY * len(values)


def has_fallen(before: Iterable[float], after: Iterable[float], fraction: float) -> bool:
    """Return whether the mean loss has fallen by more than 1 - `fraction` of its absolute value."""
    mean_before = mean(before)
    return mean_before - mean(after) > (1 - fraction) * abs(mean_before)


def mean(values: Iterable[float]) -> float:
    """Return the mean of some values."""
    listed = list(values)
    return sum(listed) / len(listed)


def make_monitor(losses: Iterable[LossTerm], *, pretrained: bool, is_scaled: bool) -> GanMonitor:
    """Return a monitor for a run with these losses; `pretrained` and `is_scaled` as for `GanMonitor`."""
    terms = list(losses)
    weights = {f"loss.{loss.label}": loss.weight for loss in terms if not loss.adversarial}
    if not terms:  # the training step has a loss of its own
        weights = {"g": 1.0}
    return GanMonitor(weights, pretrained=pretrained, is_scaled=is_scaled)


def _no_gradient() -> MonitorWarning:
    line = (
        f"Nothing trains the generator: in the first {ZERO_STEPS} steps its gradient was 0. Look for round() and a "
        "`backward` that returns None in the losses and the generator; `toolbox plugin check` tests them. See "
        "docs/trouble.md."
    )
    return MonitorWarning(cause="no-gradient", line=line)


def _discriminator_won(accuracy: float, steps: int, since: str) -> MonitorWarning:
    line = (
        f"The discriminator has won: in {steps} steps its accuracy was {accuracy:.1%}, and the generator has not "
        f"improved {since}. Try a lower discriminator.optimizer.lr, a penalty or more weight for one, or a higher "
        "generator.optimizer.lr. See docs/trouble.md."
    )
    return MonitorWarning(cause="discriminator-won", line=line)


def _discriminator_reversed(error_rate: float) -> MonitorWarning:
    line = (
        f"The discriminator is reversed: in {WINDOW} steps it rated the restored picture as the more real one at "
        f"{error_rate:.1%} of the positions. An adversarial loss with a wrong sign or with real and fake exchanged "
        "causes this. See docs/trouble.md."
    )
    return MonitorWarning(cause="discriminator-reversed", line=line)


def _overfitting(fall: float, rise: float, step: int) -> MonitorWarning:
    line = (
        f"The generator is overfitting: since step {step}, the best validation, its training loss has fallen by "
        f"{fall:.0%} and its validation loss has risen by {rise:.0%}. Try more photographs, data.zoom, "
        "[degradations.flip], or fewer epochs (validation.patience). The best weights are kept. See docs/trouble.md."
    )
    return MonitorWarning(cause="overfitting", line=line)
