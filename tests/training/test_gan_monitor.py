"""The watch on records made by hand: what is said, when, once. Well below a second."""

from __future__ import annotations

import pytest

from toolbox.training.gan_monitor import HALF, ROW, WINDOW, GanMonitor

WEIGHTS = {"loss.mse": 50.0}


def step(number, d_accuracy=None, mse=0.1):
    terms = {"step": number, "epoch": 0, "loss.mse": mse, "loss.lsgan": 1e9}
    return terms if d_accuracy is None else terms | {"d_accuracy": d_accuracy}


def validation(number, loss):
    return {"step": number, "epoch": 0, "validation": {"loss": loss}}


def said(records, watch=None):
    """Return the causes by the place of the record that they are said at."""
    watch = watch or GanMonitor(WEIGHTS, trained=True)
    return [(place, alarm.cause) for place, record in enumerate(records) for alarm in watch.see(record)]


def test_a_discriminator_that_never_errs_is_called_out_once_when_the_window_is_full():
    records = [step(number, 1.0) for number in range(5 * WINDOW)]
    assert said(records) == [(WINDOW - 1, "discriminator-won")]


@pytest.mark.parametrize(
    "d_accuracy",
    [
        # Always nearly right; sure in 60 of 100 steps; sure in 70 and wrong in the others, as of a single place.
        [0.98] * 100,
        ([1.0] * 6 + [0.9] * 4) * 10,
        ([1.0] * 7 + [0.0] * 3) * 10,
    ],
)
def test_one_that_errs_now_and_then_is_not(d_accuracy):
    assert said([step(number, d_accuracy[number % 100]) for number in range(5 * WINDOW)]) == []


def test_the_beginning_is_forgotten():
    # In 80 of 120 it is sure, and right in 40 * 0.9 + 80 of them.
    records = [step(number, 0.9 if number < 200 else 1.0) for number in range(600)]
    assert said(records) == [(200 + 80 - 1, "discriminator-won")]
    # On average right in 0.95 once 108 of 120 are: 12 * 0.5 + 108 = 0.95 * 120.
    records = [step(number, 0.5 if number < 200 else 1.0) for number in range(600)]
    assert said(records) == [(200 + 108 - 1, "discriminator-won")]


@pytest.mark.parametrize(("fall", "called"), [(0.93, False), (0.97, True), (1.2, True)])
def test_nor_is_one_whose_generator_gets_better_meanwhile(fall, called):
    # The losses of a window's second half are those of the first times `fall`.
    half = WINDOW // 2
    records = [step(number, 1.0, 0.1 * fall ** (number // half)) for number in range(6 * half)]
    # In between the halves mix; the lowest and the highest ratio are at their ends.
    assert bool(said(records)) == called


@pytest.mark.parametrize(
    ("d_accuracy", "fall", "called"), [(0.8, 0.98, True), (0.8, 0.96, False), (0.6, 1.0, False), (0.3, 1.0, False)]
)
def test_one_that_is_ahead_of_a_generator_that_never_got_better_is_called_out(d_accuracy, fall, called):
    records = [step(number, d_accuracy, 0.1 if number < HALF else 0.1 * fall) for number in range(4 * WINDOW)]
    expected = [(WINDOW - 1, "discriminator-won")] if called else []
    assert said(records, GanMonitor(WEIGHTS)) == expected
    # With trained weights a generator need not get better.
    assert said(records, GanMonitor(WEIGHTS, trained=True)) == []


def test_the_two_ways_of_winning_are_told_apart():
    watch = GanMonitor(WEIGHTS)
    (alarm,) = [alarm for number in range(WINDOW) for alarm in watch.see(step(number, 0.8))]
    assert "in 80.0% of all places, and the generator got no better since the run began" in alarm.line
    watch = GanMonitor(WEIGHTS)
    (alarm,) = [alarm for number in range(WINDOW) for alarm in watch.see(step(number, 1.0))]
    assert "in 100.0% of all places, and the generator got no better meanwhile" in alarm.line


def test_without_other_losses_the_verdicts_alone_decide():
    records = [step(number, 1.0) for number in range(WINDOW)]
    assert said(records, GanMonitor({})) == [(WINDOW - 1, "discriminator-won")]
    assert said([step(number, 0.8) for number in range(WINDOW)], GanMonitor({})) == []


def test_one_that_takes_the_restored_for_the_true_is_another_cause():
    assert said([step(number, 0.0) for number in range(WINDOW)]) == [(WINDOW - 1, "discriminator-reversed")]


@pytest.mark.parametrize("d_accuracy", [0.5, 0.3, None])
def test_one_that_cannot_tell_or_is_not_there_is_left_alone(d_accuracy):
    assert said([step(number, d_accuracy) for number in range(3 * WINDOW)]) == []


def epochs(training, held_out):
    """Yield epochs of two steps each."""
    for number, (mse, loss) in enumerate(zip(training, held_out, strict=True)):
        yield step(2 * number, mse=mse * 0.5)
        yield step(2 * number + 1, mse=mse * 1.5)
        yield validation(2 * number + 1, loss)


def test_what_is_learnt_by_heart_is_called_out_in_the_third_validation_that_is_worse():
    # The best is the second, at 0.10 in training; worse than 1.1 times 8 are the last three, of an even lower loss.
    records = list(epochs([0.20, 0.10, 0.095, 0.085, 0.08, 0.07], [9.0, 8.0, 8.9, 8.9, 9.1, 9.3]))
    watch = GanMonitor(WEIGHTS)
    assert said(records[:-1], watch) == []
    (alarm,) = watch.see(records[-1])
    assert alarm.cause == "overfitting"
    assert "since step 4, when validation was best" in alarm.line
    assert "training has fallen by 30% and that in validation has risen by 16%" in alarm.line
    assert ROW == 3


@pytest.mark.parametrize(
    ("training", "held_out"),
    [
        # Both get worse: a learning rate that is too high.
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [8, 9, 10, 11, 12, 13]),
        # Validation stays where it is while training improves.
        ([0.1, 0.08, 0.06, 0.05, 0.04, 0.03], [8, 8.5, 8.6, 8.4, 8.5, 8.7]),
        # It comes back in between.
        ([0.1, 0.08, 0.06, 0.05, 0.04, 0.03], [8, 9, 9, 8.5, 9, 9]),
    ],
)
def test_other_ways_of_getting_worse_are_not(training, held_out):
    assert said(epochs(training, held_out)) == []


def test_a_watch_that_reads_the_log_goes_on_as_the_one_that_wrote_it():
    records = [step(number, 1.0) for number in range(2 * WINDOW)]
    for cut in (1, WINDOW - 1, WINDOW, WINDOW + 7):
        log, found = [], []
        watch = GanMonitor(WEIGHTS)
        for number, record in enumerate(records):
            if number == cut:
                watch = GanMonitor(WEIGHTS)
                said(log, watch)
            log.append(record)
            for alarm in watch.see(record):
                found.append(number)
                log.append({"step": number, "epoch": 0, "warning": {"cause": alarm.cause, "line": alarm.line}})
        assert found == [WINDOW - 1]
