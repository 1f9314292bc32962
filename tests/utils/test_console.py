"""Lines and progress bars: never on the same line of a terminal, and never silent for long where there is none."""

from __future__ import annotations

import io
import os
import signal
import sys
import time

import pytest

from toolbox.evaluation.metrics import Score
from toolbox.training.checkpoint import Progress
from toolbox.training.epoch_table import EpochTable, epoch_columns
from toolbox.training.validation_result import ValidationResult
from toolbox.utils import console as consoles
from toolbox.utils.console import Console
from toolbox.utils.durations import duration
from toolbox.utils.signals import stop_on_signals


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


def make_screen(monkeypatch):
    """Have stdout and stderr write to a terminal, and return it. pytest takes both back after a fixture."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def line_starts(text, line):
    """Return what stands before each occurrence of a line since the last line break or erased line."""
    before = text.split(line)[:-1]
    return [part.replace("\x1b[2K", "\n").replace("\r", "\n").rsplit("\n", 1)[-1] for part in before]


@pytest.mark.parametrize("json_output", [False, True])
def test_a_line_never_lands_on_the_bar(monkeypatch, json_output):
    screen = make_screen(monkeypatch)
    console = Console(json_output=json_output)
    with console.progress_bar("training", 3) as advance:
        for number in range(3):
            advance()
            time.sleep(0.12)  # the bar is drawn ten times per second
            console.print_line(f"epoch {number} " + "x" * 80)
    text = screen.getvalue()
    assert "training" in text
    for number in range(3):
        assert line_starts(text, f"epoch {number} ") == [""]
        assert f"epoch {number} " + "x" * 80 in text  # not cut or wrapped


@pytest.mark.parametrize("json_output", [False, True])
def test_the_line_of_a_signal_never_lands_on_the_bar(monkeypatch, json_output):
    screen = make_screen(monkeypatch)
    console = Console(json_output=json_output)
    with stop_on_signals("this step", console.print_notice) as stopped, console.progress_bar("training", 3) as advance:
        advance()
        time.sleep(0.15)  # the bar is drawn ten times per second
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.15)
    assert stopped.signal == signal.SIGINT
    assert "training" in screen.getvalue() and line_starts(screen.getvalue(), "Stopping after this step.") == [""]


def test_the_line_of_a_signal_is_printed_before_the_work_ends(capsys):
    with stop_on_signals("this photo", Console().print_notice):
        os.kill(os.getpid(), signal.SIGTERM)
    assert capsys.readouterr() == ("", "Stopping after this photo. Press Ctrl-C again to stop at once.\n")


def test_a_bar_within_a_bar_is_shown_below_it(monkeypatch):
    screen = make_screen(monkeypatch)
    console = Console()
    with console.progress_bar("training", 2) as advance:
        with console.progress_bar("restoring the test photos", 1) as advance_inner:
            advance_inner()
            time.sleep(0.12)
        advance()
        console.print_line("between")
    assert "restoring the test photos" in screen.getvalue() and line_starts(screen.getvalue(), "between") == [""]
    console.print_line("after")
    assert screen.getvalue().endswith("after\n")


def test_a_line_for_a_file_goes_to_the_file(monkeypatch):
    screen = make_screen(monkeypatch)
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    console = Console()
    with console.progress_bar("training", 1):
        console.print_line("epoch 1")
    assert file.getvalue() == "epoch 1\n" and "epoch 1" not in screen.getvalue()


def test_in_a_pipe_there_is_a_line_after_a_while_also_during_a_long_step(capsys, monkeypatch):
    monkeypatch.setattr(consoles, "LINE_SECONDS", 0.05)
    with Console().progress_bar("training", 10, 2) as advance:
        advance()
        time.sleep(0.3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2 and all(line.startswith("training: 3 of 10 after 0:00, about 0:0") for line in lines)


@pytest.mark.parametrize("silent", [True, False])
def test_short_work_in_a_pipe_and_silent_consoles_print_nothing(capsys, monkeypatch, silent):
    monkeypatch.setattr(consoles, "LINE_SECONDS", 0.01 if silent else 30)
    with Console(silent=silent).progress_bar("decoding", 1) as advance:
        time.sleep(0.05)
        advance()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3723, "1:02:03"), (360000, "100:00:00")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_the_row_of_an_epoch_has_at_most_100_columns_and_the_titles_stand_above_it():
    score = Score(S=-0.12345, M=None, C=-1.0, score=None)
    validation = ValidationResult(loss=12345.678, score=score, metrics={"psnr": 31.5, "another-metric": 1.0})
    progress = Progress(step=123456, epoch=10, sums={"g": (-1.2345e-5, 1), "d": (98765.4, 1)}, seconds=360000)
    table = EpochTable(images=123456, seconds=10.0)
    header, row = table.lines(epoch_columns(10, 10000, progress, validation, table))
    assert len(row) <= 100 and "psnr" not in header and len(header.split()) + 2 == len(row.split())
    assert len(table.lines(epoch_columns(11, 10000, progress, None, table))) == 1
    huge = ValidationResult(loss=1.0, score=score, metrics={"one-longer-metric": 1e30, "psnr": 31.5})
    header, row = EpochTable().lines(epoch_columns(10, 10**6, Progress(step=9), huge, EpochTable()))
    assert (
        len(row) <= 100 and "one-longer-metric" not in header and len(header) == len(row) and row.endswith(" 31.5000")
    )
    usual = Progress(step=5200, epoch=10, sums={"g": (23.81, 1), "d": (1.4732, 1)}, seconds=3723)
    header, row = EpochTable().lines(epoch_columns(10, 50, usual, validation, EpochTable()))
    assert len(row) == len(header) == 100 and "psnr" in header and "another-metric" not in header
    assert all(row[header.index(title) + len(title) - 1] != " " for title in header.split())
