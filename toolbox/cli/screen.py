"""Lines and progress bars on a terminal, and what a signal does to a run."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Screen:
    """Says lines on stdout (stderr if `quiet`, where stdout is for JSON) and draws bars on stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True)

    def say(self, line: str) -> None:
        """Show a line."""
        click.echo(line, err=self.quiet)

    @contextmanager
    def bar(self, title: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
        """Show a bar with the time left; nothing where stderr is not a terminal."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal, transient=True) as shown:
            task = shown.add_task(title, total=total, completed=done)
            yield lambda: shown.advance(task)


@dataclass
class Stopped:
    """The signal that asked for the end, if one did."""

    signal: int | None = None


@contextmanager
def stop_on_signals() -> Iterator[Stopped]:
    """Note the first SIGINT or SIGTERM, for the loop to end with a checkpoint; a second one ends at once."""
    stopped = Stopped()

    def note(number: int, frame: FrameType | None) -> None:
        if stopped.signal is not None:
            raise SystemExit(128 + number)
        stopped.signal = number
        click.echo("Stopping after this step, with a checkpoint; once more to stop at once.", err=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
