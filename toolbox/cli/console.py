"""Lines and progress bars on a terminal, and stopping on a signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import click
import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from toolbox.cli.common import is_main_process


class Console:
    """Print lines on stdout and show progress bars on stderr.

    With `json_output`, lines go to stderr, because stdout is for JSON. With `silent`, there is no output at all.
    """

    def __init__(self, *, json_output: bool = False, silent: bool = False) -> None:
        self.json_output = json_output
        self.silent = silent
        self.stderr = rich.console.Console(stderr=True)

    def print_line(self, line: str) -> None:
        """Print a line."""
        if not self.silent:
            click.echo(line, err=self.json_output)

    @contextmanager
    def progress_bar(self, title: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
        """Show a progress bar with the remaining time, if stderr is a terminal.

        Yields:
            A function that advances the bar by one.
        """
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        hidden = self.silent or not self.stderr.is_terminal
        with Progress(*columns, console=self.stderr, disable=hidden, transient=True) as progress:
            task = progress.add_task(title, total=total, completed=done)
            yield lambda: progress.advance(task)


@dataclass
class StopRequest:
    """The signal that asked the program to stop; None if there was none."""

    signal: int | None = None


@contextmanager
def stop_on_signals(after: str) -> Iterator[StopRequest]:
    """Record the first SIGINT or SIGTERM, so that a loop can stop when its current item is done.

    A second signal stops the program at once. With several processes it is ignored: a launcher sends each signal again
    to processes that already have it, and it kills those that don't stop.

    Args:
        after: what will be completed before the program stops, for the message, as "this photo".

    Yields:
        The request, which the loop must check.
    """
    request = StopRequest()
    distributed = int(os.environ.get("WORLD_SIZE", "1")) > 1

    def record(number: int, frame: FrameType | None) -> None:
        if request.signal is not None:
            if distributed:
                return
            raise SystemExit(128 + number)
        request.signal = number
        if is_main_process():
            hint = "" if distributed else " Press Ctrl-C again to stop at once."
            click.echo(f"Stopping after {after}.{hint}", err=True)

    old_handlers = {number: signal.signal(number, record) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
