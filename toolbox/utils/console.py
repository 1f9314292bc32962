"""Lines and progress bars on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from toolbox.utils.durations import duration
from toolbox.utils.launcher import is_main_process
from toolbox.utils.notebook import NotebookConsole, in_notebook
from toolbox.utils.screen import echo, is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_SECONDS = 30.0


class Console:
    """Print lines on stdout and show progress bars on stderr.

    With `json_output`, lines go to stderr, because stdout is for JSON. With `silent`, there is no output at all.
    Where stderr is not a terminal, a progress bar is a line every `LINE_SECONDS`.
    """

    def __init__(self, *, json_output: bool = False, silent: bool = False) -> None:
        self.json_output = json_output
        self.silent = silent
        self._bars: Progress | None = None

    def print_line(self, line: str) -> None:
        """Print a line, above a progress bar on the same terminal."""
        if self.silent:
            return
        if self._bars is not None and (self.json_output or is_terminal(sys.stdout)):
            from toolbox.utils.terminal_bars import print_above

            print_above(self._bars, line)
        else:
            echo(line, err=self.json_output)

    def print_notice(self, line: str) -> None:
        """Print a line on stderr, above a progress bar, also if the console is silent. Any thread may call it."""
        bars = self._bars
        if bars is None:
            echo(line, err=True)
            return
        from toolbox.utils.terminal_bars import print_above

        with suppress(OSError):
            print_above(bars, line)

    def show_picture(self, path: Path) -> None:
        """Do nothing: a terminal shows no pictures."""

    @contextmanager
    def progress_bar(self, title: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
        """Show a progress bar with the remaining time, below a bar that is already shown.

        Yields:
            A function that advances the bar by one.
        """
        if self.silent:
            yield lambda: None
        elif not is_terminal(sys.stderr):
            with progress_lines(self.print_line, title, total, done) as advance:
                yield advance
        elif self._bars is not None:
            task = self._bars.add_task(title, total=total, completed=done)
            yield lambda: self._bars.advance(task) if self._bars is not None else None
            self._bars.remove_task(task)
        else:
            from toolbox.utils.terminal_bars import make_bars

            with make_bars() as self._bars:
                bars, task = self._bars, self._bars.add_task(title, total=total, completed=done)
                try:
                    yield lambda: bars.advance(task)
                finally:
                    self._bars = None


@contextmanager
def progress_lines(
    print_line: Callable[[str], None], title: str, total: int, done: int = 0
) -> Iterator[Callable[[], None]]:
    """Print a line with the position and the remaining time every `LINE_SECONDS`, also while nothing advances.

    Yields:
        A function that adds one to the position.
    """
    started = time.monotonic()
    count, ended = done, threading.Event()

    def advance() -> None:
        nonlocal count
        count += 1

    def report() -> None:
        while not ended.wait(LINE_SECONDS):
            seconds = time.monotonic() - started
            left = f", about {duration(seconds * (total - count) / (count - done))} left" if count > done else ""
            print_line(f"{title}: {count} of {total} after {duration(seconds)}{left}")

    reporter = threading.Thread(target=report, name="toolbox-progress", daemon=True)
    reporter.start()
    try:
        yield advance
    finally:
        ended.set()
        reporter.join()


def default_console() -> Console | NotebookConsole:
    """Return a console for the notebook if the program runs in one, else for the terminal."""
    is_silent = not is_main_process()
    return NotebookConsole() if in_notebook() and not is_silent else Console(silent=is_silent)
