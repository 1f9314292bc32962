"""The monitor on artificial records: which warnings it gives, when, and that it gives each once."""

from __future__ import annotations

import pytest

from toolbox.training.gan_monitor import HALF_WINDOW, WINDOW, WORSE_VALIDATIONS, ZERO_STEPS, GanMonitor

WEIGHTS = {"loss.mse": 50.0}


def step(number, d_accuracy=None, mse=0.1):
    """Return the record of a step."""
    terms = {"step": number, "epoch": 0, "loss.mse": mse, "loss.lsgan": 1e9}
    return terms if d_accuracy is None else terms | {"d_accuracy": d_accuracy}


def validation(number, loss):
    """Return the record of a validation."""
    return {"step": number, "epoch": 0, "validation": {"loss": loss}}


def causes(records, monitor=None):
    """Return the causes of the warnings, each with the index of its record."""
    monitor = monitor or GanMonitor(WEIGHTS, pretrained=True)
    return [(index, warning.cause) for index, record in enumerate(records) for warning in monitor.update(record)]


def test_a_perfect_discriminator_is_reported_once_when_the_window_is_full():
    records = [step(number, 1.0) for number in range(5 * WINDOW)]
    assert causes(records) == [(WINDOW - 1, "discriminator-won")]


@pytest.mark.parametrize(
    "accuracies",
    [
        # Always nearly right; sure in 60 of 100 steps; sure in 70 and wrong in the others, as with a single position.
        [0.98] * 100,
        ([1.0] * 6 + [0.9] * 4) * 10,
        ([1.0] * 7 + [0.0] * 3) * 10,
    ],
)
def test_a_discriminator_that_is_sometimes_wrong_is_not_reported(accuracies):
    assert causes([step(number, accuracies[number % 100]) for number in range(5 * WINDOW)]) == []


def test_only_the_last_window_counts():
    # It is sure in 80 of 120 steps, and its mean accuracy is (40 * 0.9 + 80) / 120.
    records = [step(number, 0.9 if number < 200 else 1.0) for number in range(600)]
    assert causes(records) == [(200 + 80 - 1, "discriminator-won")]
    # The mean accuracy reaches 0.95 with 108 right steps: 12 * 0.5 + 108 = 0.95 * 120.
    records = [step(number, 0.5 if number < 200 else 1.0) for number in range(600)]
    assert causes(records) == [(200 + 108 - 1, "discriminator-won")]


@pytest.mark.parametrize(("factor", "reported"), [(0.93, False), (0.97, True), (1.2, True)])
def test_a_discriminator_is_not_reported_while_the_generator_improves(factor, reported):
    # The losses in the second half of a window are `factor` times those in the first half.
    half = WINDOW // 2
    records = [step(number, 1.0, 0.1 * factor ** (number // half)) for number in range(6 * half)]
    # In between the halves mix; the lowest and the highest ratio are at their ends.
    assert bool(causes(records)) == reported


@pytest.mark.parametrize(
    ("d_accuracy", "factor", "reported"),
    [(0.8, 0.98, True), (0.8, 0.96, False), (0.6, 1.0, False), (0.3, 1.0, False)],
)
def test_a_better_discriminator_is_reported_if_the_generator_never_improved(d_accuracy, factor, reported):
    records = [step(number, d_accuracy, 0.1 if number < HALF_WINDOW else 0.1 * factor) for number in range(4 * WINDOW)]
    expected = [(WINDOW - 1, "discriminator-won")] if reported else []
    assert causes(records, GanMonitor(WEIGHTS)) == expected
    # A pretrained generator need not improve.
    assert causes(records, GanMonitor(WEIGHTS, pretrained=True)) == []


@pytest.mark.parametrize(
    ("d_accuracy", "text"),
    [
        (0.8, "its accuracy was 80.0%, and the generator has not improved since the run started"),
        (1.0, "its accuracy was 100.0%, and the generator has not improved meanwhile"),
    ],
)
def test_the_two_ways_of_winning_have_different_messages(d_accuracy, text):
    monitor = GanMonitor(WEIGHTS)
    (warning,) = [warning for number in range(WINDOW) for warning in monitor.update(step(number, d_accuracy))]
    assert text in warning.line


def test_without_other_losses_only_the_accuracy_counts():
    records = [step(number, 1.0) for number in range(WINDOW)]
    assert causes(records, GanMonitor({})) == [(WINDOW - 1, "discriminator-won")]
    assert causes([step(number, 0.8) for number in range(WINDOW)], GanMonitor({})) == []


def test_a_reversed_discriminator_has_a_cause_of_its_own():
    assert causes([step(number, 0.0) for number in range(WINDOW)]) == [(WINDOW - 1, "discriminator-reversed")]


@pytest.mark.parametrize("d_accuracy", [0.5, 0.3, None])
def test_an_undecided_or_missing_discriminator_is_not_reported(d_accuracy):
    assert causes([step(number, d_accuracy) for number in range(3 * WINDOW)]) == []


def epochs(training_losses, validation_losses):
    """Yield the records of epochs of two steps each."""
    for number, (mse, loss) in enumerate(zip(training_losses, validation_losses, strict=True)):
        yield step(2 * number, mse=mse * 0.5)
        yield step(2 * number + 1, mse=mse * 1.5)
        yield validation(2 * number + 1, loss)


def test_overfitting_is_reported_in_the_third_validation_that_is_worse():
    # The best validation is the second, with 0.10 in training. Above 1.1 times 8 are the last three; the training
    # losses are lower.
    records = list(epochs([0.20, 0.10, 0.095, 0.085, 0.08, 0.07], [9.0, 8.0, 8.9, 8.9, 9.1, 9.3]))
    monitor = GanMonitor(WEIGHTS)
    assert causes(records[:-1], monitor) == []
    (warning,) = monitor.update(records[-1])
    assert warning.cause == "overfitting"
    assert "since step 4, the best validation" in warning.line
    assert "training loss has fallen by 30% and its validation loss has risen by 16%" in warning.line
    assert WORSE_VALIDATIONS == 3


@pytest.mark.parametrize(
    ("training_losses", "validation_losses"),
    [
        # Both get worse: the learning rate is too high.
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [8, 9, 10, 11, 12, 13]),
        # Validation stays the same while training improves.
        ([0.1, 0.08, 0.06, 0.05, 0.04, 0.03], [8, 8.5, 8.6, 8.4, 8.5, 8.7]),
        # Validation recovers in between.
        ([0.1, 0.08, 0.06, 0.05, 0.04, 0.03], [8, 9, 9, 8.5, 9, 9]),
    ],
)
def test_other_changes_of_the_validation_loss_are_not_overfitting(training_losses, validation_losses):
    assert causes(epochs(training_losses, validation_losses)) == []


def test_a_monitor_that_reads_the_log_continues_as_the_one_that_wrote_it():
    records = [step(number, 1.0) for number in range(2 * WINDOW)]
    for restart in (1, WINDOW - 1, WINDOW, WINDOW + 7):
        log, reported = [], []
        monitor = GanMonitor(WEIGHTS)
        for number, record in enumerate(records):
            if number == restart:
                monitor = GanMonitor(WEIGHTS)
                causes(log, monitor)
            log.append(record)
            for warning in monitor.update(record):
                reported.append(number)
                entry = {"cause": warning.cause, "line": warning.line}
                log.append({"step": number, "epoch": 0, "warning": entry})
        assert reported == [WINDOW - 1]


def test_a_gradient_of_0_in_the_first_steps_is_named_once():
    def gradients(*values):
        return [{"step": number, "gradient.g": value} for number, value in enumerate(values)]

    assert causes(gradients(0.0, 0.0, 0.0, 0.0), GanMonitor({})) == [(ZERO_STEPS - 1, "no-gradient")]
    assert causes(gradients(0.0, 0.0, 1.0, 0.0, 0.0, 0.0), GanMonitor({})) == []
    assert causes(gradients(1e-30, 0.0, 0.0, 0.0), GanMonitor({})) == []
    assert causes([{"step": number} for number in range(5)], GanMonitor({})) == []  # the generator does not train yet
    # In fp16 the gradient counts as 0 while its scale is too large, which takes some steps.
    assert causes(gradients(*[0.0] * 9), GanMonitor({}, is_scaled=True)) == []
