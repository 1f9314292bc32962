"""Lines and progress bars on a terminal, and what a signal does to a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from toolbox.cli.common import first_process


class Screen:
    """Says lines on stdout (stderr if `quiet`, where stdout is for JSON), draws bars on stderr; neither if `mute`."""

    def __init__(self, *, quiet: bool = False, mute: bool = False) -> None:
        self.quiet = quiet
        self.mute = mute
        self.console = Console(stderr=True)

    def say(self, line: str) -> None:
        """Show a line."""
        if not self.mute:
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
        hidden = self.mute or not self.console.is_terminal
        with Progress(*columns, console=self.console, disable=hidden, transient=True) as shown:
            task = shown.add_task(title, total=total, completed=done)
            yield lambda: shown.advance(task)


@dataclass
class Stopped:
    """The signal that asked for the end, if one did."""

    signal: int | None = None


@contextmanager
def stop_on_signals(after: str) -> Iterator[Stopped]:
    """Note the first SIGINT or SIGTERM, for the loop to end `after` what is in hand; a second one ends at once.

    Not among several processes: their launcher sends each signal on to those that have it already, and kills in the
    end what does not end by itself.
    """
    stopped = Stopped()
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1

    def note(number: int, frame: FrameType | None) -> None:
        if stopped.signal is not None:
            if several:
                return
            raise SystemExit(128 + number)
        stopped.signal = number
        if first_process():
            again = "" if several else "; once more to stop at once"
            click.echo(f"Stopping after {after}{again}.", err=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
